"""A batch that does not fit, on a model that says so above a size: which one does, and that all is as before."""

import re
from typing import Any

import pytest
import torch
from same_weights import differing
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.training import Trainer, TrainOptions


class Big(nn.Module):
    """Statistics and dropout before the place where memory gives out, in the forward or in the backward."""

    def __init__(self, room: int, where: str, error: type[BaseException] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(3 * 32 * 32, 10)
        self.room, self.where, self.error, self.sizes = room, where, error, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes += [len(x)] if self.training else []
        x = self.drop(self.norm(x)).flatten(1)
        if self.training and len(x) > self.room:
            if self.where == "forward":
                self.give_out()
            x.register_hook(self.give_out)
        return self.head(x)

    def give_out(self, *_: Tensor) -> None:
        raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB.")


def fit(data: Dataset, model: Big, mixer: mx.Mixer | None = None, **settings: Any) -> Trainer:
    given = {"epochs": 1, "batch_size": 100, "dtype": torch.float32, "device": "cpu"} | settings
    return mx.fit(model, data, mixer, **given)


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
    trainer = fit(data, model, mx.Mixer("mixup", k=k))
    if message is None:
        trainer.step()
        return
    text = f"^batch_size=100 does not fit into the memory of cpu; {re.escape(message)}$"
    with pytest.raises(torch.OutOfMemoryError, match=text) as caught:
        trainer.step()
    assert caught.value.__context__ is None, "it would hold what was computed"
    assert model.sizes == [size * k for size in (100, *tried)]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (trainer.step_count, trainer.loss_so_far) == (0, (0, 0))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("steps", [0, 1, 3])  # the first of an epoch draws its order, the second does not
def test_afterwards_all_is_as_before_and_it_goes_on_to_the_bit(data: Dataset, steps: int, error: Any) -> None:
    def trainer(room: int) -> Trainer:
        torch.manual_seed(0)
        options = TrainOptions(flip="alternating")
        return fit(data, Big(room, "forward", error), mx.Mixer("cutmix"), epochs=2, batch_size=40, options=options)

    with torch.random.fork_rng(devices=[]):
        untroubled = trainer(room=100)
        list(untroubled)
        numbers = torch.rand(3)
        troubled = trainer(room=100)
        for _ in range(steps):
            troubled.step()
        before, here = troubled.state(), torch.get_rng_state()
        troubled.model.room = 20
        with pytest.raises(error):
            troubled.step()
        after = troubled.state()
        assert differing(before.tensors, after.tensors) == []
        assert before.numbers | {"seconds": 0} == after.numbers | {"seconds": 0}
        assert torch.equal(torch.get_rng_state(), here), "dropout draws from there"
        troubled.model.room = 100
        list(troubled)
        assert torch.equal(torch.rand(3), numbers)
    assert int(troubled.model.norm.num_batches_tracked) == 8
    assert differing(untroubled.state().tensors, troubled.state().tensors) == []


class Counting(Big):
    """Makes a buffer anew at each call."""

    def __init__(self) -> None:
        super().__init__(50, "forward")
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("none", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(x)


class Odd(Big):
    """Gives out for lack of memory, and for another reason in the search for a batch that fits."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 50:
            self.norm(x)
            raise RuntimeError("no batches of 50")
        return super().forward(x)


@pytest.mark.parametrize(
    ("model", "message"), [(Counting(), "batch_size=50 does"), (Odd(1, "forward"), "no batches of 50")]
)
def test_whatever_ends_a_step_its_statistics_and_buffers_are_put_back(data: Dataset, model: Big, message: str) -> None:
    trainer = fit(data, model)
    before = trainer.state().tensors
    with pytest.raises(RuntimeError, match=message):
        trainer.step()
    assert differing(trainer.state().tensors, before) == []
