"""What the exercises share: the verdict that a learner sees, and checks of functions, numbers and tensors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

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


class WrongAnswerError(Exception):
    """Ends a check; its message says what is wrong."""


def result_of(answer: Any, signature: str, *arguments: Any) -> Any:
    """What a learner's function returns for these arguments; tensors are copied, as it may write into them.

    Raises WrongAnswerError if it is no function, which `signature` then describes, or returns nothing yet.
    """
    if not callable(answer):
        raise WrongAnswerError(f"the answer is a function {signature}, but you gave {_check.shown(answer)}.")
    result = answer(*(part.clone() if isinstance(part, Tensor) else part for part in arguments))
    if result is None or result is ...:
        raise WrongAnswerError(STILL_OPEN)
    return result


def alike(value: Tensor, truth: Tensor, slips: Mapping[str, Tensor], otherwise: str) -> str | None:
    """None if a tensor is `truth` to 1e-5; else what is wrong, by a known slip if there is one."""

    def same(other: Tensor) -> bool:
        return value.shape == other.shape and torch.allclose(value.double(), other.double(), atol=1e-5)

    return None if same(truth) else next((words for words, slip in slips.items() if same(slip)), otherwise)


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
