"""The exercises of lesson 08: a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

import torch
from answers import judge, judged
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixlab.exercises.lesson_08 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN


def fitted(logits: Tensor, labels: Tensor) -> float:
    def loss(beta: float) -> float:
        return float(cross_entropy(beta * logits.double(), labels))

    return 1 / float(minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x)


def evened(logits: Tensor, labels: Tensor) -> float:
    right = (logits.argmax(1) == labels).double().mean()
    grid = [t / 1000 for t in range(500, 4000)]
    return min(grid, key=lambda t: abs(float((logits.double() / t).softmax(1).amax(1).mean() - right)))


RIGHT: dict[str, list[Any]] = {
    "test_time/confidence": [0.8808],
    "test_time/fit": [fitted],
    "test_time/unbalanced": [0.4337, 0.43],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "test_time/confidence": [
        (0.9526, "0.9526 is the confidence at temperature 1"),
        (0.6351, "0.6351 is the confidence divided by 1.5"),
        (0.633, "0.633 is 0.95 divided by 1.5"),
        (0.989, "0.989 is with the logits times 1.5"),
        (0.1192, "0.1192 is the other class's probability"),
        (math.exp(2), "7.38906 is right as a ratio"),
        (0.7, "0.7 is too small"),
    ],
    "test_time/fit": [
        (1.8, "a function fit(logits, labels), but you gave 1.8"),
        (lambda *_: None, STILL_OPEN),
        (lambda *_: torch.ones(2), "one number, but yours has shape [2]"),
        (lambda *given: 1 / fitted(*given), "is 1/T"),
        (evened, "is where mean confidence equals accuracy"),
        (lambda *_: 4.0, "4 is too large"),
        (lambda z, labels: float(cross_entropy(z / fitted(z, labels), labels)), "is the least loss itself"),
    ],
    "test_time/unbalanced": [
        (0.5, "0.5 is what a temperature gives"),
        (0.5663, "0.5663 is class 1's"),
        (0.5498, "0.5498 is with 1 − θ̄"),
        (0.744, "0.744 is with 1/θ̄"),
        (0.9, "0.9 is the share of class 0 in training"),
    ],
}


@judged(EXERCISES, RIGHT, WRONG)
def test_answers(name: str, answer: Any, words: str | None) -> None:
    judge(name, answer, words)
