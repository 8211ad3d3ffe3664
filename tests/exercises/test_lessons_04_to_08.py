"""The exercises of lessons 04 to 08: a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

import torch
from answers import answered
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixlab.exercises import lesson_04, lesson_05, lesson_06, lesson_07, lesson_08
from mixlab.exercises.verdict import STILL_OPEN


def apart(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    weight = lam.view(*lam.shape, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * x[partner]


ANOTHER_AXIS = "yours weighs another axis than the first by λ"


def weighed(weight: Any, hidden: Tensor, partner: Tensor) -> Tensor:
    return weight * hidden + (1 - weight) * hidden[partner]


def along_the_first(lam: Tensor, hidden: Tensor) -> Tensor:
    return lam.view(-1, *[1] * (hidden.ndim - 1))


def borders(m: Tensor) -> tuple[Tensor, Tensor]:
    return m.diff(dim=0).square().sum(), m.diff(dim=1).square().sum()


def smoothness_by_hand(m: Tensor, beta: float) -> float:
    side, total = len(m), 0.0
    for i in range(side):
        for j in range(side):
            for k, n in ((i + 1, j), (i, j + 1)):
                if k < side and n < side:
                    total += float(m[i, j] - m[k, n]) ** 2
    return beta / (16 * side) * total


def debiased_by_hand(count: Tensor, confidence: Tensor, accuracy: Tensor) -> float:
    total = 0.0
    for n, conf, acc in zip(count.tolist(), confidence.tolist(), accuracy.tolist(), strict=True):
        total += n * ((acc - conf) ** 2 - acc * (1 - acc) / (n - 1))
    return total / sum(count.tolist())


def weighted(count: Tensor, each: Tensor) -> Tensor:
    return (count * each).sum() / count.sum()


def fitted(logits: Tensor, labels: Tensor) -> float:
    def loss(beta: float) -> float:
        return float(cross_entropy(beta * logits.double(), labels))

    return 1 / float(minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x)


def evened(logits: Tensor, labels: Tensor) -> float:
    right = (logits.argmax(1) == labels).double().mean()
    grid = [t / 1000 for t in range(500, 4000)]
    return min(grid, key=lambda t: abs(float((logits.double() / t).softmax(1).amax(1).mean() - right)))


RIGHT: dict[str, list[Any]] = {
    "multimix/blends": [lambda x, partner, lam: apart(x, partner, lam).flatten(0, 1)],
    "multimix/plateau": [0.75],
    "multimix/budget": [4],
    "manifold/mix": [lambda hidden, partner, lam: weighed(along_the_first(lam, hidden), hidden, partner)],
    "manifold/directions": [87],
    "manifold/rate": [0.04],
    "puzzle/label": [0.6875],
    "puzzle/smoothness": [smoothness_by_hand],
    "puzzle/equal_seconds": [441, 300 * 50 / 34],
    "calibration/by_hand": [0.2],
    "calibration/images": [1019, 2 / math.pi * 0.16 * 10_000],
    "calibration/debiased": [debiased_by_hand],
    "test_time/confidence": [0.8808],
    "test_time/fit": [fitted],
    "test_time/unbalanced": [0.4337, 0.43],
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
    ],
    "multimix/budget": [
        (0.25, "0.25 is the wrong way around"),
        (0.8, "0.8 is five blends over one on the same pairs"),
        (5, "5 is as if five blends took nothing away"),
        (0.2, "0.2 is V(160 pairs, K = 1) alone"),
    ],
    "manifold/mix": [
        (0.5, "a function mix(hidden, partner, lam), but you gave 0.5"),
        (lambda *_: None, STILL_OPEN),
        (lambda hidden, *_: hidden[0], "states [4, 4, 4, 4] the mix must have the same shape, but yours has [4, 4, 4]"),
        (lambda hidden, *_: hidden, "λ · hidden + (1 − λ) · hidden[partner]"),
        (lambda hidden, partner, lam: weighed(1 - along_the_first(lam, hidden), hidden, partner), "swapped"),
        (lambda hidden, partner, lam: weighed(lam.mean(), hidden, partner), "yours weighs all by their mean"),
        (lambda hidden, partner, lam: weighed(lam, hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam[:, None], hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam[:, None, None], hidden, partner), ANOTHER_AXIS),
        (lambda hidden, partner, lam: weighed(lam.view(-1, 1, 1, 1), hidden, partner), "yours has [4, 1, 4, 5]"),
    ],
    "manifold/directions": [
        (86, "86 is dim(H) − d"),
        (9, "9 is what the read-out needs, d − 1"),
        (96, "96 is all of them"),
        (10, "10 is the number of classes"),
    ],
    "manifold/rate": [
        (1.0, "1 is the wrong way around"),
        (0.2, "0.2 is the same"),
        (0.02, "0.02 is 0.2 / d"),
        (0.2 / 9, "0.0222222 is 0.2 / (d − 1)"),
    ],
    "puzzle/label": [
        (13 / 16, "0.8125 is right if a block at ½ were all of x"),
        (9 / 16, "0.5625 is right if a block at ½ showed nothing of x"),
        (5 / 16, "0.3125 is the weight of the label of x′"),
        (11, "11 is the sum of the mask"),
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
        (lambda m, beta: 2 * smoothness_by_hand(m, beta), "0.2625 is each border counted twice"),
        (lambda m, beta: beta / 64 * borders(m)[0], "0.0703125 is the borders between rows alone"),
        (lambda m, beta: beta / 64 * borders(m)[1], "0.0609375 is the borders between columns alone"),
        (
            lambda m, beta: beta / 64 * (m.diff(dim=0).abs().sum() + m.diff(dim=1).abs().sum()),
            "0.20625 is the sum of |mᵢ − mⱼ|",
        ),
        (lambda m, _: smoothness_by_hand(m, 1.0), "0.109375 is right with β = 1"),
    ],
    "puzzle/equal_seconds": [
        (204, "204 is the wrong way around"),
        (300, "300 is at equal epochs"),
        (442, "442 is rounded up"),
        (141.2, "141.2 is how many more"),
        (15000, "15000 is the seconds in all"),
    ],
    "calibration/by_hand": [
        (0.08, "0.08 is the gaps with their signs"),
        (0.1917, "0.1917 is the mean of the two gaps"),
        (0.2333, "0.2333 is the larger gap"),
        (0.3833, "0.3833 is the sum of the gaps"),
        (0.14, "0.14 is the first bin alone"),
        (0.06, "0.06 is the second bin alone"),
        (0.2041, "0.2041 is the root mean square of the gaps"),
        (0.7, "0.7 is the share of right answers"),
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
        (lambda *bins: debiased_by_hand(*bins) ** 0.5, "is its root"),
        (lambda n, c, a: weighted(n, ((a - c) ** 2 - a * (1 - a) / (n - 1)).clamp(min=0)), "each bin clamped at 0"),
        (lambda *bins: max(0.0, debiased_by_hand(*bins)), "0 is clamped at 0"),
    ],
    "test_time/confidence": [
        (0.9526, "0.9526 is the confidence at temperature 1"),
        (0.6351, "0.6351 is the confidence divided by 1.5"),
        (0.633, "0.633 is 0.95 divided by 1.5"),
        (0.989, "0.989 is with the logits times 1.5"),
        (0.1192, "0.1192 is the other class's probability"),
        (math.exp(2), "7.38906 is right as a ratio"),
    ],
    "test_time/fit": [
        (1.8, "a function fit(logits, labels), but you gave 1.8"),
        (lambda *_: None, STILL_OPEN),
        (lambda *_: torch.ones(2), "one number, but yours has shape [2]"),
        (lambda *given: 1 / fitted(*given), "is 1/T"),
        (evened, "is where mean confidence equals accuracy"),
        (lambda *_: 4.0, "4 is too large"),
        (lambda z, labels: float(cross_entropy(z / fitted(z, labels), labels)), "is the least loss itself"),
    ],
    "test_time/unbalanced": [
        (0.5, "0.5 is what a temperature gives"),
        (0.5663, "0.5663 is class 1's"),
        (0.5498, "0.5498 is with 1 − θ̄"),
        (0.744, "0.744 is with 1/θ̄"),
        (0.9, "0.9 is the share of class 0 in training"),
    ],
}
LESSONS = (lesson_04, lesson_05, lesson_06, lesson_07, lesson_08)


test_answers = answered([name for lesson in LESSONS for name in lesson.EXERCISES], RIGHT, WRONG)
