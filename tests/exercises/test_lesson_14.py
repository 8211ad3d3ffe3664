"""The exercises of lesson 14: a typical wrong answer is told what is wrong with it."""

from typing import Any

import torch
from answers import answered

from mixlab.exercises import lesson_14
from mixlab.exercises.verdict import STILL_OPEN


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


FOREVER = seeded(0)
RIGHT: dict[str, list[Any]] = {
    "scale/seconds": [20 * (30 * (500 // 64) * 0.04 + 30 * 0.5) / 2],
    "scale/stream": [
        lambda seed, rank, world: seeded(seed * world + rank),
        lambda seed, rank, _: seeded(hash((seed, rank)) % 2**60),
    ],
    "scale/cores": [8 / (0.5 * 4)],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "scale/seconds": [
        (10 * (240 * 0.04 + 15), "8 steps an epoch"),
        (10 * 210 * 0.04, "without the evaluations"),
        (10 * (210 * 0.04 + 0.5), "one evaluation a run"),
        (20 * (210 * 0.04 + 15), "one after the other"),
        (210 * 0.04 + 15, "one run"),
    ],
    "scale/stream": [
        (0, "a function stream(seed, rank, world), but you gave 0"),
        (lambda *_: ..., STILL_OPEN),
        (lambda seed, rank, world: seed * world + rank, "returns a torch.Generator"),
        (lambda *_: FOREVER, "start the same stream anew"),
        (lambda seed, *_: seeded(seed), "ranks 0 and 1 draw the same, at seed 0"),
        (lambda seed, rank, _: seeded(seed + rank), "rank 0 of seed 1 draws what rank 1 of seed 0 draws"),
    ],
    "scale/cores": [(16, "what K = 1 needs"), (64, "images of its own"), (0.25, "the other way around")],
}
test_answers = answered(lesson_14.EXERCISES, RIGHT, WRONG)
