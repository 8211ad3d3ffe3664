"""Which mixer to use, and how sure that is: in words, from paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass

from mixlab.calibration.intervals import Interval
from mixlab.comparison.contenders import BASELINE
from mixlab.comparison.scores import QUANTITIES, Difference

Differences = Mapping[str, Difference]


@dataclass(frozen=True)
class Recommendation:
    """What a comparison comes to.

    Attributes:
        best: is the name of the mixer to use, "none" for no mixing; None if nothing was decided.
        by: is the quantity that decided.
        sentence: says it in words, with the interval.
        remarks: are further sentences: what is not told apart from the best, what would decide it.
    """

    best: str | None
    by: str
    sentence: str
    remarks: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether anything was decided."""
        return self.best is not None


def recommended(by: str, to_none: Differences, to_best: Differences) -> Recommendation:
    """The recommendation by one quantity.

    Args:
        by: is one of QUANTITIES.
        to_none: maps each mixer but "none" to its difference to no mixing.
        to_best: maps each mixer but the best one of these to its difference to that one.
    """
    quantity = QUANTITIES[by]
    if not to_none:
        missing = 'no mixer has two seeds in common with "none" whose runs are finished'
        return Recommendation(None, by, f"No mixer is recommended: {missing}.")
    worse = [name for name, other in to_none.items() if other.decided and gain_of(by, other) < 0]
    improves, harms = ("raises", "lowers") if quantity.more_is_better else ("lowers", "raises")
    best, heading = best_of(by, to_none), quantity.heading
    gain, size = gain_of(by, to_none[best]), effect(by, to_none[best].interval)
    if to_none[best].decided and gain > 0:
        others = [name for name in to_best if name != BASELINE]
        beaten = [name for name in others if to_best[name].decided and gain_of(by, to_best[name]) < 0]
        rivals = [name for name in others if name not in beaten]
        remarks = [f"Not told apart from {best}: {listed(rivals)}."] if rivals else []
        remarks += [f"{best} also beats {listed(beaten)}."] if beaten else []
        return Recommendation(best, by, f"Train with {best}: it {improves} the {heading} by {size}.", tuple(remarks))
    if len(worse) == len(to_none):
        each = best if len(to_none) == 1 else "every mixer"
        least = "" if len(to_none) == 1 else f" {best} the least,"
        sentence = f"Train without mixing: {each} {harms} the {heading},{least} by {size}."
        return Recommendation(BASELINE, by, sentence)
    why = f"{best} {improves} the {heading} by {size}, which may be chance"
    if gain <= 0:
        why = f"no mixer {improves} the mean {heading}; {best} {harms} it the least, by {size}"
    each = "each of " if len(worse) > 1 else ""
    remarks = [f"It is decided, though, that {each}{listed(worse)} {harms} the {heading}."] if worse else []
    remarks += [] if to_none[best].decided else [_needed(best, to_none[best])]
    return Recommendation(None, by, f"No mixer is recommended: {why}.", tuple(remarks))


def best_of(by: str, to_none: Differences) -> str:
    """The mixer with the best mean difference to no mixing, of those for which it is decided, if there are any."""
    gains = {name: gain_of(by, other) for name, other in to_none.items()}
    return max(to_none, key=lambda name: (to_none[name].decided and gains[name] > 0, gains[name]))


def gain_of(by: str, difference: Difference) -> float:
    """The mean difference, above 0 where the mixer is better."""
    return difference.interval.value * (1 if QUANTITIES[by].more_is_better else -1)


def effect(by: str, difference: Interval) -> str:
    """How much a mixer changes a quantity, without its sign, and the interval; accuracy in percentage points."""
    unit, digits = (100, 1) if by == "accuracy" else (1, 3)
    ends = (difference.low, difference.value, difference.high)
    low, value, high = sorted(unit * end * (-1 if difference.value < 0 else 1) for end in ends)
    span = f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")
    points = " points" if by == "accuracy" else ""
    return f"{value:.{digits}f}{points} ({100 * difference.level:.3g}% interval {span}; {difference.n} seeds)"


def listed(names: list[str]) -> str:
    """Names in a row."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _needed(best: str, difference: Difference) -> str:
    stay, seeds = "If mean and spread stay as they are", difference.seeds_needed()
    if seeds is None:
        return f"{stay}, it takes more than 30 seeds, or more test images, to tell {best} from no mixing."
    return f"{stay}, {seeds} seeds will tell {best} from no mixing; from few seeds that is a guess."
