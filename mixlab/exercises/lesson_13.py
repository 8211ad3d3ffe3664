"""The exercises of lesson 13, every claim measured."""

from typing import Any

import torch

from mixlab import _check
from mixlab.exercises.verdict import STILL_OPEN, Verify, near

_P_VALUES = (0.021, 0.9, 0.001, 0.024, 0.3, 0.0235)  # 0.021 is above its own limit, and passes with the next
_RATE = 0.05


def _decided(answer: Any) -> str | None:
    """A function decided(p, rate): Benjamini and Hochberg's choice among p-values, a truth value for each."""
    if not callable(answer):
        return f"the answer is a function decided(p, rate), but you gave {_check.shown(answer)}."
    given = answer(list(_P_VALUES), _RATE)
    if given is None or given is ...:
        return STILL_OPEN
    chosen = torch.as_tensor(given)
    if chosen.shape != (len(_P_VALUES),):
        return f"each of the {len(_P_VALUES)} claims gets an answer, but yours has shape {list(chosen.shape)}."
    order = sorted(_P_VALUES)
    m = len(order)
    limits = {p: _RATE * (place + 1) / m for place, p in enumerate(order)}
    last = max((p for p in order if p <= limits[p]), default=-1.0)
    slips = {
        None: _below(last),
        "this takes each claim at the rate, as if it were the only one.": _below(_RATE),
        "this is Bonferroni's choice, rate / m for every claim; here the limit grows with the place in the order.": (
            _below(_RATE / m)
        ),
        "a p-value above its own limit is decided too, if a larger one is below its own.": [
            p <= limits[p] for p in _P_VALUES
        ],
        "these are the claims that stay undecided.": [not each for each in _below(last)],
    }
    for words, right in slips.items():
        if chosen.bool().tolist() == right:
            return words
    return "yours is something other than all p-values up to the largest that is at most rate · place / m."


def _below(limit: float) -> list[bool]:
    return [p <= limit for p in _P_VALUES]


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
