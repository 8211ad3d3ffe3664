"""What tests of the training panel share: tiny nets whose batches can be counted, tiny panels, and waiting."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.panels.training_panel.training_panel import TrainingPanel


class Counting(nn.Module):
    """A linear net that counts its training batches, and takes a little while for each."""

    taken: Tensor

    def __init__(self, classes: int, wait: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 32 * 32, classes)
        self.wait = wait
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64), persistent=False)  # not in state_dict

    @property
    def batches(self) -> int:
        return int(self.taken)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.taken += 1
            time.sleep(self.wait)
        return self.linear(x.flatten(1)) / 100


def linear(classes: int, *, seed: int, wait: float = 0.0, kind: type[Counting] = Counting) -> Counting:
    """A Counting net with the weights of this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(classes, wait)


def slow(classes: int, *, seed: int) -> Counting:
    """One that takes 10 ms for a batch."""
    return linear(classes, seed=seed, wait=0.01)


def few() -> Dataset:
    """600 images to train on, 300 to test on."""
    whole = mx.load("shapes", train_size=600)
    return Dataset("few", whole.train, whole.test.subset(torch.arange(300)), whole.classes)


@contextmanager
def panels_of(data: Dataset) -> Iterator[Callable[..., TrainingPanel]]:
    """Makes panels of tiny runs, and sees to it that no thread outlives the test."""
    panels = []

    def build(model: Any = linear, **settings: Any) -> TrainingPanel:
        panels.append(mx.panels.training_panel(data, model=model, **{"images": 20, "epochs": 2} | settings))
        return panels[-1]

    yield build
    for panel in panels:
        panel.close()
    assert threads() == []


def threads() -> list[threading.Thread]:
    """The trainings at work."""
    return [thread for thread in threading.enumerate() if thread.name == "mixlab training"]


def wait_until(true: Callable[[], Any]) -> None:
    """Wait until something holds, 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.002)


def phase(panel: TrainingPanel) -> str:
    """As the browser sees it: the last thing that a change of phase brings about."""
    return str(panel._view["phase"])
