"""Runs of an atlas that were never trained: their accuracy and calibration errors are what a test says."""

import itertools
from functools import cache
from typing import Any

import torch
from drawn_predictions import confident

import mixlab as mx
from mixlab.runs.atlas import Atlas, AtlasRun
from mixlab.runs.atlas.atlas_run import BINS

ANSWERS = 200
ALPHAS, KS = (0.2, 1.0, 8.0), (1, 2, 5)
VARIANTS = ("mixup", "cutmix", "manifold", "puzzle")
MIXING: tuple[tuple[str, float | None, int], ...] = (("none", None, 1), *itertools.product(VARIANTS, ALPHAS, KS))


def made_run(right: int, ece: float, tempered_ece: float, **settings: Any) -> AtlasRun:
    """A run with so many of 200 answers right, whose one confidence is off by `ece`."""
    table = {"data": "shapes", "images": 500, "model": "quick", "variant": "none", "alpha": None, "k": 1}
    table |= {"epochs": 10, "seed": 0, "made": {}} | settings
    raw, tempered = (_held(right, off) for off in (ece, tempered_ece))
    cost = table["images"] * table["epochs"] * table["k"]
    rest = {"raw": raw, "tempered": tempered, "temperature": 1.0, "seconds": 1.0, "forwards": cost}
    return AtlasRun(id=repr(sorted(table.items(), key=str)), curve=torch.zeros(1, 7), **table, **rest)


def made_runs(seed: int = 0, shift: dict[tuple[str, float | None, int], int] | None = None, **grid: Any) -> Atlas:
    """A whole grid of runs with chance numbers; `shift` adds right answers to one way of mixing."""
    g = torch.Generator().manual_seed(seed)
    places = {
        "data": ("shapes",),
        "images": (500, 2000),
        "model": ("quick",),
        "epochs": (10, 50),
        "seed": (0, 1),
    } | grid
    runs = []
    for values in itertools.product(*places.values()):
        for mixing in MIXING:
            right = 100 + int(torch.randint(-10, 11, (), generator=g)) + (shift or {}).get(mixing, 0)
            ece, tempered = (0.01 * torch.randint(1, 10, (2,), generator=g)).tolist()
            settings = dict(zip(places, values, strict=True)) | dict(
                zip(("variant", "alpha", "k"), mixing, strict=True)
            )
            runs.append(made_run(right, ece, tempered, **settings))
    return Atlas(runs)


@cache
def _held(right: int, off: float) -> mx.Reliability:
    p = confident([right / ANSWERS + off] * ANSWERS, [place < right for place in range(ANSWERS)])
    return mx.Reliability(BINS).update(p.probs, p.labels)
