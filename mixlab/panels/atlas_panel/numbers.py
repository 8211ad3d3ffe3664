"""What the atlas panel says of two settings, and the oracle of numbers.js, which computes it in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.calibration.reliability import Reliability
from mixlab.runs.atlas.atlas_run import BINS, SETTINGS, AtlasRun
from mixlab.runs.atlas.table import Atlas

AXES = tuple(name for name in SETTINGS if name != "seed")  # what a setting consists of; its runs differ in the seed
ROWS = {  # of the comparison: metric, tempered, and the unit as a factor, digits and a word
    "Accuracy": ("accuracy", False, 100, 1, "points"),
    "NLL": ("nll", False, 1, 2, "nats"),
    "NLL after temperature": ("nll", True, 1, 2, "nats"),
    "ECE": ("ece", False, 100, 1, "points"),
    "ECE after temperature": ("ece", True, 100, 1, "points"),
}


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

    @property
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
    """All that the browser needs: a row for each setting and one array of float32.

    Of each run, in the order of the rows and their seeds: the curve [records, 5]; then raw and tempered, each with
    [60 bins, wrong and right, count and sum of confidence] and the sum of the negative log likelihood.
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
    parts = [
        part
        for one in settings
        for run in one.runs.values()
        for part in (run.curve.flatten(), _state(run.raw), _state(run.tempered))
    ]
    return rows, np.concatenate(parts).astype("<f4").tobytes()


def _state(held: Reliability) -> np.ndarray:
    state = held.state
    return np.append(state[: 6 * BINS].view(BINS, 2, 3)[..., :2].flatten(), state[6 * BINS])


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
    return ", ".join([axes["variant"], *mixing, f"{axes['epochs']} epochs"])


def row_in_words(row: str, part: Interval | float | None) -> str:
    """A difference with its sign, interval and unit."""
    _, _, _, digits, unit = ROWS[row]
    if part is None:
        return "no seed in common"

    def signed(value: float) -> str:
        return f"{value:+.{digits}f}".replace("-", "−")

    if isinstance(part, Interval):
        return f"{signed(part.value)} [{signed(part.low)}, {signed(part.high)}] {unit}"
    return f"{signed(part)} {unit}, one pair: no interval"
