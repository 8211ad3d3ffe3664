"""A value with its confidence interval: Student's for a mean of a few, Wilson's for a share, the normal one."""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check

_ROUNDING = 1e-9
_MINUS_ZERO = re.compile(r"-[0.,]+%?")


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval: low <= value <= high.

    Ends that miss the value by rounding are moved to it; ones that miss it by more raise ValueError, as NaN does.

    Attributes:
        value: the number seen, such as a mean or an estimate.
        low, high: the ends of the interval.
        n: how many values or predictions it rests on.
        level: of confidence, such as 0.95.
    """

    value: float
    low: float
    high: float
    n: int
    level: float

    def __post_init__(self) -> None:
        low, high = min(self.low, self.value), max(self.high, self.value)
        near = math.isclose(low, self.low, abs_tol=_ROUNDING) and math.isclose(high, self.high, abs_tol=_ROUNDING)
        if math.isnan(self.value) or not near:
            raise ValueError(f"value must lie between low and high, got {self.value}, {self.low} and {self.high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def __str__(self) -> str:
        return f"{self:.3f} ({100 * self.level:g}%, n = {self.n})"

    def __format__(self, spec: str) -> str:
        """Value and ends as numbers of this format, as f"{interval:.3f}" writes them; without a format as `str`."""
        if not spec:
            return str(self)
        value, low, high = (_written(number, spec) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def _written(number: float, spec: str) -> str:
    """The number in this format, without the minus sign of one that rounds to 0."""
    text = f"{number:{spec}}"
    return f"{0.0:{spec}}" if _MINUS_ZERO.fullmatch(text) else text


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval for the mean of a few independent values, such as one number a seed.

    Args:
        values: at least two numbers. For a difference between two methods give the difference of each seed.
        level: is the level of confidence, between 0.5 and 0.999999.

    Returns:
        Interval: its value is the mean, n the number of values.

    Raises:
        TypeError, ValueError: fewer than two values, or one that is no finite number.

    Source: Student, "The probable error of a mean", Biometrika 1908.
    """
    numbers = [_check.number("values", value, -math.inf, math.inf) for value in values]
    level = _check.number("level", level, 0.5, 0.999999)
    if len(numbers) < 2:
        raise ValueError(f"values must hold at least two numbers, got {len(numbers)}")
    from scipy.special import stdtrit

    mean = statistics.fmean(numbers)
    reach = stdtrit(len(numbers) - 1, (1 + level) / 2) * statistics.stdev(numbers) / len(numbers) ** 0.5
    return Interval(mean, float(mean - reach), float(mean + reach), len(numbers), level)


def wilson(share: Tensor, count: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Interval of a share [...] of `count` (Wilson, "Probable inference, the law of succession", JASA 1927)."""
    z2 = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64, device="cpu")).square()
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = (z2 * (share * (1 - share) + z2 / (4 * count)) / count).sqrt() / (1 + z2 / count)
    # The ends meet the share where it is 0 or 1, but for rounding.
    return (center - reach).clamp(min=0).minimum(share), (center + reach).clamp(max=1).maximum(share)


def share_interval(share: float, count: int, level: float) -> Interval:
    """A share of `count` with Wilson's interval."""
    given = torch.tensor([share, count], dtype=torch.float64, device="cpu")
    low, high = wilson(given[0], given[1], level)
    return Interval(share, float(low), float(high), count, level)


def tails_of(level: float) -> Tensor:
    """The two shares [2] between which `level` lies."""
    return torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device="cpu")


def normal_interval(count: Tensor, total: Tensor, squares: Tensor, tails: Tensor) -> tuple[float, float]:
    """What a bootstrap of a mean tends to: the normal law of its mean and spread. (inf, inf) for an infinite mean."""
    mean = total / count
    if mean.isinf():
        return float(mean), float(mean)
    spread = ((squares / count - mean.square()).clamp(min=0) / count).sqrt()
    low, high = (mean + spread * torch.special.ndtri(tails)).clamp(min=0).tolist()
    return low, high
