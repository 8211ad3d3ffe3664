"""The exercises of lesson 06: typical wrong answers are told why."""

from typing import Any

import pytest
from torch import Tensor

from mixlab.exercises.lesson_06 import EXERCISES as EXERCISES_06
from mixlab.exercises.verdict import STILL_OPEN

GIVEN = "on a mask of 4 by 4 blocks with β = 1.2: "


def borders(m: Tensor) -> tuple[Tensor, Tensor]:
    return m.diff(dim=0).square().sum(), m.diff(dim=1).square().sum()


def by_hand(m: Tensor, beta: float) -> float:
    side, total = len(m), 0.0
    for i in range(side):
        for j in range(side):
            for k, n in ((i + 1, j), (i, j + 1)):
                if k < side and n < side:
                    total += float(m[i, j] - m[k, n]) ** 2
    return beta / (16 * side) * total


RIGHT: list[tuple[str, Any]] = [
    ("puzzle/label", 0.6875),
    ("puzzle/smoothness", by_hand),
    ("puzzle/equal_seconds", 441),
    ("puzzle/equal_seconds", 300 * 50 / 34),
]
WRONG: list[tuple[str, Any, str]] = [
    ("puzzle/label", 13 / 16, "0.8125 is right if a block at ½ were all of x; it shows half of it."),
    ("puzzle/label", 9 / 16, "0.5625 is right if a block at ½ showed nothing of x; it shows half of it."),
    ("puzzle/label", 5 / 16, "0.3125 is the weight of the label of x′; that of x is the rest."),
    ("puzzle/label", 11, "11 is the sum of the mask; λ is its mean."),
    ("puzzle/label", 0.5, "0.5 is too small."),
    ("puzzle/smoothness", 0.1, "the answer is a function smoothness(m, beta), but you gave 0.1."),
    ("puzzle/smoothness", lambda *_: ..., STILL_OPEN),
    (
        "puzzle/smoothness",
        lambda m, beta: beta * m.diff(dim=0),
        "the smoothness is one number, but yours has shape [3, 4]: take the sum.",
    ),
    ("puzzle/smoothness", lambda m, _: sum(borders(m)), "7 is right without β/(16 b) in front."),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 16 * sum(borders(m)),
        "0.525 is right with β/16 in front; b = 4 is missing.",
    ),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 16 * len(m) * sum(borders(m)),
        "2.1 is multiplied by b = 4; divide by it.",
    ),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / (16 * m.numel()) * sum(borders(m)),
        "0.0328125 is right with 16 blocks for b; b is the 4 blocks on a side.",
    ),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 64 * sum((m - m.roll(1, axis)).square().sum() for axis in (0, 1)),
        "0.178125 is with the first row and column beside the last; they share no border.",
    ),
    ("puzzle/smoothness", lambda m, beta: 2 * by_hand(m, beta), "0.2625 is each border counted twice."),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 64 * borders(m)[0],
        "0.0703125 is the borders between rows alone; those between columns are missing.",
    ),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 64 * borders(m)[1],
        "0.0609375 is the borders between columns alone; those between rows are missing.",
    ),
    (
        "puzzle/smoothness",
        lambda m, beta: beta / 64 * (m.diff(dim=0).abs().sum() + m.diff(dim=1).abs().sum()),
        "0.20625 is the sum of |mᵢ − mⱼ|; square the differences.",
    ),
    ("puzzle/smoothness", lambda m, _: by_hand(m, 1.0), "0.109375 is right with β = 1; β is an argument."),
    ("puzzle/equal_seconds", 204, "204 is turned round: the plain epoch is the shorter one, so more of them fit."),
    ("puzzle/equal_seconds", 300, "300 is at equal epochs; the time is to be equal."),
    (
        "puzzle/equal_seconds",
        442,
        "442 is rounded up, and the last epoch would end too late; give 300 · 50 / 34, exact or rounded down.",
    ),
    ("puzzle/equal_seconds", 141.2, "141.2 is how many more; give all of them."),
    ("puzzle/equal_seconds", 15000, "15000 is the seconds in all; divide by those of a plain epoch."),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_pass(name: str, answer: Any) -> None:
    assert EXERCISES_06[name](answer) is None


@pytest.mark.parametrize(("name", "answer", "message"), WRONG)
def test_wrong_answers_are_told_why(name: str, answer: Any, message: str) -> None:
    said = str(EXERCISES_06[name](answer)).removeprefix(GIVEN)
    assert said == message


def test_each_exercise_has_both() -> None:
    assert {name for name, _ in RIGHT} == {name for name, *_ in WRONG} == set(EXERCISES_06)


def test_no_two_slips_are_the_same_number() -> None:
    said = [message for *_, message in WRONG]
    assert len({message.split()[0] for message in said if message[0].isdigit()}) == sum(m[0].isdigit() for m in said)
