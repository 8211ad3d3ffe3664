"""The exercises of lesson 04: a typical wrong answer is told what is wrong with it."""

from typing import Any

from answers import judge, judged
from torch import Tensor

from mixlab.exercises.lesson_04 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN


def apart(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    weight = lam.view(*lam.shape, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * x[partner]


RIGHT = {
    "multimix/blends": [lambda x, partner, lam: apart(x, partner, lam).flatten(0, 1)],
    "multimix/plateau": [0.75],
    "multimix/budget": [4],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "multimix/blends": [
        (0.5, "a function blends(x, partner, lam), but you gave 0.5"),
        (lambda *_: [0.5, 0.5], "one tensor [K * B, ...], but is [0.5, 0.5]"),
        (lambda *_: None, STILL_OPEN),
        (apart, "shape [K, B, ...]; flatten the first two axes"),
        (lambda x, *_: x, "12 images, [12, 2, 3, 3], but yours are [4, 2, 3, 3]"),
        (lambda x, partner, lam: apart(x, partner, 1 - lam).flatten(0, 1), "swapped"),
        (lambda x, partner, lam: apart(x, partner, lam).transpose(0, 1).flatten(0, 1), "k-major"),
        (lambda x, partner, lam: apart(x, partner, lam * 0 + 0.5).flatten(0, 1), "λ_k · x + (1 − λ_k) · x[partner]"),
    ],
    "multimix/plateau": [
        (0.8, "0.8 is what five blends reach"),
        (0.25, "0.25 is the part of λ"),
        (0.2, "0.2 is what five blends take away"),
        (0.7, "0.7 is too small"),
    ],
    "multimix/budget": [
        (0.25, "0.25 is the wrong way around"),
        (0.8, "0.8 is five blends over one on the same pairs"),
        (5, "5 is as if five blends took nothing away"),
        (0.2, "0.2 is V(160 pairs, K = 1) alone"),
        (3, "3 is too small"),
    ],
}


@judged(EXERCISES, RIGHT, WRONG)
def test_answers(name: str, answer: Any, words: str | None) -> None:
    judge(name, answer, words)
