"""What every exercise shares: the type of its check, the verdict that a learner sees, and `near` for numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from mixlab import _check

Verify = Callable[[Any], str | None]
"""Says what is wrong with an answer, or None."""

STILL_OPEN = "your function returns nothing yet: write its body, ending in return."


@dataclass(frozen=True)
class Verdict:
    """What `check` says: `passed` is True, False, or None while the answer is still `...`."""

    passed: bool | None
    message: str

    def __str__(self) -> str:
        word = {True: "Right", False: "Not yet", None: "Open"}[self.passed]
        return f"{word}: {self.message}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        edge = {True: "#1b7837", False: "#b35806", None: "#777777"}[self.passed]
        style = f"border-left: 6px solid {edge}; padding: 4px 12px"
        return f'<div role="status" style="{style}">{escape(str(self))}</div>'


def near(answer: Any, truth: float, *, within: float, slips: dict[str, float] | None = None) -> str | None:
    """None if `answer` is a number within `within` of `truth`; else what is wrong, by a known slip if there is one.

    Args:
        answer: is what the learner gave.
        truth: is the right number.
        within: is the largest absolute error that still passes.
        slips: maps what a learner may have done wrong to the number it gives.
    """
    if isinstance(answer, bool) or not hasattr(answer, "__float__"):
        return f"the answer is a number, but you gave {_check.shown(answer)}."
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError):  # as NumPy and torch answer for several numbers
        return f"the answer is one number, but you gave {_check.shown(answer)}: take its mean?"
    if math.isnan(value):
        return "the answer is a number, but you gave nan."
    if abs(value - truth) <= within:
        return None
    for slip, number in (slips or {}).items():
        if abs(value - number) <= within:
            return f"{value:g} is {slip}."
    return f"{value:g} is too {'small' if value < truth else 'large'}."
