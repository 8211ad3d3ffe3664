"""The exercises of lesson 08, at test time."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixlab.exercises.verdict import Verify, near, result_of


def _confidence(answer: Any) -> str | None:
    """The confidence of two logits that differ by 3, at temperature 1.5."""
    at_one = 1 / (1 + math.exp(-3))
    slips = {
        "the confidence at temperature 1": at_one,
        "the confidence divided by 1.5; divide the logits": at_one / 1.5,
        "0.95 divided by 1.5; divide the logits": 0.95 / 1.5,
        "with the logits times 1.5; divide them, and the confidence falls": 1 / (1 + math.exp(-4.5)),
        "the other class's probability": 1 / (1 + math.exp(2)),
        "right as a ratio of the two; give the probability": math.exp(2),
    }
    return near(answer, 1 / (1 + math.exp(-2)), within=1e-3, slips=slips)


def _fit(answer: Any) -> str | None:
    """A function fit(logits, labels): the temperature of least NLL, within 0.02."""
    g = torch.Generator().manual_seed(8)
    true = 2 * torch.randn(2000, 5, generator=g)
    labels = torch.multinomial(true.softmax(1), 1, generator=g)[:, 0]
    given = result_of(answer, "fit(logits, labels)", 1.8 * true, labels)
    if isinstance(given, Tensor) and given.ndim:
        return f"the temperature is one number, but yours has shape {list(given.shape)}."
    grid = torch.arange(0.2, 5, 0.005)
    losses = torch.stack([cross_entropy(1.8 * true / t, labels) for t in grid])
    best = float(grid[losses.argmin()])
    gaps = torch.stack([_gap(1.8 * true / t, labels) for t in grid])
    slips = {
        "1/T; logits are divided by T": 1 / best,
        "the least loss itself; the temperature at which it is reached is wanted": float(losses.min()),
        "where mean confidence equals accuracy, which is near but not the least NLL": float(grid[gaps.argmin()]),
    }
    wrong = near(given, best, within=0.02, slips=slips)
    return wrong and f"on logits that are 1.8 times too large: {wrong}"


def _gap(logits: Tensor, labels: Tensor) -> Tensor:
    top, chosen = logits.softmax(1).max(1)
    return (top.mean() - (chosen == labels).float().mean()).abs()


def _unbalanced(answer: Any) -> str | None:
    """The output half of rescaling at logits (1, 1), θ̄ = 0.75 and ȳ = (0.9, 0.1): the probability of class 0."""
    lean = (1 - 1 / 0.75) * 0.8
    slips = {
        "what a temperature gives; the term in ȳ counts when classes are unbalanced": 0.5,
        "class 1's; class 0 is asked for": 1 / (1 + math.exp(lean)),
        "with 1 − θ̄ in place of 1 − 1/θ̄; mind the sign": 1 / (1 + math.exp(-0.25 * 0.8)),
        "with 1/θ̄ in place of 1 − 1/θ̄": 1 / (1 + math.exp(-0.8 / 0.75)),
        "the share of class 0 in training": 0.9,
    }
    return near(answer, 1 / (1 + math.exp(-lean)), within=5e-3, slips=slips)  # two digits will do


EXERCISES: dict[str, Verify] = {
    "test_time/confidence": _confidence,
    "test_time/fit": _fit,
    "test_time/unbalanced": _unbalanced,
}
