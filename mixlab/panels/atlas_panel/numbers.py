"""What the atlas panel says of two settings, and the oracle of numbers.js, which computes it in the browser."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.calibration.reliability import Reliability
from mixlab.runs.atlas.atlas_run import BINS, COLUMNS, SETTINGS, AtlasRun
from mixlab.runs.atlas.table import Atlas

AXES = tuple(name for name in SETTINGS if name != "seed")  # what a setting consists of; its runs differ in the seed
ROWS = {  # of the comparison: metric, tempered, and the unit as a factor, digits and a word
    "Accuracy": ("accuracy", False, 100, 1, "points"),
    "NLL": ("nll", False, 1, 2, "nats"),
    "NLL after temperature": ("nll", True, 1, 2, "nats"),
    "ECE": ("ece", False, 100, 1, "points"),
    "ECE after temperature": ("ece", True, 100, 1, "points"),
}
CURVES = ("epoch", "accuracy", "ece", "tempered_ece")  # the columns of a curve that are drawn
STEPS = 4096  # in 1: how finely sums reach the browser, much as a float32 holds a sum of thousands


@dataclass(frozen=True)
class Setting:
    """The runs with equal settings, by seed; they cost the same number of forwards."""

    axes: dict[str, Any]
    runs: dict[int, AtlasRun]

    @property
    def cost(self) -> int:
        """Images through the network in the training of one run."""
        return next(iter(self.runs.values())).forwards

    def values(self, metric: str, *, tempered: bool = False, n_bins: int = 15) -> dict[int, float]:
        """A metric of each seed."""
        return {seed: run.value(metric, tempered=tempered, n_bins=n_bins) for seed, run in self.runs.items()}

    @cached_property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return float(np.mean(list(self.values("accuracy").values())))


def settings_of(atlas: Atlas) -> list[Setting]:
    """The settings that have runs; ValueError if two runs are alike in all of them, the seed included."""
    grouped: dict[tuple[Any, ...], Setting] = {}
    for run in atlas:
        key = tuple(getattr(run, name) for name in AXES)
        setting = grouped.setdefault(key, Setting(dict(zip(AXES, key, strict=True)), {}))
        if run.seed in setting.runs:
            raise ValueError(f"atlas must have one run for each setting and seed, got two like {run}")
        setting.runs[run.seed] = run
    return list(grouped.values())


def packed(settings: Sequence[Setting]) -> tuple[list[dict[str, Any]], bytes]:
    """All that the browser needs: a row for each setting, and whole numbers, deflated.

    Of each run, in the order of the rows and their seeds: epoch, accuracy, and ECE raw and tempered of each record, in
    1e-5, with −1 for what was not recorded; then, raw and tempered, counts [60 bins, wrong and right], as many sums of
    confidence less count times the bin's lower edge, and the sum of the negative log likelihood, both in 1/4096.
    Counts are exact, and so is accuracy; the ECE of N answers is off by at most 120 / (2 · 4096 · N), which is 0.00015
    points for 10,000. Half a kilobyte a run.
    """
    rows = [
        {
            **one.axes,
            "cost": one.cost,
            "seeds": list(one.runs),
            "records": [len(run.curve) for run in one.runs.values()],
        }
        for one in settings
    ]
    parts = [_numbers(run) for one in settings for run in one.runs.values()]
    whole = np.rint(np.concatenate(parts)).astype("<i4")
    return rows, zlib.compress(whole.view(np.uint8).reshape(-1, 4).T.tobytes(), 9)  # all low bytes first


def _numbers(run: AtlasRun) -> np.ndarray:
    curve = run.curve[:, [COLUMNS.index(name) for name in CURVES]].double().nan_to_num(-1e-5)
    return np.concatenate([1e5 * curve.flatten(), _state(run.raw), _state(run.tempered)])


def _state(held: Reliability) -> np.ndarray:
    state = held.state.numpy()
    count, confidence, _ = np.moveaxis(state[: 6 * BINS].reshape(BINS, 2, 3), -1, 0)
    edges = count * np.arange(BINS)[:, None] * STEPS // BINS
    beyond = np.rint(STEPS * confidence) - edges
    return np.concatenate([count.ravel(), beyond.ravel(), STEPS * state[6 * BINS : 6 * BINS + 1]])


def difference(one: Setting, other: Setting, row: str, n_bins: int) -> Interval | float | None:
    """A row of the comparison over shared seeds: with Student's interval, for one seed a number, for none None."""
    metric, tempered, factor, _, _ = ROWS[row]
    first, second = (side.values(metric, tempered=tempered, n_bins=n_bins) for side in (one, other))
    gaps = [factor * (first[seed] - second[seed]) for seed in sorted(first.keys() & second.keys())]
    if len(gaps) < 2:
        return gaps[0] if gaps else None
    return mean_interval(gaps)


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The settings than which none is more accurate for as little, or as accurate for less; cheapest first."""
    points = [(one.cost, -one.accuracy) for one in settings]
    kept = [
        one
        for one, (cost, error) in zip(settings, points, strict=True)
        if not any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points)
    ]
    return sorted(kept, key=lambda one: one.cost)


def words_of(axes: Mapping[str, Any]) -> str:
    """A setting without its data, in words."""
    mixing = [] if axes["alpha"] is None else [f"α = {axes['alpha']:g}", f"K = {axes['k']}"]
    details = ", ".join([*mixing, f"{axes['epochs']} epochs"])
    return f"{axes['variant']} ({details})"


def row_in_words(row: str, part: Interval | float | None) -> str:
    """A difference with its sign, interval and unit."""
    _, _, _, digits, unit = ROWS[row]

    def signed(value: float) -> str:
        return f"{value:+.{digits}f}".replace("-", "−")

    if part is None:
        return "no seed in common"
    if isinstance(part, Interval):
        return f"{signed(part.value)} [{signed(part.low)}, {signed(part.high)}] {unit}"
    return f"{signed(part)} {unit}, one pair: no interval"


def describe(one: Setting, other: Setting, n_bins: int) -> str:
    """All differences of two settings, in a sentence."""
    parts = [f"{row} {row_in_words(row, difference(one, other, row, n_bins))}" for row in ROWS]
    mine, theirs = (f"{side.axes['images']} images of {side.axes['data']}" for side in (one, other))
    elsewhere = "" if mine == theirs else f" on {theirs}"
    pairs = len(one.runs.keys() & other.runs.keys())
    return (
        f"{words_of(one.axes)} minus {words_of(other.axes)}{elsewhere}, {mine}, ECE in {n_bins} bins: "
        f"{'; '.join(parts)}. {'95% intervals, ' if pairs > 1 else ''}n = {pairs}."
    )


def best_for(settings: Sequence[Setting], most: int) -> str:
    """Which setting is the most accurate for at most so many forwards, and against how many that is decided, in words.

    It is decided against those from which its paired difference has an interval above 0. The best is picked after the
    fact, so that its mean is flattered, and no interval is widened for the number of comparisons.
    """
    within = [one for one in settings if one.cost <= most]
    best = max(within, key=lambda one: one.accuracy)
    accuracies = [100 * value for value in best.values("accuracy").values()]
    n = len(accuracies)
    part = mean_interval(accuracies) if n > 1 else None
    reach = f" [{part.low:.1f}, {part.high:.1f}]" if part else ""
    start = (
        f"For at most {most:,} images through the network, the most accurate of {len(within)} settings is "
        f"{words_of(best.axes)}: {100 * best.accuracy:.1f}%{reach}, n = {n}."
    )
    gaps = [difference(best, one, "Accuracy", 15) for one in within if one is not best]
    if not gaps:
        return start
    ahead = sum(isinstance(gap, Interval) and gap.low > 0 for gap in gaps)
    decided = f"Its lead is decided, by an interval above 0, over {ahead} of {len(gaps)} others."
    return f"{start} {decided} A best of many is partly luck."
