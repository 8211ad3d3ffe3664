"""The exercises of lesson 07: a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

from answers import judge, judged
from torch import Tensor

from mixlab.exercises.lesson_07 import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN


def by_hand(count: Tensor, confidence: Tensor, accuracy: Tensor) -> float:
    total = 0.0
    for n, conf, acc in zip(count.tolist(), confidence.tolist(), accuracy.tolist(), strict=True):
        total += n * ((acc - conf) ** 2 - acc * (1 - acc) / (n - 1))
    return total / sum(count.tolist())


def weighted(count: Tensor, each: Tensor) -> Tensor:
    return (count * each).sum() / count.sum()


RIGHT: dict[str, list[Any]] = {
    "calibration/by_hand": [0.2],
    "calibration/images": [1019, 2 / math.pi * 0.16 * 10_000],
    "calibration/debiased": [by_hand],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "calibration/by_hand": [
        (0.08, "0.08 is the gaps with their signs"),
        (0.1917, "0.1917 is the mean of the two gaps"),
        (0.2333, "0.2333 is the larger gap"),
        (0.3833, "0.3833 is the sum of the gaps"),
        (0.14, "0.14 is the first bin alone"),
        (0.06, "0.06 is the second bin alone"),
        (0.2041, "0.2041 is the root mean square of the gaps"),
        (0.7, "0.7 is the share of right answers"),
        (0.5, "0.5 is too large"),
    ],
    "calibration/images": [
        (1600, "1600 is without the factor 2/π"),
        (1276.6, "1276.6 is with √(2/π)"),
        (5093, "5093 is with 0.8 for the variance"),
        (31.9, "31.9 is the root of it"),
        (15279, "15279 is for 15 bins"),
    ],
    "calibration/debiased": [
        (0.1, "a function debiased(count, confidence, accuracy), but you gave 0.1"),
        (lambda *_: ..., STILL_OPEN),
        (lambda _, confidence, accuracy: (accuracy - confidence) ** 2, "one number, but yours has shape [3]"),
        (lambda n, c, a: weighted(n, (a - c) ** 2), "is the plain squared error"),
        (lambda n, c, a: weighted(n, (a - c) ** 2 - a * (1 - a) / n), "is with n_b in place of n_b − 1"),
        (lambda n, c, a: weighted(n, (a - c) ** 2 + a * (1 - a) / (n - 1)), "is the noise added"),
        (lambda n, c, a: ((a - c) ** 2 - a * (1 - a) / (n - 1)).mean(), "is the mean over bins"),
        (lambda n, c, a: weighted(n, (a - c) ** 2 - c * (1 - c) / (n - 1)), "is with conf(1 − conf)"),
        (lambda n, c, a: weighted(n, (a - c) ** 2 - a * (1 - a)), "is the variance of one answer taken out"),
        (lambda *bins: by_hand(*bins) ** 0.5, "is its root"),
        (lambda n, c, a: weighted(n, ((a - c) ** 2 - a * (1 - a) / (n - 1)).clamp(min=0)), "each bin clamped at 0"),
        (lambda *bins: max(0.0, by_hand(*bins)), "0 is clamped at 0"),
    ],
}


@judged(EXERCISES, RIGHT, WRONG)
def test_answers(name: str, answer: Any, words: str | None) -> None:
    judge(name, answer, words)
