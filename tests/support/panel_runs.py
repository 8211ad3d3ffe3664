"""What tests of the panels that train share: tiny nets whose batches are counted, waiting, and no thread left over."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset


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


def threads() -> list[threading.Thread]:
    """The trainings at work."""
    return [thread for thread in threading.enumerate() if thread.name == "mixlab training"]


@pytest.fixture(autouse=True)
def no_training_left() -> Iterator[None]:
    """No training outlives its test."""
    yield
    assert threads() == []


def train_until(panel: Any, steps: int) -> None:
    """Start a run, and wait until it has taken so many steps."""
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count >= steps)


def wait_until(true: Callable[[], Any]) -> None:
    """Wait until something holds, 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.002)


def phase(panel: Any) -> str:
    """As the browser sees it: the last thing that a change of phase brings about."""
    return str(panel._view["phase"])
