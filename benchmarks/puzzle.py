"""Puzzle Mix on CIFAR-10: the mask problem beside gco's α-β swap, and what each part of a step costs.

    make bench, or: python benchmarks/puzzle.py [--quick]

Masks: 128 real problems, the saliency being that of `models.quick` after an epoch on 5,000 images; λ is uniform. gco
solves them one by one from tensors on the CPU, as in the official code, in this process or in two workers that stay
alive; its costs are fine integers. Where it is not installed (it has no wheels for Python 3.12 and later) its rows are
left out. The energies of 1,024 problems are compared in float64; a gap is how far gco's lies
above ours, as a share of ours. Step: a batch of 128 in float32, forward, backward and SGD; then what Puzzle Mix adds
to it. Where there is a GPU, all of ours runs there too.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.pool import Pool

import harness
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import mixlab as mx
from mixlab.gradients import saliency
from mixlab.gridcut import least_energy
from mixlab.machine import torch_threads
from mixlab.puzzle import block_saliency, energy, seams, transport

BATCH, MANY = 128, 1024
BLOCKS, LEVELS = (4, 8, 16), (2, 3)
GCO = "gco, two processes"
WEIGHTS = {"beta": 1.2, "gamma": 0.5, "eta": 0.2}
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
        print("gco-wrapper is not installed here: its rows are left out")
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


def gap_row(problem: Problem, pool: Pool, **which: int) -> dict[str, object]:
    """How far the energies of gco's masks lie above ours."""
    best, other = (weigh(problem, labels) for labels in (least_energy(*problem), swap_in_pool(problem, pool)))
    gap = (other - best) / best.abs()
    row = {
        "task": "energy of gco above ours",
        **which,
        "problems": len(gap),
        "mean_gap": float(f"{float(gap.mean()):.2e}"),
        "largest_gap": float(f"{float(gap.max()):.2e}"),
        "smallest_gap": float(f"{float(gap.min()):.2e}"),
        "share_above": round(float((gap > 1e-6).double().mean()), 4),
        "share_below": round(float((gap < -1e-6).double().mean()), 4),
    }
    print(
        f"   gco above ours by {row['mean_gap']:.1e} on average, {row['smallest_gap']:.1e} to "
        f"{row['largest_gap']:.1e}; above in {row['share_above']:.1%}, below in {row['share_below']:.1%}"
    )
    return row


def masks(x: Tensor, size: Tensor, repeats: int) -> list[dict[str, object]]:
    """Seconds of a batch of masks, and energies of many."""
    rows: list[dict[str, object]] = []
    threads = torch_threads()[0]
    print(f"\nmasks of {BATCH} pairs, {repeats} rounds")
    print(f"{'':14}{'':28}{'median ms':>10}{'quartiles':>18}{'gco × 2 / it':>14}")
    with swappers() as pool:
        for blocks in BLOCKS:
            for levels in LEVELS:
                problem = real_problem(x, size, blocks, levels)
                batch: Problem = tuple(part[:BATCH] for part in problem)  # type: ignore[assignment]

                def by_us(count: int, batch: Problem = batch) -> Tensor:
                    torch.set_num_threads(count)
                    return least_energy(*batch)

                tasks: dict[str, Callable[[], object]] = {}
                if pool is not None:
                    tasks["gco, one process"] = lambda batch=batch: swap_in_pool(batch, None)
                    tasks[GCO] = lambda batch=batch, pool=pool: swap_in_pool(batch, pool)
                tasks["mixlab, one thread"] = lambda by_us=by_us: by_us(1)
                tasks[f"mixlab, {threads} threads"] = lambda by_us=by_us: by_us(threads)
                if torch.cuda.is_available():
                    there: Problem = tuple(part.cuda() for part in batch)  # type: ignore[assignment]
                    tasks["mixlab, GPU"] = lambda there=there: least_energy(*there)
                seconds = harness.interleaved(tasks, repeats)
                for name, times in seconds.items():
                    middle, low, high = harness.median_and_spread(times)
                    row = {
                        "task": name,
                        "blocks": blocks,
                        "levels": levels,
                        "median_ms": round(1e3 * middle, 3),
                        "quartiles_ms": [round(1e3 * low, 3), round(1e3 * high, 3)],
                    }
                    faster = ""
                    if pool is not None:
                        row["gco_two_processes_over_it"] = round(harness.ratio(seconds[GCO], times), 2)
                        faster = f"{row['gco_two_processes_over_it']:.2f}"
                    rows.append(row)
                    span = f"{1e3 * low:.2f} to {1e3 * high:.2f}"
                    print(f"b = {blocks:2}, L = {levels} {name:28}{1e3 * middle:10.2f}{span:>18}{faster:>14}")
                if pool is not None:
                    rows.append(gap_row(problem, pool, blocks=blocks, levels=levels))
    torch.set_num_threads(threads)
    return rows


def steps(model: torch.nn.Module, x: Tensor, y: Tensor, normalise: object, repeats: int) -> list[dict[str, object]]:
    """What a plain step costs, what Puzzle Mix adds, and whole steps of it."""
    device = x.device
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    model.train()

    def descend(images: Tensor, plan: mx.MixPlan) -> None:
        loss = mx.mixed_cross_entropy(model(images), *plan.labels(y))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def whole(mixer: mx.Mixer) -> None:
        plan = mixer.plan(x, y, model=model, normalise=normalise)
        descend(plan.apply(x, normalise=normalise), plan)

    def bare() -> None:
        loss = functional.cross_entropy(model(ready), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    ready = mx.Mixer("none").plan(x).apply(x, normalise=normalise)
    size = saliency(model, x, y, normalise=normalise)
    tasks: dict[str, Callable[[], object]] = {
        "plain step": bare,
        "mixup step": lambda: whole(mx.Mixer("mixup")),
        "saliency pass": lambda: saliency(model, x, y, normalise=normalise),
    }
    for blocks in BLOCKS:
        plan = mx.Mixer("puzzle", blocks=blocks).plan(x, y, model=model, normalise=normalise)
        mask, value = plan.mask, block_saliency(size, max(8, blocks))
        assert mask is not None
        fine = mask[0].repeat_interleave(max(1, 8 // blocks), 1).repeat_interleave(max(1, 8 // blocks), 2)
        tasks |= {
            f"masks, b = {blocks}": lambda blocks=blocks: least_energy(*real_problem(x, size, blocks, 3)),
            f"transport of both, b = {blocks}": lambda fine=fine, value=value: [
                transport(part, value, 0.8) for part in (fine, 1 - fine)
            ],
            f"apply, b = {blocks}": lambda plan=plan: plan.apply(x, normalise=normalise),
            f"puzzle step, b = {blocks}": lambda blocks=blocks: whole(mx.Mixer("puzzle", blocks=blocks)),
        }
    seconds = harness.interleaved(tasks, repeats)
    rows: list[dict[str, object]] = []
    print(f"\nsteps of {BATCH} images on {device.type}, {repeats} rounds, {torch.get_num_threads()} threads")
    print(f"{'':32}{'median ms':>10}{'quartiles':>18}{'/ plain':>9}")
    for name, times in seconds.items():
        middle, low, high = harness.median_and_spread(times)
        row = {
            "task": name,
            "device": device.type,
            "median_ms": round(1e3 * middle, 3),
            "quartiles_ms": [round(1e3 * low, 3), round(1e3 * high, 3)],
            "over_plain_step": round(harness.ratio(times, seconds["plain step"]), 3),
        }
        rows.append(row)
        print(f"{name:32}{1e3 * middle:10.2f}{f'{1e3 * low:.2f} to {1e3 * high:.2f}':>18}{row['over_plain_step']:9.2f}")
    return rows


def main() -> None:
    """Train a little, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing saved")
    quick = parser.parse_args().quick
    threads = torch_threads()[0]
    torch.manual_seed(0)
    data = mx.load("cifar10", train_size=5000, test_size=500)
    model = mx.models.quick(len(data.classes))
    for record in mx.fit(model, data, None, epochs=1, seed=0, device="cpu"):
        trained = record.test_accuracy
    torch.set_num_threads(threads)
    model = model.float().to(memory_format=torch.contiguous_format)
    normalise, images, labels = data.normalisation, data.train.images[:MANY], data.train.labels[:MANY]
    size = saliency(model, images, labels, normalise=normalise)
    repeats = 3 if quick else 11
    solved = masks(images, size, repeats)
    x, y = images[:BATCH], labels[:BATCH]
    costs = steps(model, x, y, normalise, repeats)
    if torch.cuda.is_available():
        costs += steps(model.cuda(), x.cuda(), y.cuda(), normalise, repeats)
    if not quick:
        harness.save(
            "puzzle",
            ("mixlab", "torch", "gco-wrapper"),
            accuracy_of_the_net=round(float(trained), 3),
            masks=solved,
            steps=costs,
        )


if __name__ == "__main__":
    main()
