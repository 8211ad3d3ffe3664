"""What must not go wrong in silence while a network is being mixed inside: checkpoints, nesting, copies, threads."""

import copy
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from seeding import seeded
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixlab import Mixer, MixPlan, hidden_mixing, mixed_logits, mixed_loss

BATCH, Y = 4, torch.tensor([0, 1, 2, 0])


class Net(nn.Module):
    """A body, run in a reentrant checkpoint where asked, or without gradients as a frozen one is; and a head."""

    def __init__(self, *, reentrant: bool | None = None, frozen: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.reentrant, self.frozen = reentrant, frozen

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        if self.frozen:
            with torch.no_grad():
                return self.head(self.body(h))
        if self.reentrant is not None:
            return self.head(checkpoint(lambda part: self.body(part).tanh(), h, use_reentrant=self.reentrant))
        return self.head(self.body(h).tanh())


def batch() -> Tensor:
    return torch.randn(BATCH, 5, generator=seeded(1))


def draw(*, k: int = 1, layer: str = "body") -> MixPlan:
    return Mixer("manifold", layers=[layer], partners="roll", k=k).plan(batch(), generator=seeded(2))


def test_a_layer_inside_a_reentrant_checkpoint_raises_in_the_forward() -> None:
    inside, whole = "layer 'body' must lie outside of activation checkpointing", Net()
    with pytest.raises(RuntimeError, match=inside):
        mixed_logits(Net(reentrant=True), batch(), draw())
    with pytest.raises(RuntimeError, match=inside), hidden_mixing(whole, "body", draw()):
        checkpoint(whole, batch().requires_grad_(), use_reentrant=True)


def test_a_layer_inside_the_other_checkpoint_raises_in_the_backward() -> None:
    loss = mixed_loss(Net(reentrant=False), batch(), Y, draw())
    with pytest.raises(torch.utils.checkpoint.CheckpointError):
        loss.backward()


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_layers_that_run_without_gradients_are_mixed() -> None:
    plain = mixed_logits(Net(), batch(), draw()).detach()
    with torch.no_grad():
        torch.testing.assert_close(mixed_logits(Net(reentrant=True), batch(), draw()), plain)
    frozen = Net(frozen=True)
    wanted = frozen.head(draw().apply(frozen.body(frozen.stem(batch()))))
    torch.testing.assert_close(mixed_logits(frozen, batch(), draw()), wanted.detach())


SECOND: dict[str, Callable[[Net], object]] = {
    "block": lambda model: hidden_mixing(model, "head", draw()).__enter__(),
    "block at the input": lambda model: hidden_mixing(model, "input", draw()).__enter__(),
    "block on a model around it": lambda model: hidden_mixing(nn.Sequential(model), "0.head", draw()).__enter__(),
    "mixed_logits inside": lambda model: mixed_logits(model, batch(), draw(layer="head")),
    "mixed_loss before": lambda model: mixed_loss(model, batch(), Y, draw(layer="input")),
}


@pytest.mark.parametrize("second", SECOND)
def test_a_model_is_mixed_by_one_block_at_a_time(second: str) -> None:
    model = Net()
    wanted = mixed_logits(model, batch(), draw())
    with hidden_mixing(model, "body", draw()):
        with pytest.raises(RuntimeError, match="already being mixed, at layer 'body'"):
            SECOND[second](model)
        other = mixed_logits(Net(), batch(), draw(layer="head"))  # of another model, which may be mixed meanwhile
        logits = model(batch())
    assert other.shape == (BATCH, 3)
    torch.testing.assert_close(logits, wanted)


def test_a_block_is_entered_once() -> None:
    model = Net()
    block = hidden_mixing(model, "body", draw())
    with block:
        with pytest.raises(RuntimeError, match="entered before"):
            block.__enter__()
        model(batch())
    with pytest.raises(RuntimeError, match="entered before"), block:
        model(batch())
    assert not model.body._forward_hooks


@pytest.mark.parametrize("layer", ["input", "body"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_made_inside_a_block_do_not_mix(copied: Callable[[Net], Net], layer: str) -> None:
    model = Net()
    plain = model(batch())
    with hidden_mixing(model, layer, draw(k=2)):
        twin = copied(model)
        assert torch.equal(twin(batch()), plain)
        assert len(model(batch())) == 2 * BATCH
    assert torch.equal(twin(batch()), plain)
    logits = [mixed_logits(each, batch(), draw(k=2, layer="head")) for each in (twin, model)]
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize("layer", ["input", "body"])
def test_other_threads_run_the_same_model_unmixed(layer: str) -> None:
    model, logits = Net(), []
    plain = model(batch())

    def elsewhere() -> None:
        logits.append(model(batch()).detach())
        logits.append(mixed_logits(model, batch(), draw(layer="head")).detach())

    with hidden_mixing(model, layer, draw()):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        mixed = model(batch())
    assert torch.equal(logits[0], plain)
    torch.testing.assert_close(logits[1], mixed_logits(model, batch(), draw(layer="head")).detach())
    assert not torch.allclose(mixed, plain)


@pytest.mark.parametrize("needed", [False, True])
def test_a_model_that_begins_in_place_leaves_the_callers_images_alone(needed: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 4), nn.Linear(4, 3))
    x, before = batch().requires_grad_(needed), batch()
    logits = mixed_logits(model, x, draw(layer="1"))
    assert torch.equal(x, before)
    torch.testing.assert_close(logits, model[2](draw().apply(model[1](before.relu()))))
