"""Train the runs of the atlas, as far as they are not stored yet, and write those that are finished into its file.

    make atlas, or: python tools/atlas.py [--jobs 2] [--minutes 60] [--store FOLDER]

Stop it at any time: the next call goes on. The file keeps the runs that it has, and none of them is trained again, so
that parts of the atlas may be made on several machines, and the file passed on.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch

import mixlab as mx
from mixlab.machine import precision, processor
from mixlab.runs.atlas.atlas_run import SETTINGS, AtlasRun, of_run
from mixlab.runs.atlas.file import HERE, read, write

TEST_IMAGES = 2000
# One thread and one type of numbers: the same bits on machines of one kind. In bfloat16 a CPU that has instructions for
# it takes half the time.
COMMON = {"model": "quick", "dtype": torch.bfloat16, "device": "cpu"}
MIXING: tuple[dict[str, Any], ...] = (
    {"variant": ["none"]},
    {"variant": ["mixup", "cutmix", "manifold"], "alpha": [0.2, 1.0], "k": [1, 2, 5]},
)
DATA, EPOCHS, SEEDS = ("cifar10", "shapes"), (10, 30), (0, 1, 2)
SIZES = ((500, 1000), (2000,))  # what costs most comes last


class Part(NamedTuple):
    """A piece of the grid that has one data set."""

    data: str
    images: int
    grid: dict[str, Any]

    def load(self) -> mx.Dataset:
        """Its data."""
        return mx.load(self.data, train_size=self.images, test_size=TEST_IMAGES)


def parts() -> list[Part]:
    """All of the grid, seed by seed: an early stop leaves whole squares of it."""
    return [
        Part(data, images, {**mixing, "epochs": [epochs], "seed": [seed], "every": [epochs // 5]})
        for sizes in SIZES
        for data in DATA
        for seed in SEEDS
        for images in sizes
        for epochs in EPOCHS
        for mixing in MIXING
    ]


def missing(part: Part, held: Collection[str]) -> list[dict[str, Any]]:
    """The runs of a part that are not among those held, each as a grid of one."""
    usual = {"data": part.data, "images": part.images, "alpha": None, "k": 1}
    combinations = (dict(zip(part.grid, values, strict=True)) for values in itertools.product(*part.grid.values()))
    return [
        {name: [value] for name, value in chosen.items()} for chosen in combinations if key(usual | chosen) not in held
    ]


def key(settings: Mapping[str, Any]) -> str:
    """What tells the runs of the atlas apart, as text."""
    return json.dumps({name: settings[name] for name in SETTINGS if name != "model"})


def kind() -> str:
    """What this CPU is called and computes with: CPUs of one name may differ in that, and then in the last bits."""
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, {precision('cpu')[1]}"


def trained(held: Collection[str], jobs: int, minutes: float, store: Path | None) -> Iterator[AtlasRun]:
    """The runs that are not held yet, until the time is up."""
    ends = time.monotonic() + 60 * minutes
    for part in parts():
        if not (grids := missing(part, held)):
            continue
        with closing(mx.sweep(grids, part.load(), jobs=jobs, root=store, progress=False, **COMMON)) as runs:
            for run in runs:
                session = run.sessions[-1]
                made = {"cpu": kind(), "threads": session["threads"], "torch": session["torch"]}
                try:
                    yield of_run(run, part.images, made | {"mixlab": run.identity["mixlab"]})
                except ValueError as error:  # one that answers no better than chance has no temperature
                    print(f"left out: {run}: {error}", flush=True)
                if time.monotonic() > ends:
                    return


def main() -> None:
    """Train, and write what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that train at a time")
    parser.add_argument("--minutes", type=float, default=60, help="no run begins after these")
    parser.add_argument("--store", type=Path, default=None, help="the run store (default: that of all runs)")
    asked = parser.parse_args()
    held = {key(run.settings): run for run in read(HERE)} if HERE.exists() else {}
    before = len(held)
    try:
        for run in trained({*held}, asked.jobs, asked.minutes, asked.store):
            held[key(run.settings)] = run
            print(run, flush=True)
    finally:
        if held:
            write(HERE, list(held.values()))
            print(f"{len(held):,} runs, {len(held) - before:,} of them new, {HERE.stat().st_size / 1e6:.2f} MB: {HERE}")


if __name__ == "__main__":
    main()
