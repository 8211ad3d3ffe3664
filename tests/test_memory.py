"""A batch that does not fit, on a model that says so above a size: which one does, and that nothing else is moved."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlab as mx
from mixlab.data import Dataset
from mixlab.memory import largest_fitting


@pytest.fixture(scope="module")
def data() -> Dataset:
    return mx.load("shapes", train_size=100, test_size=20)


class Backward(torch.autograd.Function):
    """The identity, whose gradient takes all the memory there is for more than `room` rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, room: int) -> Tensor:
        ctx.room = room
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        if len(gradient[0]) > ctx.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return gradient[0], None


class Big(nn.Module):
    """Statistics and dropout before the place where memory gives out, in the forward or in the backward."""

    def __init__(self, room: int, where: str) -> None:
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(3 * 32 * 32, 10)
        self.room, self.where, self.sizes = room, where, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes += [len(x)] if self.training else []
        x = self.drop(self.norm(x)).flatten(1)
        if self.training and self.where == "forward" and len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        logits: Tensor = self.head(Backward.apply(x, self.room) if self.where == "backward" else x)
        return logits


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize(
    ("room", "k", "message", "tried"),
    [
        (100, 1, None, []),
        (49, 1, "batch_size=24 does", [50, 24]),  # even sizes, as some mixers need
        (48, 2, "batch_size=24 does", [50, 24]),  # K = 2 mixes of each pair are held at once
        (2, 1, "batch_size=2 does", [50, 24, 12, 6, 2]),
        (1, 1, "not even batch_size=2 does", [50, 24, 12, 6, 2]),
    ],
)
def test_the_message_says_which_batch_fits(
    data: Dataset, where: str, room: int, k: int, message: str | None, tried: list[int]
) -> None:
    model = Big(room, where)
    trainer = mx.fit(model, data, mx.Mixer("mixup", k=k), epochs=1, batch_size=100, dtype=torch.float32, device="cpu")
    if message is None:
        trainer.step()
        return
    told = f"^batch_size=100 does not fit into the memory of cpu; {re.escape(message)}$"
    with pytest.raises(torch.OutOfMemoryError, match=told) as caught:
        trainer.step()
    assert caught.value.__context__ is None, "it would hold what was computed"
    assert model.sizes == [size * k for size in (100, *tried)]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (trainer.step_count, trainer.loss_so_far) == (0, (0, 0))


def test_the_search_moves_nothing(data: Dataset) -> None:
    """As if only the batch that failed had been seen: a twin that has no memory at all is not asked for less."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        states, numbers = [], []
        for room in (20, 0):
            torch.manual_seed(0)
            model = Big(room, "backward")
            trainer = mx.fit(model, data, mx.Mixer("cutmix"), epochs=1, batch_size=100, dtype=torch.float32)
            with pytest.raises(torch.OutOfMemoryError):
                trainer.step()
            states.append(trainer.state().tensors)
            numbers.append(torch.rand(3))
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert torch.equal(*numbers)
    seen = states[0]["model.norm.num_batches_tracked"]
    assert int(seen) == 1  # by the batch that did not fit


def test_other_errors_pass_as_they_are(data: Dataset) -> None:
    class Broken(Big):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("CUDA error: device-side assert triggered")
            return super().forward(x)

    trainer = mx.fit(Broken(1, "forward"), data, epochs=1, dtype=torch.float32)
    with pytest.raises(RuntimeError, match=r"^CUDA error: device-side assert triggered$"):
        trainer.step()


def test_a_model_that_does_not_fit_at_all_says_so_at_the_call(data: Dataset) -> None:
    class Huge(Big):
        def forward(self, _x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 TiB.")

    with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory. Tried to allocate 2.00 TiB.$"):
        mx.fit(Huge(1, "forward"), data, epochs=1, dtype=torch.float32)


def test_halves_are_even_and_end_at_two() -> None:
    def attempts(size: int) -> list[int]:
        tried: list[int] = []

        def attempt(size: int) -> None:
            tried.append(size)
            raise torch.OutOfMemoryError

        assert largest_fitting(attempt, size) is None
        return tried

    assert attempts(512) == [256, 128, 64, 32, 16, 8, 4, 2]
    assert attempts(7) == [2]
    assert attempts(3) == [2]
    assert attempts(2) == []
