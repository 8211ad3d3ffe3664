"""The exercises of lesson 04: a typical wrong answer is told what is wrong with it."""

from typing import Any

import pytest
from torch import Tensor

from mixlab.exercises.lesson_04 import EXERCISES


def apart(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    weight = lam.view(*lam.shape, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * x[partner]


WRONG: dict[str, list[tuple[Any, str]]] = {
    "multimix/blends": [
        (0.5, "the answer is a function blends(x, partner, lam), but you gave 0.5."),
        (
            lambda *_: [0.5, 0.5],
            "yours must be one tensor [K * B, ...], but is [0.5, 0.5]: join the blends with torch.cat.",
        ),
        (lambda *_: None, "your function returns nothing yet: write its body, ending in return."),
        (apart, "the values have shape [K, B, ...]; flatten the first two axes, for the network takes one batch."),
        (
            lambda x, *_: x,
            "3 blends of each of 4 pairs are 12 images, [12, 2, 3, 3], but yours are [4, 2, 3, 3].",
        ),
        (
            lambda x, partner, lam: apart(x, partner, 1 - lam).flatten(0, 1),
            "λ must weigh the example and 1 − λ its partner, but yours has them swapped.",
        ),
        (
            lambda x, partner, lam: apart(x, partner, lam).transpose(0, 1).flatten(0, 1),
            "the K blends of one pair lie side by side; k-major has all pairs of the first λ, then all of the second.",
        ),
        (
            lambda x, partner, lam: apart(x, partner, lam * 0 + 0.5).flatten(0, 1),
            "yours is something else than λ_k · x + (1 − λ_k) · x[partner].",
        ),
    ],
    "multimix/plateau": [
        (0.8, "0.8 is what five blends reach; more of them go lower."),
        (0.25, "0.25 is the part of λ; what stays is the part of the pairs."),
        (0.2, "0.2 is what five blends take away; the question is what stays."),
        (0.7, "0.7 is too small."),
    ],
    "multimix/budget": [
        (0.25, "0.25 is turned round; the larger batch has the lower variance."),
        (0.8, "0.8 is five blends over one on the same pairs; here the other one has five times the pairs."),
        (5, "5 is as if five blends took nothing away."),
        (0.2, "0.2 is V(160 pairs, K = 1) alone; divide V(32 pairs, K = 5) by it."),
        (3, "3 is too small."),
    ],
}

ROWS = [(name, answer, message) for name, rows in WRONG.items() for answer, message in rows]


@pytest.mark.parametrize(("name", "answer", "message"), ROWS)
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Any, message: str) -> None:
    assert EXERCISES[name](answer) == message


def test_every_exercise_has_wrong_answers() -> None:
    assert set(WRONG) == set(EXERCISES)
