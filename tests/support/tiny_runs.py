"""A run of a few milliseconds, with all that makes one hard to take up again: dropout, running statistics, momentum."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.runs import Run, opened
from mixlab.runs.stored_training import StoredTraining

PLAIN = {"dtype": torch.float32, "device": "cpu", "batch_size": 8, "progress": False}
GIVEN = {"epochs": 3} | {name: value for name, value in PLAIN.items() if name != "progress"}  # as `opened` takes it
MIXUP = mx.Mixer("mixup", alpha=0.4)
CLOCKED = ("images_per_second", "training_seconds", "seconds", "seconds_left")  # what may differ between equal runs


class Net(nn.Module):
    """Convolution, batch normalization, dropout and a read-out."""

    def __init__(self, width: int = 4, dropout: float = 0.3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Fading(Net):
    """Counts its batches in a buffer that state_dict leaves out, and divides by them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x) / (1 + self.calls)


def net(seed: int = 0, kind: type[Net] = Net, **made: Any) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**made)


def dataset(seed: int = 0, train: int = 24, test: int = 12) -> Dataset:
    generator = torch.Generator().manual_seed(seed)

    def split(size: int) -> Split:
        images = torch.randint(0, 256, (size, 3, 6, 6), generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(size) % 3)

    return Dataset("tiny", split(train), split(test), ("a", "b", "c"))


def tiny_run(root: Path, **changed: Any) -> Run:
    """The tiny run, or one with other arguments."""
    arguments = {"epochs": 3, "mixer": MIXUP, "model": None, "data": None, **PLAIN, **changed}
    model, data, mixer = (arguments.pop(name) for name in ("model", "data", "mixer"))
    return mx.run(model or net(), data or dataset(), mixer, root=root, **arguments)


def leave_after(root: Path, epochs: int, model: nn.Module | None = None, **changed: Any) -> StoredTraining:
    """The training of the tiny run, left after so many epochs."""
    with opened(model or net(), dataset(), MIXUP, root=root, **{**GIVEN, **changed}) as training:
        for record in training:
            if record.epoch == epochs:
                break
    return training


def plain_records(records: Any) -> list[dict[str, Any]]:
    """Every number of a history that a clock does not make, reliability states and all, fit to be compared by ==."""
    found = []
    for record in records:
        numbers = {name: value for name, value in vars(record).items() if name not in (*CLOCKED, "reliability")}
        assert all(math.isfinite(value) for value in numbers.values())
        found.append(numbers | {"reliability": record.reliability.state.tolist()})
    return found


def flat(tensors: dict[str, Tensor]) -> dict[str, list[float]]:
    """All values of named tensors, in the order of their axes."""
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


def contents(run: Run) -> dict[str, Any]:
    """All of a finished run that an interruption must not change: weights, predictions, history."""
    return {
        "id": run.id,
        "weights": flat(run.weights()),
        "logits": run.predictions.logits.tolist(),
        "labels": run.predictions.labels.tolist(),
        "history": plain_records(run.history),
    }


@contextmanager
def raising(error: type[Exception], *words: str) -> Iterator[None]:
    """That this error is raised, and its message has these words."""
    with pytest.raises(error) as caught:
        yield
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
