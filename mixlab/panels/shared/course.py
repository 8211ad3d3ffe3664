"""A training as the panels take it, a batch at a time: kept nowhere, or by what a panel brings. No display in it."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook


class Measured(Protocol):
    """What a run needs of an evaluation."""

    @property
    def epoch(self) -> float:
        """Epochs done."""
        ...

    @property
    def step(self) -> int:
        """Batches done."""
        ...

    @property
    def train_loss(self) -> float:
        """The mean loss of the batches since the evaluation before."""
        ...


R = TypeVar("R", bound=Measured)  # what an evaluation gives
R_co = TypeVar("R_co", bound=Measured, covariant=True)


class Training(Protocol[R_co]):
    """What a run needs of its trainer; see `mixlab.training.Trainer`, which is one."""

    picked: str
    batch_size: int
    steps: int
    steps_per_epoch: int
    step_count: int

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train."""
        ...

    @property
    def loss_so_far(self) -> tuple[float, int]:
        """Sum and number of the batches' losses since the last evaluation."""
        ...

    def step(self) -> None:
        """Take a batch."""
        ...

    def evaluate(self) -> R_co:
        """Measure the model as it is."""
        ...


class Course(Generic[R]):
    """A training from its first batch on, of which nothing is kept.

    Attributes:
        trainer: what takes the steps.
        records: the evaluations of epochs that were trained before.
        origin: where it did not begin at its first batch, in a sentence.
        kept: the epoch up to which it is kept.
        unkept: why it is not kept although it should be, in a sentence.
    """

    def __init__(self, trainer: Training[R], *, unkept: str = "") -> None:
        self.trainer, self.unkept, self.origin, self.kept = trainer, unkept, "", 0.0
        self.records: tuple[R, ...] = ()
        self._seconds = 0.0

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train."""
        return self.trainer.done

    @property
    def step_count(self) -> int:
        """Batches done, those of earlier sittings too."""
        return self.trainer.step_count

    @property
    def images_per_second(self) -> float:
        """Training images taken from the data, evaluations not counted; NaN at first."""
        return self.trainer.batch_size * self.step_count / self._seconds if self._seconds else math.nan

    def step(self) -> R | None:
        """Take a batch; the evaluation, if it ended an epoch."""
        began = time.perf_counter()
        self.trainer.step()
        self._seconds += time.perf_counter() - began
        return None if self.trainer.step_count % self.trainer.steps_per_epoch else self.trainer.evaluate()


@contextmanager
def looking(look: Callable[[nn.Module], Any]) -> Iterator[None]:
    """Call `look` with every module that this thread runs, before it runs.

    Every batch passes through the model, those of an evaluation too. The hook is in no module, as a model's hooks are
    part of what names a stored run.
    """
    thread = threading.get_ident()

    def before(module: nn.Module, _: Any) -> None:
        if threading.get_ident() == thread:
            look(module)

    handle = register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()
