"""The exercises of lesson 08: typical wrong answers are told why."""

import math
from typing import Any

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixlab.exercises.lesson_08 import EXERCISES as EXERCISES_08
from mixlab.exercises.verdict import STILL_OPEN

GIVEN = "on logits that are 1.8 times too large: "


def fitted(logits: Tensor, labels: Tensor) -> float:
    def loss(beta: float) -> float:
        return float(cross_entropy(beta * logits.double(), labels))

    return 1 / float(minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x)


def evened(logits: Tensor, labels: Tensor) -> float:
    right = (logits.argmax(1) == labels).double().mean()
    grid = [t / 1000 for t in range(500, 4000)]
    return min(grid, key=lambda t: abs(float((logits.double() / t).softmax(1).amax(1).mean() - right)))


RIGHT: list[tuple[str, Any]] = [
    ("test_time/confidence", 0.8808),
    ("test_time/fit", fitted),
    ("test_time/unbalanced", 0.4337),
    ("test_time/unbalanced", 0.43),
]
WRONG: list[tuple[str, Any, str]] = [
    ("test_time/confidence", 0.9526, "0.9526 is the confidence at temperature 1."),
    ("test_time/confidence", 0.6351, "0.6351 is the confidence divided by 1.5; divide the logits."),
    ("test_time/confidence", 0.633, "0.633 is 0.95 divided by 1.5; divide the logits."),
    (
        "test_time/confidence",
        0.989,
        "0.989 is with the logits times 1.5; divide them, and the confidence falls.",
    ),
    ("test_time/confidence", 0.1192, "0.1192 is the other class's probability."),
    ("test_time/confidence", math.exp(2), "7.38906 is right as a ratio of the two; give the probability."),
    ("test_time/confidence", 0.7, "0.7 is too small."),
    ("test_time/fit", 1.8, "the answer is a function fit(logits, labels), but you gave 1.8."),
    ("test_time/fit", lambda *_: None, STILL_OPEN),
    ("test_time/fit", lambda *_: torch.ones(2), "the temperature is one number, but yours has shape [2]."),
    ("test_time/fit", lambda *given: 1 / fitted(*given), "1/T; logits are divided by T."),
    ("test_time/fit", evened, "where mean confidence equals accuracy, which is near but not the least NLL."),
    ("test_time/fit", lambda *_: 4.0, "too large."),
    (
        "test_time/fit",
        lambda logits, labels: float(cross_entropy(logits / fitted(logits, labels), labels)),
        "the least loss itself; the temperature at which it is reached is wanted.",
    ),
    ("test_time/unbalanced", 0.5, "0.5 is what a temperature gives; the term in ȳ counts when classes are unbalanced."),
    ("test_time/unbalanced", 0.5663, "0.5663 is class 1's; class 0 is asked for."),
    ("test_time/unbalanced", 0.5498, "0.5498 is with 1 − θ̄ in place of 1 − 1/θ̄; mind the sign."),
    ("test_time/unbalanced", 0.744, "0.744 is with 1/θ̄ in place of 1 − 1/θ̄."),
    ("test_time/unbalanced", 0.9, "0.9 is the share of class 0 in training."),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_pass(name: str, answer: Any) -> None:
    assert EXERCISES_08[name](answer) is None


@pytest.mark.parametrize(("name", "answer", "message"), WRONG)
def test_wrong_answers_are_told_why(name: str, answer: Any, message: str) -> None:
    said = str(EXERCISES_08[name](answer))
    if said.startswith(GIVEN):  # then the temperature follows that the function gives there
        said = said.removeprefix(GIVEN).split(" is ", 1)[1]
    assert said == message


def test_each_exercise_has_both() -> None:
    assert {name for name, _ in RIGHT} == {name for name, *_ in WRONG} == set(EXERCISES_08)
