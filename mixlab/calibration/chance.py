"""What chance alone would show: labels drawn anew from the stated confidences, as if each of them were true."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixlab.calibration.bins import fill_cells, mass_edges, width_edges
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.smooth import smooth_curve

DRAWS, SMOOTH_DRAWS = 1000, 200  # draws behind a band; a smooth curve costs more than a few bins
# Rows whose confidence is the same to 1/FINE are drawn together: a band costs the same for any number of rows.
FINE = 200


@dataclass(frozen=True)
class ChanceBins:
    """Bins of one prediction set, and where chance would put them: float64 tensors on the CPU.

    Attributes:
        edges, count: [n_bins + 1] and [n_bins], of all bins.
        confidence, accuracy: means over each of the bins that are not empty.
        low, high: ends of 95% of the accuracies that a calibrated model with these confidences would show there.
    """

    edges: Tensor
    count: Tensor
    confidence: Tensor
    accuracy: Tensor
    low: Tensor
    high: Tensor


def chance_bins(predictions: Predictions, bins: str, n_bins: int, generator: torch.Generator) -> ChanceBins:
    """Bins of equal width ("width") or equal counts ("mass") with their band; p on the CPU."""
    inner = (
        width_edges(n_bins, predictions.given_dtype) if bins == "width" else mass_edges(predictions.confidence, n_bins)
    )
    cells = fill_cells(predictions.confidence, predictions.correct, inner)
    count, total, right = cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]
    filled = count > 0
    parts = (
        part / count[filled]
        for part in (total[filled], right[filled], *_rights(predictions.confidence, inner, generator))
    )
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return ChanceBins(torch.cat([ends[:1], inner, ends[1:]]), count, *parts)


def _rights(confidence: Tensor, inner: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ends of 95% of the numbers of right answers in each bin that is not empty, were every confidence true."""
    fine = (confidence * FINE).round().long().clamp(max=FINE) + (FINE + 1) * torch.bucketize(confidence, inner)
    key, group = torch.unique(fine, return_inverse=True)
    size = torch.bincount(group).double()
    mean = (torch.bincount(group, confidence) / size).clamp(max=1)
    shape = (DRAWS, len(key))
    drawn = torch.binomial(size.expand(shape), mean.expand(shape), generator=generator)
    cell, place = torch.unique(key // (FINE + 1), return_inverse=True)
    right = torch.zeros(DRAWS, len(cell), dtype=torch.float64).index_add_(1, place, drawn)
    return right.quantile(0.025, 0, interpolation="lower"), right.quantile(0.975, 0, interpolation="higher")


def smooth_band(
    predictions: Predictions, bandwidth: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, and ends of 95%, of the smooth curves of calibrated models, NaN where p has no curve; p on the CPU.

    Each is [points]. The mean is that of the confidences under the kernel, but for the noise of SMOOTH_DRAWS draws.
    """
    other = (predictions.answer + 1) % predictions.num_classes
    curves = []
    for _ in range(SMOOTH_DRAWS):
        right = torch.rand(len(predictions), dtype=torch.float64, generator=generator) < predictions.confidence
        world = replace(predictions, labels=torch.where(right, predictions.answer, other))
        curves.append(smooth_curve(world, bandwidth=bandwidth).accuracy)
    worlds = torch.stack(curves)
    low, high = worlds.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 0)
    return worlds.mean(0), low, high
