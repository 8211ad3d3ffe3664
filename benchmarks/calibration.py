"""Estimators of calibration beside netcal, torchmetrics, relplot, scikit-learn, torch-uncertainty: speed, errors.

    make bench, or: python benchmarks/calibration.py [--quick]

All in one run, taking turns, on one thread; each from probabilities and labels to a number, ours with its checks, and
without, as relplot has none. A peer that is not installed is left out by name. "rows, NumPy" is the plain way to an
interval: 1,000 resamples of the rows, percentiles of their ECEs. Errors are against float64 loops over the rows, on
cases that are hard at their edges.
"""

import argparse
import importlib.util
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor

from mixlab.calibration import Reliability
from mixlab.cells import binned_intervals, fill_cells, mass_edges, tails_of, width_edges
from mixlab.estimators import brier, calibration_error, classwise_error, estimate, estimates, nll
from mixlab.predictions import Predictions
from mixlab.ranking import aurc
from mixlab.smooth import smooth_error

MODULES = {
    "netcal": "netcal.metrics",
    "torchmetrics": "torchmetrics",
    "relplot": "relplot",
    "scikit-learn": "sklearn.metrics",
    "torch-uncertainty": "torch_uncertainty.metrics",
}
STREAMS = ("netcal", "torchmetrics")  # beside a state that is updated and read
BINS = 15
SIZES = ((10_000, 10, 21), (50_000, 10, 11), (1_000_000, 10, 6), (50_000, 1000, 6))  # rows, classes, rounds
LIMIT = 2.0  # seconds of a call, beyond which a peer is named and timed no further
ALL_BINNED = (
    "l1",
    "l2",
    "max",
    "l1 debiased",
    "l2 debiased",
    "overconfidence",
    "underconfidence",
    "reliability",
    "resolution",
)
Tasks = dict[str, harness.Task]


def ours(probs: Tensor, labels: Tensor, make: Callable[..., Predictions] = Predictions.from_probs) -> Tasks:
    """Metric -> our task; `make` is Predictions itself to leave the checks out."""
    measures: dict[str, Callable[[Predictions], object]] = {
        "ECE": lambda p: calibration_error(p, n_bins=BINS),
        "L2": lambda p: calibration_error(p, norm="l2", n_bins=BINS),
        "MCE": lambda p: calibration_error(p, norm="max", n_bins=BINS),
        "ECE, equal mass": lambda p: calibration_error(p, bins="mass", n_bins=BINS),
        "classwise": lambda p: classwise_error(p, n_bins=BINS),
        "smooth": smooth_error,
        "NLL": nll,
        "Brier": brier,
        "AURC": aurc,
    }
    return {name: lambda measure=measure: measure(make(probs, labels)) for name, measure in measures.items()}


def theirs(probs: Tensor, labels: Tensor) -> dict[str, Tasks]:
    """Metric -> peer -> its task."""
    array, truth, classes = probs.numpy(), labels.numpy(), probs.shape[1]
    found: dict[str, Tasks] = {name: {} for name in ours(probs, labels)}

    def top(task: Callable[..., object], **given: int) -> Callable[[], object]:
        return lambda: task(array.max(1).astype(float), (array.argmax(1) == truth).astype(float), **given)

    if importlib.util.find_spec("netcal"):
        from netcal.metrics import ECE, MCE

        # given all classes, netcal raises where a class has no label
        for name, metric in (("ECE", ECE(BINS)), ("MCE", MCE(BINS)), ("ECE, equal mass", ECE(BINS, False))):
            found[name]["netcal"] = top(metric.measure)
    if importlib.util.find_spec("torchmetrics"):
        from torchmetrics.functional.classification import multiclass_calibration_error as error

        for name, norm in (("ECE", "l1"), ("L2", "l2"), ("MCE", "max")):
            found[name]["torchmetrics"] = lambda norm=norm: error(probs, labels, classes, n_bins=BINS, norm=norm)
    if importlib.util.find_spec("relplot"):
        from relplot.metrics import binnedECE, smECE

        found["ECE"]["relplot"] = top(binnedECE, nbins=BINS)
        found["smooth"]["relplot"] = top(smECE)
    if importlib.util.find_spec("sklearn"):
        from sklearn.metrics import log_loss

        found["NLL"]["scikit-learn"] = lambda: log_loss(truth, array, labels=range(classes))
    if importlib.util.find_spec("torch_uncertainty"):
        from torch_uncertainty import metrics as tu

        makers = {
            "ECE": lambda: tu.CalibrationError(task="multiclass", num_classes=classes, num_bins=BINS),
            "ECE, equal mass": lambda: tu.AdaptiveCalibrationError(
                task="multiclass", num_classes=classes, num_bins=BINS
            ),
            "classwise": lambda: tu.ClasswiseCalibrationError(num_classes=classes, num_bins=BINS),
            "smooth": lambda: tu.SmoothCalibrationError(kernel_type="reflected"),
            "NLL": tu.CategoricalNLL,
            "Brier": lambda: tu.BrierScore(num_classes=classes),
            "AURC": tu.AURC,
        }
        for name, make in makers.items():
            found[name]["torch-uncertainty"] = lambda make=make: make()(probs, labels)
    return found


def swift(peers: Tasks) -> tuple[Tasks, dict[str, float]]:
    """The peers that answer within LIMIT seconds, and how long the others took."""
    kept, slow = {}, {}
    for peer, task in peers.items():
        began = time.perf_counter()
        task()
        seconds = time.perf_counter() - began
        if seconds < LIMIT:
            kept[peer] = task
        else:
            slow[peer] = seconds
    return kept, slow


def measure(what: str, ours: Tasks, peers: Tasks, rounds: int) -> list[dict[str, Any]]:
    """Every one of ours beside every peer; a slow peer has a row with the seconds of one call, and no ratio."""
    kept, slow = swift(peers)
    if slow and not kept:
        rounds = min(rounds, 3)  # there is no ratio to be sure of
    rows = harness.compare("calibration", what, ours, {(name, ""): task for name, task in kept.items()}, rounds)
    for name, seconds in slow.items():
        note = f"one call took {seconds:.1f} s, and it was not timed further"
        rows += [harness.comparison("calibration", what, name, ours=mine, note=note) for mine in ours]
    return rows


def draw(rows: int, classes: int) -> tuple[Tensor, Tensor]:
    """Over-confident float32 predictions: labels follow the logits, confidences their double."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(rows, classes, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits.mul_(2).softmax(1), labels


def metrics_table(quick: bool) -> list[dict[str, Any]]:
    """Each shared metric, at each size."""
    rows = []
    for size, classes, rounds in SIZES[:1] if quick else SIZES:
        probs, labels = draw(size, classes)
        peers, checked = theirs(probs, labels), ours(probs, labels, Predictions)
        for name, task in ours(probs, labels).items():
            mine = {"with its checks": task, "checked before": checked[name]}
            rows += measure(f"{name}, {size:,} x {classes}", mine, peers[name], rounds)
    harness.show("metrics, one thread", rows)
    return rows


def interval_table() -> list[dict[str, Any]]:
    """95% intervals from 1,000 resamples of 10,000 x 10 predictions; relplot's is part of the diagram it prepares."""
    probs, labels = draw(10_000, 10)
    p = Predictions.from_probs(probs, labels)
    conf, right = p.confidence.numpy(), p.correct.numpy()
    state = Reliability(BINS).update(probs, labels)

    def rows() -> object:
        generator, count = np.random.default_rng(0), len(conf)
        gap, cell = conf - right, np.ceil(conf * BINS).astype(int) - 1
        resamples = (generator.integers(count, size=count) for _ in range(1000))
        values = [np.abs(np.bincount(cell[chosen], gap[chosen], BINS)).sum() / count for chosen in resamples]
        return np.quantile(values, [0.025, 0.975])

    def all_binned() -> None:
        fresh = Predictions.from_probs(probs, labels)
        width, mass = width_edges(BINS, probs.dtype), mass_edges(fresh.confidence.float(), BINS)
        for edges, metrics in ((width, ALL_BINNED), (mass, ALL_BINNED[:3])):
            cells = fill_cells(fresh.confidence, fresh.correct, edges)
            binned_intervals(cells, metrics, 1000, tails_of(0.95), torch.Generator().manual_seed(0))

    mine: Tasks = {
        "estimate(p, 'ece')": lambda: estimate(p, "ece"),
        "Reliability.interval": lambda: state.interval("ece", n=1000),
    }
    peers: Tasks = {"rows, NumPy": rows}
    if importlib.util.find_spec("relplot"):
        import relplot

        peers["relplot"] = lambda: relplot.prepare_rel_diagram(conf, right.astype(float))
    size = "10,000 x 10"
    found = measure(f"95% interval of the ECE, {size}", mine, peers, 7)
    names = ("ece", "ece_mass", "ece_l2", "mce", "debiased", "debiased_l1")
    names += ("overconfidence", "underconfidence", "reliability", "resolution")
    many: Tasks = {"12 intervals from bins": all_binned, "estimates(p, names)": lambda: estimates(p, names)}
    found += measure(f"95% intervals of all binned metrics, {size}", many, {}, 31)
    for name in ("classwise", "smooth", "ks", "aurc", "nll", "brier"):
        task: Tasks = {f"estimate(p, {name!r})": lambda name=name: estimate(p, name)}
        found += measure(f"95% interval of {name}, {size}", task, {}, 9)
    update: Tasks = {"Reliability": lambda: Reliability(BINS).update(probs, labels).ece()}
    streams = {name: task for name, task in theirs(probs, labels)["ECE"].items() if name in STREAMS}
    found += measure(f"streaming update and ECE, {size}", update, streams, 31)
    harness.show("intervals and updates, one thread", found)
    return found


def hard_cases() -> dict[str, tuple[Tensor, Tensor]]:
    """Float64 probabilities and labels whose confidences are 0 or 1, tied, on edges, few, or of many classes."""

    def two(conf: list[float], right: list[int]) -> tuple[Tensor, Tensor]:
        first = torch.tensor(conf, dtype=torch.float64)[:, None]
        return torch.cat([first, (1 - first).expand(-1, 20) / 20], 1), 1 - torch.tensor(right)

    many, some = draw(200, 1000), draw(1500, 10)
    return {
        "confidence 1": two([0.95, 1.0, 1.0, 0.4], [1, 0, 1, 0]),
        "ties on edges": two([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 1, 1]),
        "one bin": two([0.71, 0.72, 0.73, 0.715], [1, 0, 1, 1]),
        "one prediction": two([0.7], [0]),
        "1,000 classes": (many[0].double(), many[1]),
        "random": (some[0].double(), some[1]),
    }


def reference(metric: str, probs: Tensor, labels: Tensor) -> float:
    """ECE, L2, MCE or ECE of equal mass by loops over rows in float64."""
    conf, right = probs.numpy().max(1), (probs.numpy().argmax(1) == labels.numpy()).astype(float)
    ordered, n = sorted(conf), len(conf)
    edges = [i / BINS for i in range(1, BINS)]
    if metric == "ECE, equal mass":
        edges = [ordered[max(-(-i * n // BINS) - 1, 0)] for i in range(1, BINS)]
    where = np.array([sum(bool(value > edge) for edge in edges) for value in conf])
    filled = [where == i for i in range(BINS) if (where == i).any()]
    gaps = [abs(conf[rows].mean() - right[rows].mean()) for rows in filled]
    if metric == "MCE":
        return max(gaps)
    power = 2 if metric == "L2" else 1
    return sum(rows.sum() / n * gap**power for rows, gap in zip(filled, gaps, strict=True)) ** (1 / power)


def errors_table() -> list[dict[str, Any]]:
    """The distance from the reference, on each hard case, of ours and of each peer; what a peer raises, by name."""
    rows: list[dict[str, Any]] = []
    for case, (probs, labels) in hard_cases().items():
        ground, peers = ours(probs, labels), theirs(probs, labels)
        for metric in ("ECE", "L2", "MCE", "ECE, equal mass"):
            truth = reference(metric, probs, labels)

            def error(task: harness.Task, truth: float = truth) -> float | str:
                try:
                    value = float(task())  # type: ignore[arg-type]
                except Exception as fault:  # noqa: BLE001 - whatever a peer raises is its result
                    return f"raises {type(fault).__name__}"
                return "gives NaN" if math.isnan(value) else abs(value - truth)

            rows += [
                harness.comparison(
                    "calibration, errors",
                    f"{metric}: {case}",
                    peer,
                    error_ours=error(ground[metric]),
                    error_peer=error(task),
                )
                for peer, task in peers[metric].items()
            ]
    harness.show("errors on hard cases", rows)
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest size alone, nothing saved")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(1)
    absent = harness.absent(MODULES)
    rows = errors_table() + interval_table() + metrics_table(quick)
    if not quick:
        harness.save("calibration", ("mixlab", "torch", "numpy", *MODULES), rows=rows, absent=absent)


if __name__ == "__main__":
    main()
