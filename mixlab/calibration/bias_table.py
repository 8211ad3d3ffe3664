"""Bias and spread of calibration estimators, against the number of predictions and of bins."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mixlab import _check
from mixlab.calibration.bins import MAX_BINS
from mixlab.calibration.estimators import ESTIMATORS
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.calibration.simulated import N_MOST, check_dials, draw_warped, true_errors
from mixlab.calibration.table import Table, Tabular


@dataclass(frozen=True)
class BiasRow:
    """How an estimator does on sets of n predictions, by simulation.

    Attributes:
        estimator, n, bins: which one, on how many predictions, in how many bins (None for an estimator without).
        estimate: mean over the sets, with its interval.
        truth: the true value that it estimates.
        bias: estimate - truth.
        sd: standard deviation over the sets.
    """

    estimator: str
    n: int
    bins: int | None
    estimate: Interval
    truth: float
    bias: Interval
    sd: float


@dataclass(frozen=True, repr=False)
class BiasTable(Tabular):
    """Rows of `bias_table`; it shows as a table in a notebook, and as text when printed."""

    rows: tuple[BiasRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[BiasRow]:
        return iter(self.rows)

    def _table(self) -> Table:
        head = ("estimator", "n", "bins", "mean estimate", "true value", "bias", "sd")
        return Table(head, [_row(row) for row in self.rows])


def _row(row: BiasRow) -> tuple[str, ...]:
    bins = "none" if row.bins is None else str(row.bins)
    numbers = f"{row.estimate:.4f}", f"{row.truth:.4f}", f"{row.bias:.4f}", f"{row.sd:.4f}"
    return row.estimator, f"{row.n:,}", bins, *numbers


ALLOWED = tuple(name for name, estimator in ESTIMATORS.items() if estimator.norm)


def bias_table(
    names: Sequence[str] = ("ece", "ece_mass", "debiased", "smooth"),
    n_values: Sequence[int] = (100, 1000, 10_000),
    bins_values: Sequence[int] = (5, 15, 50),
    *,
    factor: float = 2.0,
    repeats: int = 100,
    seed: int = 0,
) -> BiasTable:
    """Bias and standard deviation of calibration estimators against n and bins, on `repeats` sets from `warped`.

    Every estimator is given the same sets. One without bins ("smooth", "ks") has one row for each n. What is called
    bias is the distance from the true L1 error, or its L2 for "ece_l2" and "debiased": for "smooth" that is by
    definition not 0 however large n is, since smoothing takes part of the error away.

    Args:
        names: lists estimators of the true error: "ece", "ece_mass", "ece_l2", "debiased", "debiased_l1", "classwise",
            "smooth", "ks".
        n_values: sizes of the sets.
        bins_values: numbers of bins.
        factor: is that of `warped`, at its spread 2.
        repeats: sets for each n, at least 2.
        seed: seeds the sets.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
    """
    for argument, values in (("names", names), ("n_values", n_values), ("bins_values", bins_values)):
        allowed = f"{argument} must be a list or tuple of at least one, got {_check.shown(values)}"
        if not isinstance(values, (list, tuple)):
            raise TypeError(allowed)
        if not values:
            raise ValueError(allowed)
    names = [_check.choice("names", name, ALLOWED) for name in names]
    n_values = [_check.integer("n_values", n, 1, N_MOST) for n in n_values]
    bins_values = [_check.integer("bins_values", bins, 1, MAX_BINS) for bins in bins_values]
    factor, spread = check_dials(factor, 2.0)
    repeats = _check.integer("repeats", repeats, 2, 100_000)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    settings = [(name, bins) for name in names for bins in (bins_values if ESTIMATORS[name].bins else (None,))]
    estimates: dict[tuple[str, int | None, int], list[float]] = {}
    for n in n_values:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(repeats):
            p, _ = draw_warped(n, factor, spread, generator)
            for name, bins in settings:
                estimates.setdefault((name, bins, n), []).append(ESTIMATORS[name].value(p, bins or 0))
    true = dict(zip(("l1", "l2"), true_errors(factor, spread), strict=True))
    return BiasTable(
        tuple(
            _bias_row(name, n, bins, estimates[name, bins, n], true[ESTIMATORS[name].norm])
            for name, bins in settings
            for n in n_values
        )
    )


def _bias_row(name: str, n: int, bins: int | None, values: list[float], truth: float) -> BiasRow:
    mean = mean_interval(values)
    bias = Interval(mean.value - truth, mean.low - truth, mean.high - truth, mean.n, mean.level)
    return BiasRow(name, n, bins, mean, truth, bias, statistics.stdev(values))
