"""What is compared: the numbers of a run, and intervals of their means and differences over seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration.crossfit import tempered
from mixlab.calibration.scores import nll_rows
from mixlab.runs.stored_run import Run


@dataclass(frozen=True)
class Quantity:
    """What is measured of each run: its heading in tables, and whether more of it is better."""

    heading: str
    more_is_better: bool = False


QUANTITIES = {
    "accuracy": Quantity("accuracy", more_is_better=True),
    "nll": Quantity("NLL"),
    "nll_after": Quantity("NLL after temperature"),
    "ece": Quantity("ECE"),
    "ece_after": Quantity("ECE after temperature"),
    "seconds": Quantity("seconds a run"),
}
BY_ROW = ("accuracy", "nll", "nll_after")  # those that are means over the test images


@dataclass(frozen=True, eq=False)
class Scores:
    """The numbers of a run.

    Attributes:
        values: maps each of QUANTITIES to its value.
        rows: maps each of BY_ROW to its value for each test image, [N] float64.
        before, after: are the predictions as trained, and at a temperature fitted on the other half of the test images.
        scaled: says whether there is such a temperature; where there is none, `after` is `before`.
    """

    values: dict[str, float]
    rows: dict[str, Tensor]
    before: Predictions
    after: Predictions
    scaled: bool


def scores_of(run: Run) -> Scores:
    """The numbers of a finished run; the temperature of each half of the test images is fitted on the other half."""
    before = run.predictions
    after = tempered(before)
    rows = {"accuracy": before.correct.double(), "nll": nll_rows(before), "nll_after": nll_rows(after)}
    values = {name: float(row.mean()) for name, row in rows.items()}
    values |= {"ece": calibration_error(before), "ece_after": calibration_error(after)}
    values["seconds"] = run.history[-1].training_seconds
    return Scores({name: values[name] for name in QUANTITIES}, rows, before, after, scaled=after is not before)


def corrected_level(comparisons: int) -> float:
    """The level, rounded up to a tenth of a percent, at which so many intervals all hold with 95% (Bonferroni)."""
    return math.ceil(1000 - 50 / comparisons) / 1000


@dataclass(frozen=True)
class Difference:
    """A paired difference between two mixers in one quantity, "mine" minus "theirs".

    Attributes:
        values: are the differences, one a seed.
        row_error: is the standard error of their mean by the choice of test images; 0 for what is no mean over them.
        level: is that of `interval`.
    """

    values: tuple[float, ...]
    row_error: float
    level: float

    @property
    def interval(self) -> Interval:
        """What other seeds and other test images would give, at this level.

        Student's reach over seeds and the normal reach over test images are added as squares. Noise that both share
        counts twice, so the interval may be too wide, hardly too narrow: of 2,000 simulated tables each of 3, 5 or 10
        seeds × 500 images, 95% intervals held the truth in 94.5% (images alone differ), 96.7% to 97.2% (seeds alone
        do) and up to 99.8% (neither does, and all is noise).
        """
        mean, reach = statistics.fmean(self.values), self._reach(len(self.values))
        return Interval(mean, mean - reach, mean + reach, len(self.values), self.level)

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval.low > 0 or self.interval.high < 0

    def seeds_needed(self, most: int = 30) -> int | None:
        """How many seeds would decide it, were mean and spread as seen; None where `most` would not."""
        mean = abs(statistics.fmean(self.values))
        return next((n for n in range(len(self.values) + 1, most + 1) if self._reach(n) < mean), None)

    def _reach(self, seeds: int) -> float:
        from scipy.special import stdtrit

        tail = (1 + self.level) / 2
        by_seed = float(stdtrit(seeds - 1, tail)) * statistics.stdev(self.values) / math.sqrt(seeds)
        return math.hypot(by_seed, statistics.NormalDist().inv_cdf(tail) * self.row_error)


def difference(quantity: str, mine: Sequence[Scores], theirs: Sequence[Scores], level: float) -> Difference:
    """The difference of two mixers, paired by seed: both sequences have the same seeds in the same order."""
    values = [mine_.values[quantity] - theirs_.values[quantity] for mine_, theirs_ in zip(mine, theirs, strict=True)]
    error = 0.0
    if quantity in BY_ROW:
        rows = torch.stack([a.rows[quantity] - b.rows[quantity] for a, b in zip(mine, theirs, strict=True)]).mean(0)
        error = float(rows.std()) / math.sqrt(len(rows)) if len(rows) > 1 else math.inf
    return Difference(tuple(values), error, level)


def means(scores: Sequence[Scores]) -> dict[str, Interval]:
    """The mean over seeds of each quantity, with the part of Student's interval where it can be."""
    intervals = {}
    for name in QUANTITIES:
        interval, most = (
            mean_interval([score.values[name] for score in scores]),
            1.0 if name == "accuracy" else math.inf,
        )
        intervals[name] = replace(interval, low=max(interval.low, 0.0), high=min(interval.high, most))
    return intervals
