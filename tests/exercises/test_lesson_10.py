"""The exercises of lesson 10: a typical wrong answer is told what is wrong with it."""

from typing import Any

import torch
from answers import answered
from torch import Tensor

from mixlab.exercises.lesson_10 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN


def moved(x: Tensor, gradient: Tensor, radius: float) -> Tensor:
    return torch.where(gradient > 0, x + radius, x - radius)


def by_class(correct: Tensor, labels: Tensor) -> list[float]:
    return [correct[labels == label].double().mean().item() for label in labels.unique()]


RIGHT: dict[str, list[Any]] = {
    "trouble/step": [lambda *given: moved(*given).clamp(0, 1)],
    "trouble/share": [0.9, 9 / 10],
    "trouble/worst": [lambda *given: min(by_class(*given))],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "trouble/step": [
        (0.1, "a function step(x, gradient, radius), but you gave 0.1"),
        (lambda *_: ..., STILL_OPEN),
        (lambda x, *_: x[0], "a tensor like x, but yours is a float32 tensor of shape [4, 4]"),
        (moved, "pixels leave [0, 1]"),
        (lambda x, gradient, radius: moved(x, -gradient, radius).clamp(0, 1), "goes down the loss; an attack goes up"),
        (lambda x, gradient, radius: moved(x, -gradient, radius), "goes down the loss, and pixels leave"),
        (lambda x, gradient, radius: (x + radius * gradient).clamp(0, 1), "its sign is wanted"),
        (lambda x, gradient, radius: moved(0 * x, gradient, radius), "add it to x"),
        (lambda x, *_: x, "each pixel moves by the radius"),
    ],
    "trouble/share": [
        (0.5, "0.5 is the limit for pair flips"),
        (0.1, "0.1 is 1/10"),
        (8 / 9, "0.888889 is 8/9"),
        (90, "90 is in percent"),
    ],
    "trouble/worst": [
        (0.25, "a function worst(correct, labels), but you gave 0.25"),
        (lambda *_: None, STILL_OPEN),
        (lambda correct, _: correct.double().mean(), "0.65 is the accuracy of all images"),
        (lambda *given: sum(by_class(*given)) / 4, "0.583333 is the mean over classes"),
        (lambda *given: max(by_class(*given)), "0.833333 is the best class's"),
        (lambda *given: by_class(*given)[2], "0.5 is what the class with the fewest images has"),
        (lambda *given: 1 - max(by_class(*given)), "0.166667 is 1 minus"),
        (lambda *_: 0.0, "leave those out"),
    ],
}


test_answers = answered(EXERCISES, RIGHT, WRONG)
