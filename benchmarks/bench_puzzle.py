"""Puzzle Mix on CIFAR-10: the mask problem beside gco's α-β swap, and what each part of a step costs.

    make bench, or: python benchmarks/bench_puzzle.py [--quick]

Where gco is not installed (it has no wheels for Python 3.12 and later) its rows are left out. Where there is a GPU, all
of ours runs there too.
"""

import multiprocessing
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.pool import Pool
from typing import Any

import harness
import numpy as np
import results
import torch
from torch import Tensor
from torch.nn import functional

import mixlab as mx
from mixlab.machine import torch_threads
from mixlab.mixing.saliency import saliency
from mixlab.mixing.variants.puzzle.energy import block_saliency, energy, seams
from mixlab.mixing.variants.puzzle.mincut import least_energy
from mixlab.mixing.variants.puzzle.transport import transport

BATCH, MANY = 128, 1024
BLOCKS, LEVELS = (4, 8, 16), (2, 3)
WEIGHTS = {"beta": 1.2, "gamma": 0.5, "eta": 0.2}
METHOD = f"""Masks: a call solves {BATCH} real problems, the saliency being that of `models.quick` after an epoch on
5,000 images of CIFAR-10; λ is uniform. gco solves them one by one from tensors on the CPU, as in the official code, and
its costs are fine integers: one process of it is beside one thread of ours, and two workers, which stay alive, beside
two threads. Energy: the masks of {MANY:,} problems weighed in float64; a gap is how far gco's energy lies above ours,
as a share of ours. Up to 8 x 8 blocks `least_energy` finds a global minimum; at 16 x 16 it is near one but not exact,
and gco's α-β swap is exact with 2 levels alone. Step: a batch of {BATCH} in float32, forward, backward and SGD, then
the parts that Puzzle Mix adds to it, each timed by itself."""
Problem = tuple[Tensor, Tensor, Tensor]


def swap_labels(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Labels [N, b, b] by gco's swap, one problem after the other."""
    import gco

    levels, side = unary.shape[1], unary.shape[2]
    scale = 5e6 / np.abs(unary).max()
    costs = np.ascontiguousarray((unary * scale).round().astype(np.int32).transpose(0, 2, 3, 1))
    apart = np.array([[(i - j) ** 2 for j in range(levels)] for i in range(levels)], dtype=np.int32)
    down, right = ((part * scale / (levels - 1) ** 2).round().astype(np.int32) for part in (down, right))
    solved = [
        gco.cut_grid_graph(cost, apart, lower, across, algorithm="swap")
        for cost, lower, across in zip(costs, down, right, strict=True)
    ]
    return np.stack(solved).reshape(-1, side, side)


@contextmanager
def swappers() -> Iterator[Pool | None]:
    """Two workers that stay alive, or None where gco is not installed."""
    if find_spec("gco") is None:
        yield None
        return
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        yield pool


def swap_in_pool(problem: Problem, pool: Pool | None) -> Tensor:
    """As above, from tensors to a tensor, here or shared out to the workers."""
    parts = [part.cpu().numpy() for part in problem]
    if pool is None:
        return torch.from_numpy(swap_labels(*parts))
    shares = zip(*(np.array_split(part, 2) for part in parts), strict=True)
    return torch.from_numpy(np.concatenate(pool.starmap(swap_labels, shares)))


def weigh(problem: Problem, labels: Tensor) -> Tensor:
    """The energy of labels [N, b, b], in float64: [N]."""
    unary, down, right = (part.double() for part in problem)
    m = labels.double() / (unary.shape[1] - 1)
    total = unary.gather(1, labels.long()[:, None]).sum((1, 2, 3))
    total += (down * (m[:, 1:] - m[:, :-1]) ** 2).sum((1, 2))
    return total + (right * (m[:, :, 1:] - m[:, :, :-1]) ** 2).sum((1, 2))


def real_problem(x: Tensor, size: Tensor, blocks: int, levels: int) -> Problem:
    """The mask problems of a batch of images and their saliency."""
    partner = torch.arange(len(x), device=x.device).roll(1)
    lam = torch.rand(1, len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    own, seam = block_saliency(size, blocks), seams(x.float() / 255, partner, blocks, min(4, 32 // blocks))
    return energy(own, own[partner], seam, lam, levels=levels, **WEIGHTS)


def gap_row(problem: Problem, pool: Pool, **which: int) -> dict[str, Any]:
    """How far the energies of gco's masks lie above ours."""
    best, other = (weigh(problem, labels) for labels in (least_energy(*problem), swap_in_pool(problem, pool)))
    gap = (other - best) / best.abs()
    return {
        **which,
        "problems": len(gap),
        "mean_gap": float(f"{float(gap.mean()):.2e}"),
        "share_above": round(float((gap > 1e-6).double().mean()), 4),
        "share_below": round(float((gap < -1e-6).double().mean()), 4),
    }


def masks(x: Tensor, size: Tensor, repeats: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Seconds of a batch of masks beside gco, and how the energies of many compare."""
    rows: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    threads = torch_threads()[0]
    with swappers() as pool:
        for blocks in BLOCKS:
            for levels in LEVELS:
                problem = real_problem(x, size, blocks, levels)
                batch: Problem = tuple(part[:BATCH] for part in problem)  # type: ignore[assignment]

                def by_us(count: int, batch: Problem = batch) -> Tensor:
                    torch.set_num_threads(count)
                    return least_energy(*batch)

                ours: dict[str, harness.Task] = {
                    f"least_energy, {count} thread{'s' * (count > 1)}": lambda count=count, by_us=by_us: by_us(count)
                    for count in (1, 2)
                }
                if torch.cuda.is_available():
                    there: Problem = tuple(part.cuda() for part in batch)  # type: ignore[assignment]
                    ours["least_energy, GPU"] = lambda there=there: least_energy(*there)
                peers: dict[tuple[str, str], harness.Task] = {}
                if pool is not None:
                    one, two = (("gco-wrapper", f"swap, {count}") for count in ("one process", "two processes"))
                    peers[one] = lambda batch=batch: swap_in_pool(batch, None)
                    peers[two] = lambda batch=batch, pool=pool: swap_in_pool(batch, pool)
                    gaps.append(gap_row(problem, pool, blocks=blocks, levels=levels))
                pairs = [(mine, one if mine == "least_energy, 1 thread" else two) for mine in ours if peers]
                what = f"{BATCH} masks, {blocks} x {blocks} blocks, {levels} levels"
                rows += harness.compare("Puzzle Mix", what, ours, peers, repeats, pairs=pairs)
    torch.set_num_threads(threads)
    harness.show(f"masks, {repeats} rounds", rows)
    if gaps:
        heads = list(gaps[0])
        harness.table("energy of gco above ours, as a share of ours", heads, [[row[h] for h in heads] for row in gaps])
    return rows, gaps


def steps(model: torch.nn.Module, x: Tensor, y: Tensor, normalize: object, repeats: int) -> list[dict[str, Any]]:
    """What a plain step costs, what Puzzle Mix adds, and whole steps of it."""
    device = x.device
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    model.train()

    def descend(images: Tensor, plan: mx.MixPlan) -> None:
        loss = mx.mixed_cross_entropy(model(images), *plan.labels(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def whole(mixer: mx.Mixer) -> None:
        plan = mixer.plan(x, y, model=model, normalize=normalize)
        descend(plan.apply(x, normalize=normalize), plan)

    def bare() -> None:
        loss = functional.cross_entropy(model(ready), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    ready = mx.Mixer("none").plan(x).apply(x, normalize=normalize)
    size = saliency(model, x, y, normalize=normalize)
    tasks: dict[str, harness.Task] = {
        "plain step": bare,
        "mixup step": lambda: whole(mx.Mixer("mixup")),
        "saliency pass": lambda: saliency(model, x, y, normalize=normalize),
    }
    for blocks in BLOCKS:
        plan = mx.Mixer("puzzle", blocks=blocks).plan(x, y, model=model, normalize=normalize)
        mask, value = plan.mask, block_saliency(size, max(8, blocks))
        assert mask is not None
        fine = mask[0].repeat_interleave(max(1, 8 // blocks), 1).repeat_interleave(max(1, 8 // blocks), 2)
        tasks |= {
            f"masks, b = {blocks}": lambda blocks=blocks: least_energy(*real_problem(x, size, blocks, 3)),
            f"transport of both, b = {blocks}": lambda fine=fine, value=value: [
                transport(part, value, 0.8) for part in (fine, 1 - fine)
            ],
            f"apply, b = {blocks}": lambda plan=plan: plan.apply(x, normalize=normalize),
            f"puzzle step, b = {blocks}": lambda blocks=blocks: whole(mx.Mixer("puzzle", blocks=blocks)),
        }
    seconds = harness.interleaved(tasks, repeats)
    rows = [
        {
            "name": name if device.type == "cpu" else f"{name}, {device.type}",
            "median": statistics.median(times),
            "over_plain_step": harness.ratio_interval(times, seconds["plain step"]),
        }
        for name, times in seconds.items()
    ]
    harness.table(
        f"steps of {BATCH} images on {device.type}, {repeats} rounds, {torch.get_num_threads()} threads",
        ("task", "seconds", "over a plain step"),
        [(row["name"], row["median"], row["over_plain_step"]) for row in rows],
    )
    return rows


def main() -> None:
    """Train a little, measure, print, save."""
    quick = harness.parser(__doc__, METHOD).parse_args().quick
    threads = torch_threads()[0]
    torch.manual_seed(0)
    data = mx.load("cifar10", train_size=5000, test_size=500)
    model = mx.models.quick(len(data.classes))
    for _ in mx.fit(model, data, None, epochs=1, seed=0, device="cpu"):
        pass
    torch.set_num_threads(threads)
    model = model.float().to(memory_format=torch.contiguous_format)
    normalize, images, labels = data.normalization, data.train.images[:MANY], data.train.labels[:MANY]
    size = saliency(model, images, labels, normalize=normalize)
    repeats = 3 if quick else 11
    rows, gaps = masks(images, size, repeats)
    x, y = images[:BATCH], labels[:BATCH]
    costs = steps(model, x, y, normalize, repeats)
    if torch.cuda.is_available():
        costs += steps(model.cuda(), x.cuda(), y.cuda(), normalize, repeats)
    if not quick:
        results.save(
            "puzzle",
            ("mixlab", "torch", "gco-wrapper"),
            absent=harness.absent({"gco-wrapper": "gco"}),
            tasks=rows,
            gaps=gaps,
            steps=costs,
        )


if __name__ == "__main__":
    main()
