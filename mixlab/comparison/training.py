"""The runs of a comparison, trained within a time: what is stored is loaded, and what is broken off resumes."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mixlab import _check, models
from mixlab._files import first_line
from mixlab._torch_state import spared
from mixlab.data.dataset import Dataset
from mixlab.machine import release_memory, using_threads
from mixlab.mixing.mixer import Mixer
from mixlab.runs.run import opened
from mixlab.runs.stored_run import Run
from mixlab.training.trainer import BATCH_SIZE, LEARNING_RATE, Trainer

STEPS, EPOCHS = 1000, (8, 60)
Model = str | Callable[[int], nn.Module]
Place = tuple[str, int]  # a mixer's name and a seed


@dataclass
class Trained:
    """What there is of the runs of a comparison.

    Attributes:
        runs: are the finished runs, by mixer and seed.
        left: says of each run that is not finished how far it is.
        failed: says of each run that cannot be trained why.
    """

    runs: dict[Place, Run] = field(default_factory=dict)
    left: dict[Place, str] = field(default_factory=dict)
    failed: dict[Place, str] = field(default_factory=dict)


class _TimeIsUpError(Exception):
    """Another process trains the run that is waited for."""


def suited(data: Dataset, epochs: int | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a data set of this size, where none are given.

    At least 20 steps an epoch, by batches of 16 to 128 images, with a learning rate in proportion (Goyal et al. 2017);
    about 1,000 steps, in 8 to 60 epochs.
    """
    size = len(data.train)
    if not {"batch_size", "learning_rate"} & settings.keys():
        batch = min(BATCH_SIZE, max(16, 2 ** (max(size, 20) // 20).bit_length() // 2))
        settings = settings | {"batch_size": batch, "learning_rate": LEARNING_RATE * batch / BATCH_SIZE}
    if epochs is None:
        batch = settings.get("batch_size", BATCH_SIZE)
        each = max(1, size // batch) if isinstance(batch, int) and batch > 0 else 1  # the Trainer refuses others
        epochs = min(max(-(-STEPS // each), EPOCHS[0]), EPOCHS[1])
    return {"epochs": epochs, **settings}


def checked(model: Model, data: Dataset, mixers: Mapping[str, Mixer], settings: dict[str, Any]) -> Trainer:
    """Raise what the training of any of these mixers would raise at its start; returns the last one's trainer."""
    with using_threads(torch.get_num_threads()), spared():
        for mixer in mixers.values():
            trainer = Trainer(_built(model, data), data, mixer, **settings)
    return trainer


def trained(
    model: Model,
    data: Dataset,
    mixers: Mapping[str, Mixer],
    seeds: Sequence[int],
    settings: dict[str, Any],
    *,
    minutes: float | None,
    root: str | os.PathLike[str] | None,
    progress: bool,
) -> Trained:
    """Load the runs that are stored, and train the others, all mixers of a seed before the next seed.

    The time is looked at after each epoch, so that a run broken off resumes there.
    """
    from mixlab.runs.progress import bar as bar_of  # loads tqdm

    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    result = Trained()

    def waiting(line: str) -> None:
        bar.set_postfix_str(line)
        if time.monotonic() >= end:
            raise _TimeIsUpError

    total = len(mixers) * len(seeds) * settings["epochs"]
    with bar_of(desc="compare", total=total, unit="epoch", disable=not progress) as bar:
        for seed in seeds:
            for name, mixer in mixers.items():
                bar.set_postfix_str(f"{name}, seed {seed}")
                net = model if isinstance(model, str) else model(seed)
                try:
                    with opened(net, data, mixer, seed=seed, root=root, wait=waiting, **settings) as training:
                        bar.update(training.epochs)
                        while not training.done and time.monotonic() < end:
                            before = training.epochs
                            while training.epochs == before:
                                training.step()
                            bar.update()
                        if training.done:
                            result.runs[name, seed] = training.finish()
                        else:
                            result.left[name, seed] = f"{training.epochs} of {settings['epochs']} epochs"
                except _TimeIsUpError:
                    result.left[name, seed] = "another process trains it"
                except FloatingPointError as error:
                    result.failed[name, seed] = first_line(error)
                release_memory()
    return result


def _built(model: Model, data: Dataset) -> nn.Module:
    if not isinstance(model, str):
        return model(0)
    build = getattr(models, _check.choice("model", model, models.MODELS))
    module: nn.Module = build(len(data.classes), channels=data.channels)
    return module
