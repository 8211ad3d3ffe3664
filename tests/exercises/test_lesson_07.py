"""The exercises of lesson 07: typical wrong answers are told why."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mixlab.exercises.lesson_07 import EXERCISES as EXERCISES_07
from mixlab.exercises.verdict import STILL_OPEN

BINS = torch.tensor([[5.0, 20.0, 75.0], [0.3, 0.6, 0.95], [0.4, 0.5, 0.8]], dtype=torch.float64)
GIVEN = "on three bins of 5, 20 and 75 answers: "


def by_hand(count: Tensor, confidence: Tensor, accuracy: Tensor) -> float:
    total = 0.0
    for n, conf, acc in zip(count.tolist(), confidence.tolist(), accuracy.tolist(), strict=True):
        total += n * ((acc - conf) ** 2 - acc * (1 - acc) / (n - 1))
    return total / sum(count.tolist())


def weighted(count: Tensor, each: Tensor) -> Tensor:
    return (count * each).sum() / count.sum()


RIGHT: list[tuple[str, Any]] = [
    ("calibration/by_hand", 0.2),
    ("calibration/images", 1019),
    ("calibration/images", 2 / math.pi * 0.16 * 10_000),
    ("calibration/debiased", by_hand),
]
WRONG: list[tuple[str, Any, str]] = [
    ("calibration/by_hand", 0.08, "0.08 is the gaps with their signs, which cancel; ECE adds their sizes."),
    ("calibration/by_hand", 0.1917, "0.1917 is the mean of the two gaps; weigh each by its share of the answers."),
    ("calibration/by_hand", 0.2333, "0.2333 is the larger gap, which is the maximum calibration error."),
    ("calibration/by_hand", 0.3833, "0.3833 is the sum of the gaps; weigh each by its share of the answers."),
    ("calibration/by_hand", 0.14, "0.14 is the first bin alone."),
    ("calibration/by_hand", 0.06, "0.06 is the second bin alone."),
    ("calibration/by_hand", 0.2041, "0.2041 is the root mean square of the gaps, ECE's L2 sister."),
    ("calibration/by_hand", 0.7, "0.7 is the share of right answers."),
    ("calibration/by_hand", 0.5, "0.5 is too large."),
    ("calibration/images", 1600, "1600 is without the factor 2/π of the mean of |normal|."),
    ("calibration/images", 1276.6, "1276.6 is with √(2/π) where its square is wanted."),
    ("calibration/images", 5093, "5093 is with 0.8 for the variance; it is 0.8 · 0.2."),
    (
        "calibration/images",
        31.9,
        "31.9 is the root of it; noise falls with the root of n, so n goes with the square.",
    ),
    ("calibration/images", 15279, "15279 is for 15 bins; here all answers lie in one."),
    ("calibration/debiased", 0.1, "the answer is a function debiased(count, confidence, accuracy), but you gave 0.1."),
    ("calibration/debiased", lambda *_: ..., STILL_OPEN),
    (
        "calibration/debiased",
        lambda _, confidence, accuracy: (accuracy - confidence) ** 2,
        "the error is one number, but yours has shape [3]: take the weighted sum.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, (a - c) ** 2),
        "the plain squared error; nothing has been taken out.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, (a - c) ** 2 - a * (1 - a) / n),
        "with n_b in place of n_b − 1: the variance is estimated from the same answers.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, (a - c) ** 2 + a * (1 - a) / (n - 1)),
        "the noise added; take it away.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: ((a - c) ** 2 - a * (1 - a) / (n - 1)).mean(),
        "the mean over bins; weigh each by n_b/n.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, (a - c) ** 2 - c * (1 - c) / (n - 1)),
        "with conf(1 − conf); the noise is that of the right answers, acc(1 − acc).",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, (a - c) ** 2 - a * (1 - a)),
        "the variance of one answer taken out; that of a bin's mean is smaller by n_b − 1.",
    ),
    (
        "calibration/debiased",
        lambda *bins: by_hand(*bins) ** 0.5,
        "its root; the squared error is wanted.",
    ),
    (
        "calibration/debiased",
        lambda n, c, a: weighted(n, ((a - c) ** 2 - a * (1 - a) / (n - 1)).clamp(min=0)),
        "with each bin clamped at 0; a bin may be negative, and the mean needs it.",
    ),
    (
        "calibration/debiased",
        lambda *bins: max(0.0, by_hand(*bins)),
        "on three bins without gaps: 0 is clamped at 0; the debiased error may be negative.",
    ),
]


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_a_right_answer_passes(exercise: str, answer: Any) -> None:
    assert EXERCISES_07[exercise](answer) is None


@pytest.mark.parametrize(("exercise", "answer", "message"), WRONG)
def test_a_wrong_answer_is_told_what_it_is(exercise: str, answer: Any, message: str) -> None:
    told = str(EXERCISES_07[exercise](answer))
    if told.startswith(GIVEN):  # then the number follows that the function gives there
        given = answer(*BINS)
        told = told.removeprefix(f"{GIVEN}{float(given):g} is ")
    assert told == message


def test_every_exercise_is_tried() -> None:
    assert {name for name, _ in RIGHT} == {name for name, *_ in WRONG} == set(EXERCISES_07)
