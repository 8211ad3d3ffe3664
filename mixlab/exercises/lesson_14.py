"""The exercises of lesson 14, at scale, and your own data."""

from itertools import product
from typing import Any

import torch

from mixlab import _check
from mixlab.exercises.verdict import STILL_OPEN, Verify, near

_WORLD, _SEEDS = 8, 4


def _seconds(answer: Any) -> str | None:
    """20 runs, 30 epochs of 500 images by 64, 40 ms a step, 0.5 s an evaluation, two workers."""
    slips = {
        "with 8 steps an epoch; a batch that is not full is left out, so there are 7": 246.0,
        "without the evaluations": 84.0,
        "with one evaluation a run; there is one after each epoch": 89.0,
        "the work of both workers, one after the other": 468.0,
        "one run; there are 20, and two workers": 23.4,
    }
    return near(answer, 234, within=0.5, slips=slips)


def _stream(answer: Any) -> str | None:
    """A function stream(seed, rank, world): a generator that no other seed and rank have, the same in each call."""
    if not callable(answer):
        return f"the answer is a function stream(seed, rank, world), but you gave {_check.shown(answer)}."
    first, again = answer(1, 2, _WORLD), answer(1, 2, _WORLD)
    if first is None or first is ...:
        return STILL_OPEN
    if not isinstance(first, torch.Generator):
        return f"the function returns a torch.Generator, but yours returns {_check.shown(first)}."
    if first is again or not torch.equal(*(torch.rand(4, generator=g) for g in (first, again))):
        return "each call with the same seed and rank must start the same stream anew."
    draws: dict[tuple[float, ...], tuple[int, int]] = {}
    for seed, rank in product(range(_SEEDS), range(_WORLD)):
        drawn = tuple(torch.rand(4, generator=answer(seed, rank, _WORLD)).tolist())
        if drawn in draws:
            before = draws[drawn]
            if before[0] == seed:
                return f"ranks {before[1]} and {rank} draw the same, at seed {seed}."
            return f"rank {rank} of seed {seed} draws what rank {before[1]} of seed {before[0]} draws."
        draws[drawn] = (seed, rank)
    return None


def _cores(answer: Any) -> str | None:
    """8 ms to read an image, 0.5 ms for one through the network, K = 4: 8 / (4 · 0.5)."""
    slips: dict[str, float] = {
        "what K = 1 needs; each image that is read is used four times": 16.0,
        "as if each mix needed images of its own": 64.0,
        "the other way around: how much of a core's time one image of the network takes": 0.25,
    }
    return near(answer, 4, within=0.01, slips=slips)


EXERCISES: dict[str, Verify] = {
    "scale/seconds": _seconds,
    "scale/stream": _stream,
    "scale/cores": _cores,
}
