"""The exercises of lesson 05: a typical wrong answer is told what is wrong with it."""

from typing import Any

from answers import judge, judged
from torch import Tensor

from mixlab.exercises.lesson_05 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN

ANOTHER_AXIS = "yours weighs another axis than the first by λ"


def weighed(weight: Any, hidden: Tensor, partner: Tensor) -> Tensor:
    return weight * hidden + (1 - weight) * hidden[partner]


def along_the_first(lam: Tensor, hidden: Tensor) -> Tensor:
    return lam.view(-1, *[1] * (hidden.ndim - 1))


RIGHT = {
    "manifold/mix": [lambda hidden, partner, lam: weighed(along_the_first(lam, hidden), hidden, partner)],
    "manifold/directions": [87],
    "manifold/rate": [0.04],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "manifold/mix": [
        (0.5, "a function mix(hidden, partner, lam), but you gave 0.5"),
        (lambda *_: None, STILL_OPEN),
        (lambda hidden, *_: hidden[0], "states [4, 4, 4, 4] the mix must have the same shape, but yours has [4, 4, 4]"),
        (lambda hidden, *_: hidden, "λ · hidden + (1 − λ) · hidden[partner]"),
        (lambda hidden, partner, lam: weighed(1 - along_the_first(lam, hidden), hidden, partner), "swapped"),
        (lambda hidden, partner, lam: weighed(lam.mean(), hidden, partner), "yours weighs all by their mean"),
        (lambda hidden, partner, lam: weighed(lam, hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam[:, None], hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam[:, None, None], hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam.view(-1, 1, 1, 1), hidden, partner), "yours has [4, 1, 4, 5]"),
    ],
    "manifold/directions": [
        (86, "86 is dim(H) − d"),
        (9, "9 is what the read-out needs, d − 1"),
        (96, "96 is all of them"),
        (10, "10 is the number of classes"),
        (50, "50 is too small"),
    ],
    "manifold/rate": [
        (1.0, "1 is the wrong way around"),
        (0.2, "0.2 is the same"),
        (0.02, "0.02 is 0.2 / d"),
        (0.2 / 9, "0.0222222 is 0.2 / (d − 1)"),
        (0.1, "0.1 is too large"),
    ],
}


@judged(EXERCISES, RIGHT, WRONG)
def test_answers(name: str, answer: Any, words: str | None) -> None:
    judge(name, answer, words)
