"""What a claim comes to: an interval beside the claimed range, as a whole and for each setting by itself."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.ledger.claim import LEAST, Claim, Effect
from mixlab.plots.comparison import numbers_of

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"
SPLIT, UNMEASURED = "holds only where", "not measured here"
WORDS = (SUPPORTED, REFUTED, SPLIT, UNDECIDED, UNMEASURED)
_WORD = {True: SUPPORTED, False: REFUTED, None: UNDECIDED}
_GROUPED = ("data", "images", "model", "variant", "alpha", "k", "epochs")
_LETTERS = {"alpha": "α", "k": "K"}
_MOST_PAIRS = 10_000


@dataclass(frozen=True)
class Verdict:
    """A claim, and what the numbers say of it.

    Attributes:
        claim: is the claim.
        word: is one of WORDS.
        interval: is that of the mean effect, at the level that the whole ledger asks for; n counts its units. None if
            there are fewer than three.
        groups: has the intervals of the runs with one value of a setting, such as "K = 2", at the level that so many of
            them ask for.
        over_settings, beyond: are interval and word if each setting counts as one number, as if drawn from many; None
            and nothing if there are fewer than three.
        holds, fails: name the groups whose interval lies in the claimed range, and outside.
        why: gives the reasons in a sentence or two, with what would decide it.
    """

    claim: Claim
    word: str
    why: str
    interval: Interval | None = None
    groups: Mapping[str, Interval] = field(default_factory=dict)
    over_settings: Interval | None = None
    beyond: str = ""
    holds: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The word with its place: "holds only where epochs = 30"."""
        return f"{self.word} {' or '.join(self.holds)}" if self.word == SPLIT else self.word

    @property
    def measured(self) -> str:
        """The numbers in words: the mean with its interval, the unit and n; nothing if there are none."""
        if self.interval is None:
            return ""
        if self.claim.exact:
            return f"{self.interval.value:.3g} {self.claim.quantity}, counted"
        words = numbers_of(self.interval)[0]
        if self.interval.low == self.interval.high:  # which shows no spread, and decides nothing
            return f"{words.split()[0]} {self.claim.quantity} in each of n = {self.interval.n}"
        return f"{words} {self.claim.quantity}, n = {self.interval.n}"

    def entry(self, *, opened: bool = False) -> str:
        """A line of HTML that opens: the verdict, and behind it the numbers and the experiment."""
        claim, parts = self.claim, {}
        if self.interval is not None:
            parts["Measured"] = f"{self.measured}; claimed: {claim.claimed}"
        parts |= {"Why": self.why, "Source": claim.source, "Experiment": claim.experiment}
        parts |= {"Refuted by": claim.refuted_by, "Elsewhere": claim.elsewhere}
        if self.groups:
            spans = zip(self.groups, numbers_of(*self.groups.values()), strict=True)
            parts["By setting"] = "; ".join(f"{name}: {span}, n = {self.groups[name].n}" for name, span in spans)
        if self.over_settings is not None:
            wide = f"{numbers_of(self.over_settings)[0]}, n = {self.over_settings.n}"
            parts["If each setting counts as one number"] = f"{wide}: {self.beyond}"
        rows = "".join(f"<li><b>{name}:</b> {html.escape(text)}</li>" for name, text in parts.items())
        rows += f'<li><a href="{claim.lesson}">Lesson {claim.lesson[:2]}</a> goes into it.</li>'
        title, text, measured = map(html.escape, (self.title, claim.text, self.measured))
        head = f"<b>{title}</b>: {text} <code>{claim.key}</code> <small>{measured}</small>"
        return f"<details{' open' if opened else ''}><summary>{head}</summary><ul>{rows}</ul></details>"

    def _repr_html_(self) -> str:
        return self.entry(opened=True)


def judged(claim: Claim, effects: Sequence[Effect], level: float) -> Verdict:
    """The verdict on a claim by its effects, whose interval has this level."""
    interval = mean_of(effects, level)
    if interval is None:
        why = "Fewer than three pairs of runs are here." if claim.effects else "Lesson 13 measures it; no run tells."
        return Verdict(claim, UNMEASURED, why)
    wide = mean_of(effects, level, "setting")
    beyond = "" if wide is None else _WORD[_side(claim, wide, effects)]
    parts = by_setting(effects)
    each = 1 - (1 - level) / max(len(parts), 1)  # they share the level
    groups = {name: span for name, part in parts.items() if (span := mean_of(part, each)) is not None}
    sides = {name: _side(claim, span, parts[name]) for name, span in groups.items()}
    holds, fails = (tuple(name for name, side in sides.items() if side is wanted) for wanted in (True, False))
    split = {name.split(" = ")[0] for name in holds} & {name.split(" = ")[0] for name in fails}
    if split:
        held, failed = (tuple(n for n in names if n.split(" = ")[0] in split) for names in (holds, fails))
        why = f"On average it holds where {' or '.join(held)}, and fails where {' or '.join(failed)}."
        return Verdict(claim, SPLIT, why, interval, groups, wide, beyond, held, failed)
    word, why = _word(claim, interval, effects)
    return Verdict(claim, word, why, interval, groups, wide, beyond, holds, fails)


def is_decided(claim: Claim, effects: Sequence[Effect], level: float) -> bool:
    """Whether the interval at this level decides the claim."""
    interval = mean_of(effects, level)
    return interval is not None and _side(claim, interval, effects) is not None


def mean_of(effects: Sequence[Effect], level: float, each: Literal["unit", "setting"] = "unit") -> Interval | None:
    """Student's interval of the mean over units or settings, each the mean of its effects; None of fewer than three."""
    parts: dict[Any, list[float]] = {}
    for effect in effects:
        parts.setdefault(getattr(effect, each), []).append(effect.value)
    means = [math.fsum(values) / len(values) for values in parts.values()]
    return mean_interval(means, level) if len(means) >= LEAST else None


def by_setting(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    """The effects with each value of each setting that has several, by a name such as "K = 2"."""
    parts: dict[str, list[Effect]] = {}
    for setting in _GROUPED:
        values = {effect.at[setting] for effect in effects if effect.at.get(setting) is not None}
        for value in sorted(values) if len(values) > 1 else ():
            name = f"{_LETTERS.get(setting, setting)} = {value}"
            parts[name] = [effect for effect in effects if effect.at.get(setting) == value]
    return parts


def _side(claim: Claim, interval: Interval, effects: Sequence[Effect]) -> bool | None:
    side = claim.decided(interval)
    return None if side and not all(effect.fair for effect in effects) else side


def _word(claim: Claim, interval: Interval, effects: Sequence[Effect]) -> tuple[str, str]:
    side = _side(claim, interval, effects)
    if side is None and claim.decided(interval):
        why = "The comparison favors the claim: what it is compared with costs less. It can refute, and not support."
        return UNDECIDED, why
    if side is None and interval.low == interval.high:
        return UNDECIDED, "All pairs give the same number, too coarse to show how they spread."
    if side is None:
        return UNDECIDED, f"The interval lies partly in the claimed range, partly outside. {_needed(claim, interval)}"
    if claim.exact:
        return _WORD[side], "Counted or calculated: chance has no part in it."
    if side:
        return SUPPORTED, "The whole interval lies in the claimed range."
    return REFUTED, f"The whole interval lies {'below' if interval.high < claim.low else 'above'} the claimed range."


def _needed(claim: Claim, interval: Interval) -> str:
    """How many units would decide, if mean and spread stay, by the width of Student's interval for so many."""
    nearest = min(abs(interval.value - end) for end in (claim.low, claim.high) if math.isfinite(end))
    count = torch.arange(2, _MOST_PAIRS + 1, dtype=torch.float64, device="cpu")
    half = _quantile(count, interval.level) / count.sqrt()
    spread = (interval.high - interval.low) / 2 / half[interval.n - 2]
    enough = count[spread * half < nearest]
    if len(enough) == 0:
        return f"Not even {_MOST_PAIRS:,} pairs would decide, if mean and spread stay as they are."
    return f"About {int(enough[0]):,} pairs would decide, if mean and spread stay as they are; here are {interval.n}."


def _quantile(count: Tensor, level: float) -> Tensor:
    from scipy.special import stdtrit

    return torch.from_numpy(stdtrit(count.numpy() - 1, (1 + level) / 2))
