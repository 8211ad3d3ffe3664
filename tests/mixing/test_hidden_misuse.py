"""What must not go wrong in silence while a network is being mixed inside: checkpoints, nesting, copies, threads."""

import copy
import pickle
import re
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixlab import Mixer, MixPlan
from mixlab.mixing.hidden import hidden_mixing
from mixlab.mixing.losses import mixed_logits, mixed_loss

BATCH = 4
NESTED = "this model is already being mixed, at layer 'body', by a hidden_mixing block around this: "
NESTED += "mixing it once more would mix mixes"
INSIDE = (
    "layer 'body' must lie outside of activation checkpointing: it would run once more in the backward, where it is "
)
INSIDE += "not mixed, and the gradients would be wrong"


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
    return torch.randn(BATCH, 5, generator=torch.Generator().manual_seed(1))


def draw(*, k: int = 1, layer: str = "body") -> MixPlan:
    return Mixer("manifold", layers=[layer], partners="roll", k=k).plan(
        batch(), generator=torch.Generator().manual_seed(2)
    )


def refused(message: str) -> "pytest.RaisesExc[RuntimeError]":
    return pytest.raises(RuntimeError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("k", [1, 2])
def test_a_layer_inside_a_reentrant_checkpoint_raises_in_the_forward(k: int) -> None:
    with refused(INSIDE):
        mixed_logits(Net(reentrant=True), batch(), draw(k=k))
    whole = Net()
    with refused(INSIDE), hidden_mixing(whole, "body", draw(k=k)):
        checkpoint(whole, batch().requires_grad_(), use_reentrant=True)


def test_a_layer_inside_the_other_checkpoint_raises_in_the_backward() -> None:
    loss = mixed_loss(Net(reentrant=False), batch(), torch.arange(BATCH) % 3, draw())
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
    "mixed_logits before": lambda model: mixed_logits(model, batch(), draw(layer="input")),
    "mixed_loss": lambda model: mixed_loss(model, batch(), torch.arange(BATCH) % 3, draw(layer="input")),
}


@pytest.mark.parametrize("second", SECOND)
def test_a_model_is_mixed_by_one_block_at_a_time(second: str) -> None:
    model = Net()
    wanted = mixed_logits(model, batch(), draw())
    with hidden_mixing(model, "body", draw()):
        with refused(NESTED):
            SECOND[second](model)
        other = mixed_logits(Net(), batch(), draw(layer="head"))  # of another model, which may be mixed meanwhile
        found = model(batch())
    assert other.shape == (BATCH, 3)
    torch.testing.assert_close(found, wanted)


def test_a_block_is_entered_once() -> None:
    model, message = Net(), "hidden_mixing must be called anew for each block, got one that was entered before"
    block = hidden_mixing(model, "body", draw())
    with block:
        with refused(message):
            block.__enter__()
        model(batch())
    with refused(message), block:
        model(batch())
    assert not model.body._forward_hooks


def pickled(model: Net) -> Net:
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("layer", ["input", "body"])
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_copies_made_inside_a_block_do_not_mix(copied: Callable[[Net], Net], layer: str) -> None:
    model = Net()
    plain = model(batch())
    with hidden_mixing(model, layer, draw(k=2)):
        twin = copied(model)
        assert torch.equal(twin(batch()), plain)
        assert len(model(batch())) == 2 * BATCH
    assert torch.equal(twin(batch()), plain)
    torch.testing.assert_close(
        mixed_logits(twin, batch(), draw(k=2, layer="head")), mixed_logits(model, batch(), draw(k=2, layer="head"))
    )


@pytest.mark.parametrize("layer", ["input", "body"])
def test_other_threads_run_the_same_model_unmixed(layer: str) -> None:
    model, found = Net(), []
    plain = model(batch())

    def elsewhere() -> None:
        found.append(model(batch()).detach())
        found.append(mixed_logits(model, batch(), draw(layer="head")).detach())

    with hidden_mixing(model, layer, draw()):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        mixed = model(batch())
    assert torch.equal(found[0], plain)
    torch.testing.assert_close(found[1], mixed_logits(model, batch(), draw(layer="head")).detach())
    assert not torch.allclose(mixed, plain)


def test_a_model_that_begins_in_place_leaves_the_callers_images_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 4), nn.Linear(4, 3))
    for needed in (False, True):
        x = batch().requires_grad_(needed)
        before = x.detach().clone()
        logits = mixed_logits(model, x, draw(layer="1"))
        assert torch.equal(x, before)
        torch.testing.assert_close(logits, model[2](draw().apply(model[1](before.relu()))))
