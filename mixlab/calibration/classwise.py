"""Binned gaps of every class, or of every label of a multi-label model, and the interval of their mean error.

All N rows count for each class, so that these are the largest sums of the package: they are taken for some classes
at a time, with one bincount.
"""

import torch
from torch import Tensor

from mixlab.calibration.bins import mass_edges, width_edges
from mixlab.calibration.bootstrap import WORLDS, invert

BLOCKS = 200  # blocks of rows that the interval of a classwise error resamples
SPARSE = 1  # variance of the number of hits in a cell below which the hits seen say little of it
CHUNK = 4_000_000  # numbers that are binned at once


def class_gaps(
    probs: Tensor, labels: Tensor, bins: str, n_bins: int, *, beside: str = "", blocks: int = 1
) -> tuple[Tensor, Tensor]:
    """Sums of (p_k - [label = k]) for each class and bin, [blocks, C, n_bins] float64, and others `beside` them.

    Labels are [N] int64, or [N, C] bool where a row may have several.
    Those beside are "count": how many p_k; "variance": sums of p_k (1 - p_k), which a calibrated model has; "": zeros.
    Row i is in block i mod blocks. Classes are taken some at a time, to save memory.
    """
    rows, classes = probs.shape
    device = probs.device
    block = torch.arange(rows, device=device) % blocks
    other = torch.zeros(blocks, classes, n_bins, dtype=torch.float64, device=device)
    gap = torch.zeros_like(other)
    edges = width_edges(n_bins, probs.dtype, device)
    step = max(1, CHUNK // rows)
    for first in range(0, classes, step):
        part = probs[:, first : first + step].T.contiguous().double()
        taken = len(part)
        if bins == "mass":
            edges = torch.stack([mass_edges(column, n_bins) for column in part])
        where = torch.bucketize(part, edges) if edges.ndim == 1 else torch.searchsorted(edges, part)
        where += n_bins * torch.arange(taken, device=device)[:, None] + taken * n_bins * block
        size = blocks * taken * n_bins
        shape = (blocks, taken, n_bins)
        gap[:, first : first + taken] = torch.bincount(where.view(-1), part.view(-1), size).view(shape)
        if beside:
            weights = None if beside == "count" else (part * (1 - part)).view(-1)
            other[:, first : first + taken] = torch.bincount(where.view(-1), weights, size).view(shape)
        if labels.ndim == 2:
            hits = where[labels[:, first : first + taken].T]
        else:
            mine = ((labels >= first) & (labels < first + taken)).nonzero()[:, 0]
            hits = where[labels[mine] - first, mine]
        gap[:, first : first + taken] -= torch.bincount(hits, minlength=size).view(shape)
    return gap, other


def block_interval(
    value: float,
    probs: Tensor,
    labels: Tensor,
    n_bins: int,
    n: int,
    tails: Tensor,
    generator: torch.Generator,
    *,
    weights: Tensor | None = None,
) -> tuple[float, float]:
    """Interval of the classwise L1 error `value`: whole blocks of rows are resampled, so that classes vary together.

    The error is a mean over classes, with `weights` [C] float64 on the CPU that sum to 1 (default: all the same).

    In worlds in which all gaps are a fraction of those seen, gaps vary about that as they do about those seen. Where
    the variance of the hits in a cell is below SPARSE, what was seen says too little of it, as often nothing was hit at
    all; there gaps vary by the normal law of a calibrated model.
    """
    rows, classes = probs.shape
    blocks = min(BLOCKS, rows)
    parts, variance = (
        sums.view(blocks, -1).cpu()
        for sums in class_gaps(probs, labels, "width", n_bins, beside="variance", blocks=blocks)
    )
    used = parts.any(0)
    weights = torch.full((classes,), 1 / classes, dtype=torch.float64, device="cpu") if weights is None else weights
    share = weights.repeat_interleave(n_bins)[used] / rows
    parts, variance = parts[:, used] * share, variance.sum(0)[used]
    gap, sparse = parts.sum(0), variance < SPARSE
    spread = variance[sparse].sqrt() * share[sparse]
    scale = torch.linspace(0, 1, WORLDS, dtype=torch.float64, device="cpu")
    draws = []
    step = max(1, CHUNK // max(1, len(gap)))
    for first in range(0, n, step):
        count = min(step, n - first)
        picked = (
            torch.randint(blocks, (count, blocks), generator=generator, device="cpu")
            + blocks * torch.arange(count, device="cpu")[:, None]
        )
        noise = torch.bincount(picked.view(-1), minlength=count * blocks).view(count, blocks).double() @ parts - gap
        seen = (noise + gap).abs().sum(1)
        noise[:, sparse] = spread * torch.randn(
            count, len(spread), dtype=torch.float64, generator=generator, device="cpu"
        )
        draws.append(torch.stack([*((noise + world * gap).abs().sum(1) for world in scale[:-1]), seen]))
    return invert(value, scale * value, torch.cat(draws, 1), tails)
