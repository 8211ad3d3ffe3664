"""The exercises of lesson 07, calibration."""

import math
from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, near, result_of


def _by_hand(answer: Any) -> str | None:
    """The ECE of six answers at 0.9, four of them right, and four at 0.6, three of them right."""
    over, under = 0.9 - 4 / 6, 0.6 - 3 / 4
    slips = {
        "the gaps with their signs, which cancel; ECE adds their sizes": 0.6 * over + 0.4 * under,
        "the mean of the two gaps; weigh each by its share of the answers": (over - under) / 2,
        "the larger gap, which is the maximum calibration error": over,
        "the sum of the gaps; weigh each by its share of the answers": over - under,
        "the first bin alone": 0.6 * over,
        "the second bin alone": -0.4 * under,
        "the root mean square of the gaps, ECE's L2 sister": math.sqrt(0.6 * over**2 + 0.4 * under**2),
        "the share of right answers": 0.7,
    }
    return near(answer, 0.6 * over - 0.4 * under, within=1e-3, slips=slips)


def _images(answer: Any) -> str | None:
    """The n at which one bin at confidence 0.8 has an expected ECE of 0.01 by noise alone."""
    slips = {
        "without the factor 2/π of the mean of |normal|": 0.16 / 0.01**2,
        "with √(2/π) where its square is wanted": math.sqrt(2 / math.pi) * 0.16 / 0.01**2,
        "with 0.8 for the variance; it is 0.8 · 0.2": 2 / math.pi * 0.8 / 0.01**2,
        "the root of it; noise falls with the root of n, so n goes with the square": math.sqrt(2 / math.pi * 0.16)
        / 0.01,
        "for 15 bins; here all answers lie in one": 15 * 2 / math.pi * 0.16 / 0.01**2,
    }
    return near(answer, 2 / math.pi * 0.16 / 0.01**2, within=2, slips=slips)


def _debiased(answer: Any) -> str | None:
    """A function debiased(count, confidence, accuracy): the squared calibration error without the noise of the bins."""
    count, confidence, accuracy = torch.tensor(
        [[5.0, 20.0, 75.0], [0.3, 0.6, 0.95], [0.4, 0.5, 0.8]], dtype=torch.float64
    )
    given = result_of(answer, "debiased(count, confidence, accuracy)", count, confidence, accuracy)
    if isinstance(given, Tensor) and given.ndim:
        return f"the error is one number, but yours has shape {list(given.shape)}: take the weighted sum."
    squared, chance = (accuracy - confidence) ** 2, accuracy * (1 - accuracy)
    weight = count / count.sum()

    def whole(each: Tensor) -> float:
        return float((weight * each).sum())

    truth = whole(squared - chance / (count - 1))
    slips = {
        "the plain squared error; nothing has been taken out": whole(squared),
        "with n_b in place of n_b − 1: the variance is estimated from the same answers": whole(
            squared - chance / count
        ),
        "the noise added; take it away": whole(squared + chance / (count - 1)),
        "the mean over bins; weigh each by n_b/n": float((squared - chance / (count - 1)).mean()),
        "with conf(1 − conf); the noise is that of the right answers, acc(1 − acc)": whole(
            squared - confidence * (1 - confidence) / (count - 1)
        ),
        "the variance of one answer taken out; that of a bin's mean is smaller by n_b − 1": whole(squared - chance),
        "its root; the squared error is wanted": math.sqrt(truth),
        "with each bin clamped at 0; a bin may be negative, and the mean needs it": whole(
            (squared - chance / (count - 1)).clamp(min=0)
        ),
    }
    wrong = near(given, truth, within=1e-6, slips=slips)
    if wrong:
        return f"on three bins of 5, 20 and 75 answers: {wrong}"
    without_gaps = -whole(chance / (count - 1))
    clamped = {"clamped at 0; the debiased error may be negative": 0.0}
    wrong = near(answer(count.clone(), accuracy.clone(), accuracy.clone()), without_gaps, within=1e-6, slips=clamped)
    return wrong and f"on three bins without gaps: {wrong}"


EXERCISES: dict[str, Verify] = {
    "calibration/by_hand": _by_hand,
    "calibration/images": _images,
    "calibration/debiased": _debiased,
}
