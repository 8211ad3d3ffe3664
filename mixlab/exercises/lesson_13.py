"""The exercises of lesson 13, every claim measured."""

from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, alike, near, result_of

_SIX = [0.021, 0.9, 0.001, 0.024, 0.3, 0.0235]  # 0.021 is above its own limit, and passes with the next
_P_VALUES = torch.tensor(_SIX, dtype=torch.float64)
_RATE = 0.05


def _decided(answer: Any) -> str | None:
    """A function decided(p, rate): Benjamini and Hochberg's choice among p-values, a truth value for each."""
    chosen = torch.as_tensor(result_of(answer, "decided(p, rate)", list(_SIX), _RATE)).double()
    m = len(_P_VALUES)
    if chosen.shape != (m,):
        return f"each of the {m} claims gets an answer, but yours has shape {list(chosen.shape)}."
    limits = _RATE * (1 + _P_VALUES.argsort().argsort()).double() / m
    alone = limits >= _P_VALUES
    right = _below(_P_VALUES[alone].max().item())
    slips = {
        "this takes each claim at the rate, as if it were the only one.": _below(_RATE),
        "this is Bonferroni's choice, rate / m for every claim; here the limit grows with the place in the order.": (
            _below(_RATE / m)
        ),
        "a p-value above its own limit is decided too, if a larger one is below its own.": alone.double(),
        "these are the claims that stay undecided.": 1 - right,
    }
    otherwise = "yours is something other than all p-values up to the largest that is at most rate · place / m."
    return alike(chosen, right, slips, otherwise)


def _below(limit: float) -> Tensor:
    return (limit >= _P_VALUES).double()


def _cost(answer: Any) -> str | None:
    """The epochs of K = 1 that push as many images through the network as 12 epochs of K = 5."""
    slips: dict[str, float] = {
        "at equal steps; K = 5 pushes five images for each of yours": 12,
        "12 divided by 5; K = 1 is the one that may train longer": 12 / 5,
        "as if a pair counted besides its blends; only blends go through the network": 72,
    }
    return near(answer, 60, within=1e-6, slips=slips)


def _worth(answer: Any) -> str | None:
    """How many times the batch has the variance of infinitely many mixes, if the pairs make up 0.8 of it."""
    slips: dict[str, float] = {
        "the share that the pairs make up; how large a batch has no more than that": 0.8,
        "the share that λ makes up": 0.2,
        "what a batch would need to reach λ's share": 5.0,
    }
    return near(answer, 1 / 0.8, within=5e-3, slips=slips)


EXERCISES: dict[str, Verify] = {
    "claims/decided": _decided,
    "claims/cost": _cost,
    "claims/worth": _worth,
}
