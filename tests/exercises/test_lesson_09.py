"""The exercises of lesson 09: a typical wrong answer is told what is wrong with it."""

from collections.abc import Callable
from typing import Any

from answers import answered
from torch import Tensor

from mixlab.exercises import lesson_09
from mixlab.exercises.verdict import STILL_OPEN

Net = Callable[[Tensor], Tensor]


def gaps(f: Net, x: Tensor, x_prime: Tensor, lam: float, chord: float | None = None) -> Tensor:
    share = lam if chord is None else chord
    return f(lam * x + (1 - lam) * x_prime) - share * f(x) - (1 - share) * f(x_prime)


RIGHT: dict[str, list[Any]] = {
    "why/step": [0.5657, 0.57],
    "why/gap": [lambda *way: sum(float(row @ row) ** 0.5 for row in gaps(*way).double()) / 6],
    "why/rescale": [0.08],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "why/step": [
        (0.4, "0.4 is one class alone"),
        (0.8, "0.8 is the sum of both"),
        (0.32, "0.32 is the square"),
        (0.8485, "0.8485 is the distance to the other answer"),
        (0.7071, "0.7071 is the gap at λ = ½"),
        (-0.5657, "a norm is not negative"),
    ],
    "why/gap": [
        (0.5, "a function mean_gap(f, x, x_prime, lam), but you gave 0.5"),
        (lambda *_: None, STILL_OPEN),
        (lambda *way: gaps(*way).norm(dim=1), "one number, but yours has shape [6]"),
        (lambda *way: gaps(*way).mean(0).norm(), "is the norm of the mean over pairs"),
        (lambda *way: gaps(*way).norm(), "is the norm over all pairs at once"),
        (lambda *way: gaps(*way).norm(dim=1).sum(), "is the sum over pairs"),
        (lambda *way: gaps(*way).abs().sum(1).mean(), "is with absolute differences"),
        (lambda f, a, b, lam: gaps(f, a, b, lam, 1 - lam).norm(dim=1).mean(), "swapped in the chord"),
        (lambda f, a, b, lam: gaps(f, a, b, 1 - lam, lam).norm(dim=1).mean(), "swapped in the blend"),
        (lambda *way: gaps(*way).square().sum(1).mean(), "is the squared norm"),
    ],
    "why/rescale": [
        (800, "800 is what holds for v"),
        (0.8, "0.8 is how the first derivative changes"),
        (8, "8 is what it was"),
        (80, "80 is the first derivative's factor"),
        (0.01, "0.01 is the factor alone"),
    ],
}

test_answers = answered(lesson_09.EXERCISES, RIGHT, WRONG)
