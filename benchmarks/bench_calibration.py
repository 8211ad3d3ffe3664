"""Estimators of calibration beside netcal, torchmetrics, relplot, scikit-learn, torch-uncertainty: speed, errors.

make bench, or: python benchmarks/bench_calibration.py [--quick]
"""

import importlib.util
import time
import warnings
from collections.abc import Mapping
from itertools import product
from typing import Any

import harness
import numpy as np
import results
import torch
from calibration_errors import errors_table
from calibration_tasks import BINS, Peer, Tasks, draw, ours, theirs, unchecked
from torch import Tensor

from mixlab.calibration.bins import fill_cells, mass_edges, width_edges
from mixlab.calibration.bootstrap import binned_intervals
from mixlab.calibration.estimators import estimate, estimates
from mixlab.calibration.intervals import tails_of
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability

MODULES = {
    "netcal": "netcal.metrics",
    "torchmetrics": "torchmetrics",
    "relplot": "relplot",
    "scikit-learn": "sklearn.metrics",
    "torch-uncertainty": "torch_uncertainty.metrics",
}
SIZES = ((10_000, 10, 21), (50_000, 10, 11), (1_000_000, 10, 6), (50_000, 1000, 6))  # rows, classes, rounds
LIMIT = 2.0  # seconds of a call, beyond which a peer is named and timed no further
RESAMPLES = 100  # of the smooth error, as many as relplot takes
METHOD = f"""Each call goes from float32 probabilities and labels to a number, on one thread, with {BINS} bins. Ours
"with its checks" of every value is beside peers as they are called by default, and ours "checked before", which looks
at no value, beside relplot, which has no checks, and torchmetrics with validate_args=False. netcal and relplot are
given confidences and hits, which are made in the call; torch-uncertainty's metric is made, updated and read in it.
Intervals: 95%, from as many resamples on both sides. "rows, NumPy" is the plain way, percentiles of the ECEs of 1,000
resamples of the rows, and relplot's smooth error is resampled row by row by scipy, as its diagrams do; ours resample
the counts of bins, or the noise on a grid. Such intervals differ, and this compares times alone. Errors are against
loops over the rows in float64, by the definition in our docstring, on float64 probabilities; torchmetrics and
torch-uncertainty compute in float32; the area of torch-uncertainty is by trapezoids from k = 1."""
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
CHECKED, UNCHECKED = "with its checks", "checked before"
Peers = Mapping[Peer, harness.Task]


def swift(peers: Peers) -> tuple[dict[Peer, harness.Task], dict[Peer, float]]:
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


def measure(
    what: str, ours: Tasks, peers: Peers, rounds: int, pairs: list[tuple[str, Peer]] | None = None
) -> list[dict[str, Any]]:
    """Ours beside the peers, each beside each or as `pairs` says; a slow peer has one call's seconds and no ratio."""
    kept, slow = swift(peers)
    if slow and not kept:
        rounds = min(rounds, 3)  # there is no ratio to be sure of
    both = list(product(ours, peers)) if pairs is None else pairs
    timed = [pair for pair in both if pair[1] in kept]
    rows = harness.compare("calibration", what, ours, kept, rounds, pairs=timed)
    for mine, peer in both:
        if peer in slow:
            note = f"one call took {slow[peer]:.1f} s, and it was not timed further"
            rows.append(harness.comparison("calibration", what, peer[0], call=peer[1], ours=mine, note=note))
    return rows


def metrics_table(quick: bool) -> list[dict[str, Any]]:
    """Each shared metric, at each size, ours with checks beside peers with checks, and without beside those without."""
    rows = []
    for size, classes, rounds in SIZES[:1] if quick else SIZES:
        probs, labels = draw(size, classes)
        ways = {CHECKED: ours(probs, labels), UNCHECKED: ours(probs, labels, Predictions)}
        for name, peers in theirs(probs, labels).items():
            pairs = [(UNCHECKED if unchecked(peer) else CHECKED, peer) for peer in peers]
            met = {mine for mine, _ in pairs}
            mine = {way: tasks[name] for way, tasks in ways.items() if way in met}
            rows += measure(f"{name}, {size:,} x {classes}", mine, peers, rounds, pairs)
    harness.show("metrics, one thread", rows)
    return rows


def interval_table() -> list[dict[str, Any]]:
    """95% intervals from resamples of 10,000 x 10 predictions, and a state that is updated and read."""
    probs, labels = draw(10_000, 10)
    size = "10,000 x 10"
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
    plain = {("rows, NumPy", "1,000 resamples, np.quantile"): rows}
    found = measure(f"95% interval of the ECE, {size}", mine, plain, 7)
    mine = {f"estimate(p, 'smooth', n={RESAMPLES})": lambda: estimate(p, "smooth", n=RESAMPLES)}
    peers = resampled_smooth(conf.astype(float), right.astype(float))
    found += measure(f"95% interval of smooth, {RESAMPLES} resamples, {size}", mine, peers, 7)
    names = ("ece", "ece_mass", "ece_l2", "mce", "debiased", "debiased_l1")
    names += ("overconfidence", "underconfidence", "reliability", "resolution")
    many: Tasks = {"12 intervals from bins": all_binned, "estimates(p, names)": lambda: estimates(p, names)}
    found += measure(f"95% intervals of all binned metrics, {size}", many, {}, 31)
    for name in ("classwise", "smooth", "ks", "aurc", "nll", "brier"):
        task: Tasks = {f"estimate(p, {name!r})": lambda name=name: estimate(p, name)}
        found += measure(f"95% interval of {name}, {size}", task, {}, 9)
    update: Tasks = {"Reliability(15).update(...).ece()": lambda: Reliability(BINS).update(probs, labels).ece()}
    found += measure(f"streaming update and ECE, {size}", update, streams(probs, labels), 31)
    harness.show("intervals and updates, one thread", found)
    return found


def resampled_smooth(conf: np.ndarray, right: np.ndarray) -> dict[Peer, harness.Task]:
    """relplot's smooth error with the interval that its diagrams give it."""
    if not importlib.util.find_spec("relplot"):
        return {}
    from relplot.metrics import smECE_fast
    from scipy.stats import bootstrap

    given = {"n_resamples": RESAMPLES, "paired": True, "vectorized": False, "method": "basic"}
    return {("relplot", "smECE_fast, in scipy.stats.bootstrap"): lambda: bootstrap((conf, right), smECE_fast, **given)}


def streams(probs: Tensor, labels: Tensor) -> dict[Peer, harness.Task]:
    """A metric that is made, updated and read."""
    if not importlib.util.find_spec("torchmetrics"):
        return {}
    from torchmetrics.classification import MulticlassCalibrationError

    def read() -> object:
        metric = MulticlassCalibrationError(probs.shape[1], n_bins=BINS)
        metric.update(probs, labels)
        return metric.compute()

    return {("torchmetrics", "MulticlassCalibrationError, update, compute"): read}


def main() -> None:
    """Measure, print, save."""
    quick = harness.parser(__doc__, METHOD, quick="the smallest size alone, nothing saved").parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(1)
    absent = harness.absent(MODULES)
    rows = errors_table() + interval_table() + metrics_table(quick)
    if not quick:
        packages = ("mixlab", "torch", "numpy", "scipy", *MODULES)
        results.save("calibration", packages, tasks=rows, absent=absent)


if __name__ == "__main__":
    main()
