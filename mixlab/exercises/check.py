"""Exercises that say what is wrong: mx.check("lambda/theta_bar", answer)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from mixlab import _check

Verify = Callable[[Any], str | None]
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


def check(exercise: str, answer: Any) -> Verdict:
    """Look at the answer to an exercise of the lessons.

    Args:
        exercise: its name, "lesson/exercise".
        answer: a number, a tensor, a function or an object, as the exercise asks; `...` while it is open.

    Returns:
        A Verdict that renders in a notebook: right, or what is wrong and where to look.

    Raises:
        ValueError: no exercise has this name.
    """
    from mixlab.exercises import EXERCISES

    verify = EXERCISES[_check.choice("exercise", exercise, EXERCISES)]
    if answer is ...:
        return Verdict(None, "replace the ... by your answer and run the cell again.")
    try:
        wrong = verify(answer)
    except Exception as error:  # noqa: BLE001  # a learner's function may fail in any way; the verdict says how
        wrong = f"your answer raised {type(error).__name__}: {error}"
    if wrong is None:
        return Verdict(True, "well done.")
    return Verdict(None if wrong == STILL_OPEN else False, wrong)


def near(answer: Any, truth: float, *, within: float, slips: dict[str, float] | None = None) -> str | None:
    """None if `answer` is a number within `within` of `truth`; else what is wrong, naming a known slip if it is one.

    Args:
        answer: what the learner gave.
        truth: the right number.
        within: largest absolute error that still passes.
        slips: wrong numbers that learners come to, by what they did.
    """
    if isinstance(answer, bool) or not hasattr(answer, "__float__"):
        return f"the answer is a number, but you gave {_check.shown(answer)}."
    value = float(answer)
    if math.isnan(value):
        return "the answer is a number, but you gave nan."
    if abs(value - truth) <= within:
        return None
    for slip, number in (slips or {}).items():
        if abs(value - number) <= within:
            return f"{value:g} is {slip}."
    return f"{value:g} is too {'small' if value < truth else 'large'}."
