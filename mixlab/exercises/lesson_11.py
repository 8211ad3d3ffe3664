"""The exercises of lesson 11, beyond images."""

from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.exercises.verdict import STILL_OPEN, Verify, near


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
    if not callable(answer):
        return f"the answer is a function blend_codes(a, b, lam, n), but you gave {_check.shown(answer)}."
    a, b, lam = torch.tensor([0, 2, 1, 3]), torch.tensor([1, 2, 3, 0]), 0.7
    one_hot = torch.eye(5)
    right = lam * one_hot[a] + (1 - lam) * one_hot[b]
    mixed_codes = lam * a + (1 - lam) * b
    slips = {
        "λ must weigh a and 1 − λ b, but yours has them swapped.": (1 - lam) * one_hot[a] + lam * one_hot[b],
        "yours blends the codes; blend their one-hot rows.": mixed_codes,
        "yours blends the codes before they become one-hot; blend the rows.": one_hot[mixed_codes.long()],
    }
    return _compared(answer(a.clone(), b.clone(), lam, 5), right, slips)


def _chances(answer: Any) -> str | None:
    """A function chances(y, sigma): the probabilities of C-Mixup's partners [N, N]."""
    if not callable(answer):
        return f"the answer is a function chances(y, sigma), but you gave {_check.shown(answer)}."
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
    return _compared(answer(y.clone(), sigma), logs.softmax(1), slips)


def _compared(given: Any, right: Tensor, slips: dict[str, Tensor]) -> str | None:
    """None if a learner's tensor is right; else what is wrong, by a known slip if there is one."""
    if given is None or given is ...:
        return STILL_OPEN
    value = torch.as_tensor(given).float()
    for words, slip in slips.items():
        if value.shape == slip.shape and torch.allclose(value, slip.float(), atol=1e-5):
            return words
    if value.shape != right.shape:
        return f"the result must have shape {list(right.shape)}, but yours has {list(value.shape)}."
    return None if torch.allclose(value, right, atol=1e-5) else "yours is something else than the formula says."


EXERCISES: dict[str, Verify] = {
    "beyond/power": _power,
    "beyond/codes": _codes,
    "beyond/near": _chances,
}
