"""Reliability beside netcal, torchmetrics and relplot: adding 10,000 predictions, reading the ECE, and its interval.

    python benchmarks/reliability.py

All in one run, interleaved; medians, and ratios to mixlab. A peer that is not installed is left out by name. Writes
reliability.json beside this file.
"""

import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from mixlab.calibration import Reliability

REPEATS, SLOW_REPEATS = 31, 3
PEERS = ("netcal", "torchmetrics", "relplot")


def cases(probs: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[str, Callable[[], object]]]:
    """Task -> contestant -> one call."""
    array, truth = probs.numpy(), labels.numpy()
    rel = Reliability().update(probs, labels)
    classes = probs.shape[1]
    once: dict[str, Callable[[], object]] = {"mixlab": lambda: Reliability().update(probs, labels).ece()}
    interval: dict[str, Callable[[], object]] = {"mixlab": lambda: rel.interval("ece", n=1000)}

    def rows() -> object:
        """1,000 resamples of the rows in NumPy, from confidences binned beforehand: the plain way to an interval."""
        generator = np.random.default_rng(0)
        top, right = array.max(1).astype(np.float64), array.argmax(1) == truth
        gap, cell = top - right, np.ceil(top * 15).astype(int) - 1
        draws = (generator.integers(len(top), size=len(top)) for _ in range(1000))
        values = [np.abs(np.bincount(cell[draw], gap[draw], 15)).sum() / len(top) for draw in draws]
        return np.quantile(values, [0.025, 0.975])

    interval["rows, NumPy"] = rows
    if importlib.util.find_spec("netcal"):
        metric = importlib.import_module("netcal.metrics").ECE(15)
        once["netcal"] = lambda: metric.measure(array, truth)
    if importlib.util.find_spec("torchmetrics"):
        functional = importlib.import_module("torchmetrics.functional.classification")
        once["torchmetrics"] = lambda: functional.multiclass_calibration_error(probs, labels, classes, n_bins=15)
    if importlib.util.find_spec("relplot"):
        relplot = importlib.import_module("relplot")
        top, right = array.max(1), (array.argmax(1) == truth).astype(float)
        interval["relplot"] = lambda: relplot.prepare_rel_diagram(top, right)
    return {"10,000 x 10: update and ECE": once, "10,000 x 10: 95% interval of ECE": interval}


def measure(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each, taking turns; what is slower than 0.2 s takes fewer turns."""
    turns: dict[str, int] = {}
    for name, call in contestants.items():
        start = time.perf_counter()
        call()
        turns[name] = SLOW_REPEATS if time.perf_counter() - start > 0.2 else REPEATS
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(REPEATS):
        for name, call in contestants.items():
            if turn < turns[name]:
                start = time.perf_counter()
                call()
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def installed(package: str) -> str:
    """Version of `package`, or words that say it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """Measure, print a table, write the report."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(10_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    results = {task: measure(contestants) for task, contestants in cases((2 * logits).softmax(1), labels).items()}
    for task, medians in results.items():
        print(task)
        for name, value in medians.items():
            print(f"  {name:14s}{value:10.2f} ms {value / medians['mixlab']:9.1f} x mixlab")
    load = f"{os.getloadavg()[0]:.1f}"  # above the number of cores: the times are too long, the ratios rough
    machine: dict[str, object] = {"load": load, "cores": os.cpu_count()}
    machine |= {"processor": platform.machine(), "system": platform.system(), "threads": torch.get_num_threads()}
    versions = {name: installed(name) for name in ("torch", "numpy", *PEERS)} | {"python": platform.python_version()}
    report: dict[str, object] = {
        "command": "python benchmarks/reliability.py",
        "machine": machine,
        "versions": versions,
    }
    report |= {"repeats": REPEATS, "slow_repeats": SLOW_REPEATS, "median_ms": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
