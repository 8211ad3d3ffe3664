"""The exercises of lesson 11, beyond images."""

from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, alike, near, result_of


def _power(answer: Any) -> str | None:
    """The mean power of two uncorrelated waves of power 1, blended at λ = 0.5."""
    slips = {
        "the blend of the powers; blend the waves, and power is the square": 1.0,
        "the share of one of them; add the other's": 0.25,
        "right as an amplitude; power is its square": 0.5**0.5,
        "the power of their sum; each is halved first": 2.0,
    }
    return near(answer, 0.5, within=1e-3, slips=slips)


def _codes(answer: Any) -> str | None:
    """A function blend_codes(a, b, lam, n): blended one-hot rows [N, n]."""
    a, b, lam = torch.tensor([0, 2, 1, 3]), torch.tensor([1, 2, 3, 0]), 0.7
    one_hot = torch.eye(5)
    right = lam * one_hot[a] + (1 - lam) * one_hot[b]
    mixed_codes = lam * a + (1 - lam) * b
    slips = {
        "λ must weigh a and 1 − λ b, but yours has them swapped.": (1 - lam) * one_hot[a] + lam * one_hot[b],
        "yours blends the codes; blend their one-hot rows.": mixed_codes,
        "yours blends the codes before they become one-hot; blend the rows.": one_hot[mixed_codes.long()],
    }
    return _compared(result_of(answer, "blend_codes(a, b, lam, n)", a, b, lam, 5), right, slips)


def _chances(answer: Any) -> str | None:
    """A function chances(y, sigma): the probabilities of C-Mixup's partners [N, N]."""
    y, sigma = torch.tensor([0.0, 0.4, 1.5, 60.0]), 0.8
    squares = (y[:, None] - y[None]) ** 2
    logs = -squares / (2 * sigma**2)
    slips = {
        "the rows must have a sum of 1: divide by it.": logs.exp(),
        "a row must have a sum of 1, but yours have so as columns.": logs.softmax(0),
        "the exponent must be divided by 2σ², but yours is divided by σ².": (2 * logs).softmax(1),
        "the exponent must be divided by 2σ², but yours is divided by 2σ.": (-squares / (2 * sigma)).softmax(1),
        "distances must be squared.": (-squares.sqrt() / (2 * sigma**2)).softmax(1),
        "i itself may be drawn, but yours leaves it out.": logs.clone().fill_diagonal_(-torch.inf).softmax(1),
    }
    return _compared(result_of(answer, "chances(y, sigma)", y, sigma), logs.softmax(1), slips)


def _compared(given: Any, right: Tensor, slips: dict[str, Tensor]) -> str | None:
    value, otherwise = torch.as_tensor(given), "yours is something else than the formula says."
    if value.shape != right.shape:
        otherwise = f"the result must have shape {list(right.shape)}, but yours has {list(value.shape)}."
    return alike(value, right, slips, otherwise)


EXERCISES: dict[str, Verify] = {
    "beyond/power": _power,
    "beyond/codes": _codes,
    "beyond/near": _chances,
}
