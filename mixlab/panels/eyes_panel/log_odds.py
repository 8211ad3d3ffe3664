"""A line in log-odds through what a person sees, with intervals: how seen shares follow true ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlab import _check
from mixlab.calibration.intervals import Interval

FEWEST = 3  # points through which a line has an interval


@dataclass(frozen=True)
class LogOddsLine:
    """logit(seen) = offset + slope · logit(λ), fitted by least squares.

    Attributes:
        slope: is 1 for eyes that see λ; above 1 they exaggerate the larger part, below 1 they even both out.
        offset: is 0 for eyes that see one half as one half.
    """

    slope: Interval
    offset: Interval
    _middle: float  # the mean of logit(λ), where the line is surest
    _height: float  # the line there
    _spread: float  # of logit(λ) about its mean: the root of its sum of squares
    _noise: float  # standard deviation of the answers about the line
    _reach: float  # Student's quantile

    def curve(self, lam: Sequence[float]) -> np.ndarray:
        """The line and the 95% interval of its mean, as shares: float64 [3, len(lam)], the low end first."""
        away = _logit(lam) - self._middle
        line = self._height + self.slope.value * away
        half = self._reach * self._noise * np.sqrt(1 / self.slope.n + (away / self._spread) ** 2)
        return np.asarray(1 / (1 + np.exp(-np.stack([line - half, line, line + half]))))


def fit_log_odds(lam: Sequence[float], seen: Sequence[float]) -> LogOddsLine:
    """Fit a LogOddsLine to a person's answers, with Student's 95% intervals.

    Args:
        lam: the true shares, between 0 and 1 and neither; at least three, and not all the same.
        seen: the answers to them, likewise between 0 and 1.

    Raises:
        TypeError, ValueError: numbers outside of these limits, or too few; the message names the argument.

    Source: the model is that of Zhang and Maloney, "Ubiquitous log odds", Frontiers in Neuroscience 2012.
    """
    for name, values in (("lam", lam), ("seen", seen)):
        if not all(0 < _check.number(name, value, 0, 1) < 1 for value in values):
            raise ValueError(
                f"{name} must hold numbers between 0 and 1, and neither of them, got {_check.shown(values)}"
            )
    n = len(lam)
    if n < FEWEST or len(seen) != n or len(set(lam)) == 1:
        wanted = f"at least {FEWEST} different shares with an answer each"
        raise ValueError(f"lam must hold {wanted}, got {n} shares, {len(set(lam))} different, and {len(seen)} answers")
    x, y = _logit(lam), _logit(seen)
    away = x - x.mean()
    spread = float(np.sqrt((away**2).sum()))
    slope, height = float(away @ y) / spread**2, float(y.mean())
    noise = float(np.sqrt(((y - height - slope * away) ** 2).sum() / (n - 2)))
    middle, reach = float(x.mean()), student(n)
    of_slope, of_offset = noise / spread, noise * np.sqrt(1 / n + (middle / spread) ** 2)
    slopes = Interval(slope, slope - reach * of_slope, slope + reach * of_slope, n, 0.95)
    offset = height - slope * middle
    offsets = Interval(offset, float(offset - reach * of_offset), float(offset + reach * of_offset), n, 0.95)
    return LogOddsLine(slopes, offsets, middle, height, spread, noise, reach)


def student(n: int) -> float:
    """The 97.5% quantile of Student's distribution for a line through n points, at least three."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 2, 0.975))


def _logit(share: Sequence[float]) -> np.ndarray:
    values = np.asarray(share, np.float64)
    return np.asarray(np.log(values / (1 - values)))
