"""The exercises of lesson 11: right answers, and typical wrong ones that are told what is wrong."""

import numpy as np
import torch
from answers import answered
from torch.nn.functional import one_hot

from mixlab.exercises import lesson_11
from mixlab.exercises.verdict import STILL_OPEN


def codes(a, b, lam, n):
    return lam * one_hot(a, n) + (1 - lam) * one_hot(b, n)


def near(y, sigma):
    """In NumPy and float64, an entry at a time."""
    y = y.double().numpy()
    weights = np.array([[np.exp(-((i - j) ** 2) / (2 * sigma**2)) for j in y] for i in y])
    return torch.from_numpy(weights / weights.sum(1, keepdims=True))


def logs(y, sigma):
    return -((y[:, None] - y) ** 2) / (2 * sigma**2)


RIGHT = {"beyond/power": [0.5], "beyond/codes": [codes], "beyond/near": [near]}
WRONG = {
    "beyond/power": [(1, "1 is the blend of the powers"), (0.25, "one of them"), (0.7071, "amplitude"), (2, "sum")],
    "beyond/codes": [
        (0.5, "a function blend_codes(a, b, lam, n)"),
        (lambda *_: None, STILL_OPEN),
        (lambda a, b, lam, n: codes(b, a, lam, n), "swapped"),
        (lambda a, b, lam, _: lam * a + (1 - lam) * b, "yours blends the codes; blend their one-hot rows"),
        (lambda a, b, lam, n: one_hot((lam * a + (1 - lam) * b).long(), n), "before they become one-hot"),
        (lambda a, b, lam, n: codes(a, b, lam, n)[:, :4], "shape [4, 5], but yours has [4, 4]"),
        (lambda a, b, lam, n: 0 * codes(a, b, lam, n), "something else"),
    ],
    "beyond/near": [
        (0.5, "a function chances(y, sigma)"),
        (lambda *_: ..., STILL_OPEN),
        (lambda y, s: near(y, s).T, "as columns"),
        (lambda y, s: logs(y, s).exp(), "sum of 1: divide"),
        (lambda y, s: near(y, s / 2**0.5), "divided by σ²"),
        (lambda y, s: near(y, s**0.5), "divided by 2σ."),
        (lambda y, s: torch.softmax(-(y[:, None] - y).abs() / (2 * s**2), 1), "squared"),
        (lambda y, s: (logs(y, s) - torch.eye(4) * 1e9).softmax(1), "leaves it out"),
        (lambda y, s: near(y, s)[:2], "shape [4, 4]"),
    ],
}

test_answers = answered(list(lesson_11.EXERCISES), RIGHT, WRONG)
