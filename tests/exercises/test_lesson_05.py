"""The exercises of lesson 05: a typical wrong answer is told what is wrong with it."""

from typing import Any

import pytest
from torch import Tensor

from mixlab.exercises.lesson_05 import EXERCISES

FORM = "for hidden states [4, 4, 4, 4] "
ANOTHER_AXIS = (
    "yours weighs another axis than the first by λ: give λ an axis of length 1 for each axis after the first, as in "
    "lam.view(-1, *[1] * (hidden.ndim - 1))."
)


def without_axes(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    return lam * hidden + (1 - lam) * hidden[partner]


def one_axis_more(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    return lam[:, None] * hidden + (1 - lam[:, None]) * hidden[partner]


def two_axes_more(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    return lam[:, None, None] * hidden + (1 - lam[:, None, None]) * hidden[partner]


def for_maps_only(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    weight = lam.view(-1, 1, 1, 1)
    return weight * hidden + (1 - weight) * hidden[partner]


def by_mean(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    return lam.mean() * hidden + (1 - lam.mean()) * hidden[partner]


def the_wrong_way_round(hidden: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    weight = lam.view(-1, *[1] * (hidden.ndim - 1))
    return (1 - weight) * hidden + weight * hidden[partner]


WRONG: dict[str, list[tuple[Any, str]]] = {
    "manifold/mix": [
        (0.5, "the answer is a function mix(hidden, partner, lam), but you gave 0.5."),
        (lambda *_: None, "your function returns nothing yet: write its body, ending in return."),
        (lambda hidden, *_: hidden[0], FORM + "the mix must have the same shape, but yours has [4, 4, 4]."),
        (
            lambda hidden, *_: hidden,
            FORM + "yours is something else than λ · hidden + (1 − λ) · hidden[partner].",
        ),
        (
            the_wrong_way_round,
            "λ must weigh the example and 1 − λ its partner, but yours has them swapped.",
        ),
        (by_mean, "each example has its own λ, but yours weighs all by their mean."),
        (without_axes, ANOTHER_AXIS),
        (one_axis_more, ANOTHER_AXIS),
        (two_axes_more, ANOTHER_AXIS),
        (
            for_maps_only,
            "for hidden states [4, 5] the mix must have the same shape, but yours has [4, 1, 4, 5].",
        ),
    ],
    "manifold/directions": [
        (
            86,
            "86 is dim(H) − d; the read-out needs d − 1 directions, since the weights of a label sum to 1.",
        ),
        (9, "9 is what the read-out needs, d − 1; the class keeps the rest."),
        (96, "96 is all of them; the read-out needs some."),
        (10, "10 is the number of classes."),
        (50, "50 is too small."),
    ],
    "manifold/rate": [
        (
            1.0,
            "1 is turned round: gradients of cross entropy are larger, so its learning rate must be smaller.",
        ),
        (0.2, "0.2 is the same; but gradients of cross entropy are d/2 times as large."),
        (0.02, "0.02 is 0.2 / d; the gradients differ by 2/d."),
        (
            0.2 / 9,
            ("0.0222222 is 0.2 / (d − 1), right at the start; with two classes left the gradients differ by 2/d."),
        ),
        (0.1, "0.1 is too large."),
    ],
}

ROWS = [(name, answer, message) for name, rows in WRONG.items() for answer, message in rows]


@pytest.mark.parametrize(("name", "answer", "message"), ROWS)
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Any, message: str) -> None:
    assert EXERCISES[name](answer) == message


def test_every_exercise_has_wrong_answers() -> None:
    assert set(WRONG) == set(EXERCISES)
