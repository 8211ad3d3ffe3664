"""A claim: a sentence of a paper, the range of numbers that it stands for, and the experiment that can refute it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixlab.calibration.intervals import Interval
from mixlab.runs.atlas import Atlas

PLACE = ("data", "images", "model", "epochs")  # what the runs of one unit have in common, beside the seed
ORIGIN = ("recipe", "digest")  # and, of a user's own runs, network and settings of training, and the very images
LEAST = 3  # units of a verdict: two may agree by chance, and say nothing of their spread


@dataclass(frozen=True)
class Effect:
    """One difference, such as that of two runs which differ in one setting.

    Attributes:
        value: is the difference, in the unit of its claim.
        at: has the settings in which it was measured, by name.
        fair: is False if what it compares was not equal in cost, in favor of the claim.
    """

    value: float
    at: Mapping[str, Any] = field(default_factory=dict)
    fair: bool = True

    @property
    def unit(self) -> tuple[Any, ...]:
        """Equal for effects that share a run to compare with: they count as one number, their mean."""
        return (*self.setting, self.at.get("seed"))

    @property
    def setting(self) -> tuple[Any, ...]:
        """Equal for units that differ in the seed alone."""
        return tuple(self.at.get(name) for name in (*PLACE, *ORIGIN))


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong.

    Attributes:
        key: is the claim's short name.
        text: is the claim, in one sentence.
        source: says who says so, and where.
        quantity: is what is measured, with its unit; 0 is no difference.
        low, high: are the ends of the claimed range of that quantity; infinite where it is open.
        experiment: says what is compared with what.
        elsewhere: says what these numbers cannot tell, and what would.
        lesson: is the file of the lesson that goes into it.
        effects: takes an Atlas to the differences in it, or is None for what no table of runs holds.
        exact: says that chance has no part in the number, such as a count.
    """

    key: str
    text: str
    source: str
    quantity: str
    low: float
    high: float
    experiment: str
    elsewhere: str
    lesson: str
    effects: Callable[[Atlas], list[Effect]] | None = None
    exact: bool = False

    @property
    def claimed(self) -> str:
        """The range in words, such as "above 0"."""
        ends = [f"{end:g}".replace("-", "−") for end in (self.low, self.high)]
        if self.low == self.high:
            return ends[0]
        if math.isinf(self.high):
            return f"above {ends[0]}"
        return f"below {ends[1]}" if math.isinf(self.low) else f"{ends[0]} to {ends[1]}"

    @property
    def refuted_by(self) -> str:
        """What would refute it."""
        return f"an interval that lies wholly outside the claimed range ({self.claimed})"

    def decided(self, interval: Interval) -> bool | None:
        """True if the interval lies in the claimed range, False if it lies outside, None if it is in both.

        The ends belong to the range only if they are one number: "above 0" is more than 0. Where chance has a part, an
        interval without width decides nothing: a few pairs that agree by rounding do not show how they spread.
        """
        if not self.exact and interval.low == interval.high:
            return None
        if self.low == self.high:
            inside, outside = interval.low == self.low == interval.high, not interval.low <= self.low <= interval.high
        else:
            inside = self.low < interval.low and interval.high < self.high
            outside = interval.high <= self.low or interval.low >= self.high
        return True if inside else False if outside else None
