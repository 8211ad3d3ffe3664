"""Train the runs of the atlas that are not stored yet, and write each into its file as it is finished.

    make atlas, or: python tools/atlas.py [--jobs 2] [--minutes 60] [--store FOLDER] [--take FILE ...]

Stop it at any time: the next call goes on. The file keeps the runs that it has, and none of them is trained again.
Parts that were made on several machines become one file by --take (and --minutes 0, to train nothing).
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch

import mixlab as mx
from mixlab.machine import precision, processor
from mixlab.runs.atlas.atlas_run import SETTINGS, AtlasRun, of_run
from mixlab.runs.atlas.file import HERE, read, write
from mixlab.runs.stored_run import Run

TEST_IMAGES = 2000
# One thread and one type of numbers: the same bits on machines of one kind. In bfloat16 a CPU that has instructions for
# it takes half the time.
COMMON = {"dtype": torch.bfloat16, "device": "cpu"}
MIXING: tuple[dict[str, Any], ...] = (
    {"variant": ["none"]},
    {"variant": ["mixup", "cutmix", "manifold"], "alpha": [0.2, 1.0], "k": [1, 2, 5]},
)
SQUARE = tuple(itertools.product((10, 30), MIXING))  # epochs, and what they are trained with
# What some claims ask beyond that, by epochs: as many forward passes with K = 1 as with K = 5, a large α, and Puzzle
# Mix, whose K = 1 takes two passes for each image, and whose K = 5 takes six.
BEYOND: tuple[tuple[int, dict[str, Any]], ...] = (
    (50, {"variant": ["none"]}),
    (50, {"variant": ["mixup", "cutmix", "manifold"], "alpha": [0.2, 1.0], "k": [1]}),
    (150, {"variant": ["none"]}),
    (150, {"variant": ["mixup", "cutmix", "manifold"], "alpha": [1.0], "k": [1]}),
    (10, {"variant": ["puzzle"], "alpha": [1.0], "k": [1, 2, 5]}),
    (30, {"variant": ["puzzle"], "alpha": [1.0], "k": [1, 2, 5]}),
    (90, {"variant": ["puzzle"], "alpha": [1.0], "k": [1]}),
    (10, {"variant": ["mixup"], "alpha": [8.0], "k": [1]}),
    (30, {"variant": ["mixup"], "alpha": [8.0], "k": [1]}),
)
HUNDRED: tuple[tuple[int, dict[str, Any]], ...] = (  # CIFAR-100
    (30, {"variant": ["none"]}),
    (30, {"variant": ["mixup", "cutmix", "manifold"], "alpha": [1.0], "k": [1, 2, 5]}),
)
SEEDS = (0, 1, 2)
# A transformer and a convolutional net, on more and more images, which are seen 40,000 times in all.
RECIPES: dict[str, dict[str, Any]] = {
    "vit_tiny": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.05},
    "quick": {},
}
BOTH = mx.OneOf([mx.Mixer("mixup"), mx.Mixer("cutmix")])
AS_RECORDED = {"variant": "mixup or cutmix", "alpha": 1.0}  # what the atlas says of BOTH
DEIT: tuple[dict[str, Any], ...] = (
    {"variant": ["none", BOTH]},
    {"variant": ["mixup", "cutmix"], "alpha": [1.0], "k": [1]},
)
PASSES = {1000: 40, 5000: 8, 20_000: 2}  # epochs by images


class Part(NamedTuple):
    """A piece of the grid that has one data set and one model."""

    data: str
    images: int
    grid: dict[str, Any]
    model: str = "quick"

    def load(self) -> mx.Dataset:
        """Its data."""
        return mx.load(self.data, train_size=self.images, test_size=TEST_IMAGES)

    def runs(self) -> dict[str, dict[str, Any]]:
        """Its runs by their keys, each as a grid of one."""
        own = {"data": self.data, "images": self.images, "model": self.model, "alpha": None, "k": 1}
        combinations = (dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values()))
        return {
            key(own | chosen | (AS_RECORDED if chosen["variant"] is BOTH else {})): {
                name: [value] for name, value in chosen.items()
            }
            for chosen in combinations
        }

    def trained(self, grids: list[dict[str, Any]], store: Path | None = None, jobs: int = 1) -> Iterator[Run]:
        """These of its runs, from the store or trained."""
        settings = COMMON | RECIPES[self.model]
        return mx.sweep(grids, self.load(), model=self.model, jobs=jobs, root=store, progress=False, **settings)


def parts() -> list[Part]:
    """All of the grid, what costs most last: an early stop leaves whole squares of it."""
    return [
        *_mixing(("cifar10",), (500, 1000), SQUARE),
        *_mixing(("shapes",), (500,), SQUARE),
        *_networks(),
        *_mixing(("cifar10", "shapes"), (500,), BEYOND),
        *_mixing(("cifar100",), (2000,), HUNDRED),
        *_mixing(("shapes",), (1000,), SQUARE),
        *_mixing(("cifar10", "shapes"), (2000,), SQUARE),
    ]


def _mixing(names: Iterable[str], sizes: Iterable[int], ways: Iterable[tuple[int, dict[str, Any]]]) -> list[Part]:
    return [
        Part(data, images, {**mixing, "epochs": [count], "seed": [seed], "every": [count // 5]})
        for data, images, seed, (count, mixing) in itertools.product(names, sizes, SEEDS, ways)
    ]


def _networks() -> list[Part]:
    return [
        Part("cifar10", images, {**mixing, "epochs": [epochs], "seed": [seed], "every": [-(-epochs // 4)]}, model)
        for (images, epochs), model, seed, mixing in itertools.product(PASSES.items(), RECIPES, SEEDS, DEIT)
    ]


def key(settings: Mapping[str, Any]) -> str:
    """What tells the runs of the atlas apart, as text."""
    return json.dumps({name: settings[name] for name in SETTINGS})


def recorded(further: Iterable[Path] = ()) -> dict[str, AtlasRun]:
    """The runs of the atlas and of further files, by their keys; of runs that both have, its own stay."""
    files = [*further, *([HERE] if HERE.exists() else [])]
    return {key(run.settings): run for file in files for run in read(file)}


def kind() -> str:
    """What this CPU is called and computes with: CPUs of one name may differ in that, and then in the last bits."""
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, {precision('cpu')[1]}"


def trained(held: Collection[str], jobs: int, minutes: float, store: Path | None) -> Iterator[AtlasRun]:
    """The runs that are not held yet, until the time is up."""
    ends = time.monotonic() + 60 * minutes
    for _, alike in itertools.groupby(parts(), lambda part: (part.data, part.images, part.model)):  # no core waits
        part, *others = alike
        grids = [grid for each in (part, *others) for name, grid in each.runs().items() if name not in held]
        if not grids or time.monotonic() >= ends:
            continue
        with closing(part.trained(grids, store, jobs)) as runs:
            for run in runs:
                session = run.sessions[-1]
                made = {"cpu": kind(), "threads": session["threads"], "torch": session["torch"]}
                yield of_run(run, part.images, made | {"mixlab": run.identity["mixlab"]})
                if time.monotonic() > ends:
                    return


def main() -> None:
    """Train, and write what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that train at a time")
    parser.add_argument("--minutes", type=float, default=60, help="no run begins after these")
    parser.add_argument("--store", type=Path, default=None, help="the run store (default: that of all runs)")
    parser.add_argument("--take", type=Path, nargs="+", default=[], help="other files, whose runs are taken up")
    asked = parser.parse_args()
    held = recorded(asked.take)
    before = len(held)
    if asked.take:
        write(HERE, list(held.values()))
    for run in trained({*held}, asked.jobs, asked.minutes, asked.store):
        held |= recorded() | {key(run.settings): run}  # another call may have written meanwhile
        write(HERE, list(held.values()))  # each time: whoever stops this, however, keeps what is finished
        print(run, flush=True)
    print(f"{len(held):,} runs, {len(held) - before:,} of them new: {HERE}")


if __name__ == "__main__":
    main()
