"""The exercises of lesson 06: a typical wrong answer is told what is wrong with it."""

from typing import Any

from answers import judge, judged
from torch import Tensor

from mixlab.exercises.lesson_06 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN


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


RIGHT: dict[str, list[Any]] = {
    "puzzle/label": [0.6875],
    "puzzle/smoothness": [by_hand],
    "puzzle/equal_seconds": [441, 300 * 50 / 34],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "puzzle/label": [
        (13 / 16, "0.8125 is right if a block at ½ were all of x"),
        (9 / 16, "0.5625 is right if a block at ½ showed nothing of x"),
        (5 / 16, "0.3125 is the weight of the label of x′"),
        (11, "11 is the sum of the mask"),
        (0.5, "0.5 is too small"),
    ],
    "puzzle/smoothness": [
        (0.1, "a function smoothness(m, beta), but you gave 0.1"),
        (lambda *_: ..., STILL_OPEN),
        (lambda m, beta: beta * m.diff(dim=0), "one number, but yours has shape [3, 4]"),
        (lambda m, _: sum(borders(m)), "7 is right without β/(16 b)"),
        (lambda m, beta: beta / 16 * sum(borders(m)), "0.525 is right with β/16"),
        (lambda m, beta: beta / 16 * len(m) * sum(borders(m)), "2.1 is multiplied by b = 4"),
        (lambda m, beta: beta / (16 * m.numel()) * sum(borders(m)), "0.0328125 is right with 16 blocks for b"),
        (
            lambda m, beta: beta / 64 * sum((m - m.roll(1, axis)).square().sum() for axis in (0, 1)),
            "0.178125 is with the first row and column beside the last",
        ),
        (lambda m, beta: 2 * by_hand(m, beta), "0.2625 is each border counted twice"),
        (lambda m, beta: beta / 64 * borders(m)[0], "0.0703125 is the borders between rows alone"),
        (lambda m, beta: beta / 64 * borders(m)[1], "0.0609375 is the borders between columns alone"),
        (
            lambda m, beta: beta / 64 * (m.diff(dim=0).abs().sum() + m.diff(dim=1).abs().sum()),
            "0.20625 is the sum of |mᵢ − mⱼ|",
        ),
        (lambda m, _: by_hand(m, 1.0), "0.109375 is right with β = 1"),
    ],
    "puzzle/equal_seconds": [
        (204, "204 is the wrong way around"),
        (300, "300 is at equal epochs"),
        (442, "442 is rounded up"),
        (141.2, "141.2 is how many more"),
        (15000, "15000 is the seconds in all"),
    ],
}


@judged(EXERCISES, RIGHT, WRONG)
def test_answers(name: str, answer: Any, words: str | None) -> None:
    judge(name, answer, words)
