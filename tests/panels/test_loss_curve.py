"""The loss curve of a panel that trains: its points stand where the batches are that they average over."""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from torch import nn

from mixlab.panels.shared import session
from mixlab.panels.shared.course import Course


class Line:
    """A training of 3 epochs of 4 batches whose loss is 4 times the epoch, and so is any mean over batches."""

    picked, batch_size, steps, steps_per_epoch = "", 1, 12, 4

    def __init__(self) -> None:
        self.step_count = self.measured = 0
        self.model = nn.Identity()

    @property
    def done(self) -> bool:
        return self.step_count == self.steps

    @property
    def loss_so_far(self) -> tuple[float, int]:
        batches = range(self.measured, self.step_count)
        return sum(i + 0.5 for i in batches), len(batches)

    def step(self) -> None:
        self.step_count += 1

    def evaluate(self) -> SimpleNamespace:
        total, count = self.loss_so_far
        self.measured = self.step_count
        loss = total / count if count else math.nan
        return SimpleNamespace(epoch=self.step_count / 4, step=self.step_count, train_loss=loss)


@pytest.mark.parametrize("tick", [0, 60])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_training_that_is_taken_up_goes_on_without_a_cliff(kept: int, tick: int, monkeypatch) -> None:
    monkeypatch.setattr(session, "TICK", tick)

    def keep(trainer: Line, _: object) -> nullcontext[Course]:
        course = Course(trainer)
        for _ in range(4 * kept):
            record = course.step()
            course.records += (record,) if record else ()
        return nullcontext(course)

    losses = session.Session(lambda _: Line(), keep, lambda *_: False).run(None).losses
    assert len(losses) == (kept + 4 * (3 - kept) if tick == 0 else 3)
    assert all(loss == 4 * epoch for epoch, loss in losses)
