"""Reliability beside netcal, torchmetrics and relplot: adding 10,000 predictions, reading the ECE, and its interval.

    make bench, or: python benchmarks/reliability.py

All in one run, taking turns. A peer that is not installed is left out by name. "rows, NumPy" is the plain way to an
interval: 1,000 resamples of the rows, percentiles of their ECEs.
"""

import importlib.util
from collections.abc import Callable

import harness
import numpy as np
import torch

from mixlab.calibration import Reliability
from mixlab.machine import torch_threads

PEERS = ("netcal", "torchmetrics", "relplot")
BINS = 15
Tasks = dict[str, Callable[[], object]]


def ece_tasks(probs: torch.Tensor, labels: torch.Tensor) -> Tasks:
    """Add all predictions to an empty state, and read the ECE."""
    array, truth, classes = probs.numpy(), labels.numpy(), probs.shape[1]
    tasks: Tasks = {"mixlab": lambda: Reliability(BINS).update(probs, labels).ece()}
    if importlib.util.find_spec("netcal"):
        from netcal.metrics import ECE

        metric = ECE(BINS)
        tasks["netcal"] = lambda: metric.measure(array, truth)
    if importlib.util.find_spec("torchmetrics"):
        from torchmetrics.functional.classification import multiclass_calibration_error

        tasks["torchmetrics"] = lambda: multiclass_calibration_error(probs, labels, classes, n_bins=BINS)
    return tasks


def interval_tasks(probs: torch.Tensor, labels: torch.Tensor) -> Tasks:
    """A 95% interval of the ECE; relplot's is part of the diagram that it prepares."""
    state = Reliability(BINS).update(probs, labels)
    conf, right = probs.amax(1).double().numpy(), (probs.argmax(1) == labels).numpy()

    def rows() -> object:
        draw, count = np.random.default_rng(0), len(conf)
        gap, cell = conf - right, np.ceil(conf * BINS).astype(int) - 1
        resamples = (draw.integers(count, size=count) for _ in range(1000))
        values = [np.abs(np.bincount(cell[chosen], gap[chosen], BINS)).sum() / count for chosen in resamples]
        return np.quantile(values, [0.025, 0.975])

    tasks: Tasks = {"mixlab": lambda: state.interval("ece", n=1000), "rows, NumPy": rows}
    if importlib.util.find_spec("relplot"):
        import relplot

        tasks["relplot"] = lambda: relplot.prepare_rel_diagram(conf, right.astype(float))
    return tasks


def measure(title: str, tasks: Tasks, rounds: int) -> list[dict[str, object]]:
    """One table: median milliseconds of each task, and its ratio to mixlab."""
    seconds = harness.interleaved(tasks, rounds)
    print(f"\n{title}, {rounds} rounds, {torch.get_num_threads()} threads")
    rows: list[dict[str, object]] = []
    for name, times in seconds.items():
        middle, low, high = (round(1e3 * part, 3) for part in harness.median_and_spread(times))
        over = round(harness.ratio(times, seconds["mixlab"]), 2)
        rows.append({"task": title, "by": name, "median_ms": middle, "quartiles_ms": [low, high], "over_mixlab": over})
        print(f"  {name:14}{middle:10.2f} ms ({low:.2f} to {high:.2f}) {over:9.1f} x mixlab")
    return rows


def main() -> None:
    """Measure, print, save. The predictions are over-confident: labels follow the logits, confidences their double."""
    torch.set_num_threads(torch_threads()[0])
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(10_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    probs = (2 * logits).softmax(1)
    rows = measure("10,000 x 10: update and ECE", ece_tasks(probs, labels), 31)
    rows += measure("10,000 x 10: 95% interval of the ECE", interval_tasks(probs, labels), 15)
    harness.save("reliability", ("mixlab", "torch", "numpy", *PEERS), rows=rows)


if __name__ == "__main__":
    main()
