"""How the learning rate goes: from the progress of a training, 0 to 1, to the share of the peak that is used."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mixlab import _check


@dataclass(frozen=True)
class Linear:
    """Straight lines between points (progress, share): progress rises from 0 to 1, shares lie in [0, 1].

        Linear(((0, 0), (0.2, 1), (1, 0)))  # the triangle: up to the peak in a fifth of the steps, then down

    Raises:
        TypeError, ValueError: points that are no pairs of such numbers, or fewer than two.
    """

    points: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        wanted = "points must be two or more pairs (progress, share)"
        try:
            pairs = [(progress, share) for progress, share in self.points]
        except (TypeError, ValueError):
            raise TypeError(f"{wanted}, got {_check.shown(self.points)}") from None
        points = tuple(
            (_check.number(f"points[{i}][0]", progress, 0, 1), _check.number(f"points[{i}][1]", share, 0, 1))
            for i, (progress, share) in enumerate(pairs)
        )
        places = [progress for progress, _ in points]
        if len(points) < 2 or places[0] != 0 or places[-1] != 1 or places != sorted(set(places)):
            raise ValueError(f"{wanted} whose progress rises from 0 to 1, got {_check.shown(self.points)}")
        object.__setattr__(self, "points", points)

    def __call__(self, progress: float) -> float:
        """The share of the peak at this progress."""
        later = min(max(bisect.bisect_left(self.points, progress, key=lambda point: point[0]), 1), len(self.points) - 1)
        (start, low), (end, high) = self.points[later - 1], self.points[later]
        return (low * (end - progress) + high * (progress - start)) / (end - start)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, in values that JSON has."""
        return {"kind": "linear", "points": [list(point) for point in self.points]}


@dataclass(frozen=True)
class Cosine:
    """Half a period of a cosine, from 1 to 0 (Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, one run)."""

    def __call__(self, progress: float) -> float:
        """The share of the peak at this progress."""
        return (1 + math.cos(math.pi * progress)) / 2

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, in values that JSON has."""
        return {"kind": "cosine"}


@dataclass(frozen=True)
class Steps:
    """1, times `factor` from each progress in `at` on: `Steps((0.5, 0.75), 0.1)` divides by ten twice.

    Raises:
        TypeError, ValueError: `at` that is no rising sequence of numbers in [0, 1]; a factor outside [0, 1].
    """

    at: Sequence[float]
    factor: float

    def __post_init__(self) -> None:
        wanted = "at must be a rising sequence of numbers from 0 to 1"
        if isinstance(self.at, (str, bytes)) or not isinstance(self.at, Sequence):
            raise TypeError(f"{wanted}, got {_check.shown(self.at)}")
        at = tuple(_check.number(f"at[{i}]", place, 0, 1) for i, place in enumerate(self.at))
        if list(at) != sorted(set(at)):
            raise ValueError(f"{wanted}, got {_check.shown(self.at)}")
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "factor", _check.number("factor", self.factor, 0, 1))

    def __call__(self, progress: float) -> float:
        """The share of the peak at this progress."""
        return self.factor ** bisect.bisect_right(self.at, progress)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, in values that JSON has."""
        return {"kind": "steps", "at": list(self.at), "factor": self.factor}


Schedule: TypeAlias = Linear | Cosine | Steps

TRIANGLE = Linear(((0, 0), (0.2, 1), (1, 0)))


def at_step(schedule: Schedule, step: int, steps: int) -> float:
    """The share of the peak for a step, counted from 0, of `steps`: at progress (step + 1)/(steps + 1).

    So no step has the share of progress 0 or 1, which is often 0; and a place a·steps that is whole is where `Steps`
    begins its new share, as (step + 1)/(steps + 1) reaches a from step a·steps on.
    """
    return schedule((step + 1) / (steps + 1))


def check(schedule: Any) -> Schedule:
    """The schedule, if it is one."""
    if not isinstance(schedule, (Linear, Cosine, Steps)):
        kinds = "a schedule: mixlab.training.schedules.Linear, Cosine or Steps"
        raise TypeError(f"schedule must be {kinds}, got {_check.shown(schedule)}")
    return schedule
