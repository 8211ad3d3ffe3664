"""Mixing inside a network, against forwards written by hand in float64."""

import copy
import re
from collections.abc import Callable

import pytest
import torch
from hidden_nets import (
    BATCH,
    LAYER,
    NEVER,
    assert_same,
    by_hand,
    draw,
    gradients,
    hooked,
    hooks,
    images,
    seeded,
    small,
    small_by_hand,
    whole,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import resnet18

from mixlab import Mixer, MixPlan, models
from mixlab.mixing.hidden import hidden_mixing


def resnet20_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    for name in ("input", "stem", "stage1", "stage2", "stage3"):
        x = x if name == "input" else model.get_submodule(name)(x)
        x = by_hand(plan, x) if layer == name else x
    return model.head(x.mean((2, 3)))


def resnet18_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    """Mixed after the first convolution of the third block: in its residual alone, past its short cut."""
    assert layer == "layer2.0.conv1"
    x = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x)))))
    block = model.layer2[0]
    residual = block.relu(block.bn1(by_hand(plan, block.conv1(x))))
    x = block.relu(block.bn2(block.conv2(residual)) + block.downsample(x))
    x = model.layer4(model.layer3(model.layer2[1](x)))
    return model.fc(model.avgpool(x).flatten(1))


def tiny_resnet18() -> nn.Module:
    torch.manual_seed(0)
    return resnet18(num_classes=7).double()


def resnet20() -> nn.Module:
    return models.resnet20(7).double()


CASES = [
    (small, small_by_hand, layer, variant, k)
    for layer in ("input", "stage1", "stage1.0", "stage2")
    for variant, k in (("mixup", 1), ("mixup", 3), ("cutmix", 2))
]
CASES += [
    (resnet20, resnet20_by_hand, "stage1", "mixup", 3),
    (resnet20, resnet20_by_hand, "stage2", "cutmix", 2),
    (tiny_resnet18, resnet18_by_hand, "layer2.0.conv1", "mixup", 1),
    (tiny_resnet18, resnet18_by_hand, "layer2.0.conv1", "cutmix", 1),
]


@pytest.mark.parametrize(
    ("build", "reference", "layer", "variant", "k"), CASES, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_gradients_are_those_of_a_forward_written_by_hand(build, reference, layer, variant, k) -> None:
    size = 32 if build is tiny_resnet18 else 8
    model, x, plan = build(), images(size), draw(variant, k, size)
    ours = gradients(model, hooked(model, layer, plan), x)
    assert len(ours[0]) == k * BATCH
    assert_same(ours, gradients(model, lambda x: reference(model, layer, plan, x), x))
    plain = model(x).repeat(k, 1)
    assert not torch.allclose(ours[0], plain, rtol=1e-3), "the mix must show for the comparison to mean anything"


def test_rows_are_k_major_and_fit_the_labels_of_the_plan() -> None:
    """The mix of a class's one-hot states is that of its labels."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    plan, y = draw(k=3), torch.arange(BATCH)
    with hidden_mixing(model, "0", plan):
        states = model(torch.eye(BATCH))
    y_a, y_b, lam = plan.labels(y)
    wanted = lam[:, None] * torch.eye(BATCH)[y_a] + (1 - lam)[:, None] * torch.eye(BATCH)[y_b]
    torch.testing.assert_close(states, wanted)


@pytest.mark.parametrize("layer", ["input", "stage1", "stage2"])
def test_under_autocast_states_keep_their_type(layer: str) -> None:
    model, plan, seen = small().float(), draw(k=2), []
    x = images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.stage2.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
        ours = gradients(model, hooked(model, layer, plan), x)
        theirs = gradients(model, lambda x: small_by_hand(model, layer, plan, x), x)
    assert ours[0].dtype == torch.bfloat16
    assert set(seen) == {torch.bfloat16}
    for one, other in zip(ours, theirs, strict=True):  # a bfloat16 has 8 bits, and the two round at other places
        assert float((one - other).abs().max()) <= 0.05 * float(other.abs().max()) + 1e-6


def test_any_argument_that_is_the_first_tensor_is_the_input() -> None:
    class Two(nn.Module):
        def forward(self, _name: str, x: Tensor, offset: Tensor) -> Tensor:
            return x + offset

    plan, x, offset = draw(k=2), images(), torch.ones(1, dtype=torch.float64)
    model = Two()
    with hidden_mixing(model, "input", plan):
        out = model("name", x, offset)
    torch.testing.assert_close(out, by_hand(plan, x) + 1)


@pytest.mark.parametrize("layer", ["input", "stage1"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_afterwards_as_it_was(layer: str, fails: bool) -> None:
    model, x = small().eval(), images()
    model.stage2.train()
    kept, attributes = hooks(model), {name: set(vars(part)) for name, part in model.named_modules()}
    modes, weights = [part.training for part in model.modules()], copy.deepcopy(model.state_dict())
    if fails:
        with pytest.raises(ZeroDivisionError), hidden_mixing(model, layer, draw(k=2)):
            raise ZeroDivisionError
    else:
        model.eval()
        with hidden_mixing(model, layer, draw(k=2)):
            assert hooks(model) == kept + 1
            model(x)
        model.stage2.train()
    assert hooks(model) == kept
    assert attributes == {name: set(vars(part)) for name, part in model.named_modules()}
    assert modes == [part.training for part in model.modules()]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert len(model(x)) == BATCH


def test_an_exception_is_not_masked_by_ours() -> None:
    """The layer was never called, which would be an error of its own, but the caller's comes first."""
    model = small()
    with pytest.raises(KeyError, match="theirs"), hidden_mixing(model, "stage1", draw()):
        raise KeyError("theirs")


# Wrong input


WRONG = {
    "model": (lambda: hidden_mixing("net", "stage1", draw()), TypeError, "model must be a torch.nn.Module, got 'net'"),
    "plan": (
        lambda: hidden_mixing(small(), "stage1", Mixer("mixup", 1.0)),
        TypeError,
        "plan must be a MixPlan, as Mixer.plan draws it, got Mixer('mixup', alpha=1, k=1)",
    ),
    "layer of another type": (lambda: hidden_mixing(small(), 2, draw()), TypeError, LAYER + "2"),
    "layer misspelled": (
        lambda: hidden_mixing(small(), "stge2", draw()),
        ValueError,
        LAYER + "'stge2'; did you mean 'stage2' or 'stage1'?",
    ),
    "layer misspelled, deeper": (
        lambda: hidden_mixing(resnet18(num_classes=2), "layer2.0.convl", draw()),
        ValueError,
        LAYER + "'layer2.0.convl'; did you mean 'layer2.0.conv2', 'layer2.0.conv1' or 'layer4.0.conv2'?",
    ),
    "input misspelled": (
        lambda: hidden_mixing(small(), "Input", draw()),
        ValueError,
        LAYER + "'Input'; did you mean 'input'?",
    ),
    "layer by its last name": (
        lambda: hidden_mixing(nn.ModuleDict({"body": small()}), "stage2", draw()),
        ValueError,
        LAYER + "'stage2'; did you mean 'body.stage2', 'body.stage2.2' or 'body.stage2.1'?",
    ),
    "layer like none": (
        lambda: hidden_mixing(small(), "xyzzy", draw()),
        ValueError,
        LAYER + "'xyzzy'; model.named_modules() has them all",
    ),
    "no name": (
        lambda: hidden_mixing(small(), "", draw()),
        ValueError,
        LAYER + "''; model.named_modules() has them all",
    ),
    "an attribute that is no module": (
        lambda: hidden_mixing(small(), "stage1.0.weight", draw()),
        ValueError,
        LAYER + "'stage1.0.weight'; did you mean 'stage1.0', 'stage2.0' or 'stage1.2'?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_raise_at_the_call(case: str) -> None:
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=whole(message)):
        call()


class Returns(nn.Module):
    def __init__(self, what: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> object:
        return self.what(x)


@pytest.mark.parametrize(
    ("part", "came"),
    [
        (nn.LSTM(8, 4, batch_first=True), "(LSTM) must return a single tensor to be mixed, got a value of type tuple"),
        (Returns(lambda x: {"x": x}), "(Returns) must return a single tensor to be mixed, got a value of type dict"),
        (Returns(lambda _: None), "(Returns) must return a single tensor to be mixed, got None"),
    ],
)
def test_a_layer_that_returns_no_single_tensor(part: nn.Module, came: str) -> None:
    model = nn.ModuleDict({"part": part})
    with (
        pytest.raises(TypeError, match=whole("layer 'part' " + came)),
        hidden_mixing(model, "part", draw()),
    ):
        model["part"](torch.zeros(BATCH, 3, 8))
    assert hooks(model) == 0


def test_an_lstm_is_mixed_at_what_follows_it() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.states, self.head = nn.LSTM(8, 4, batch_first=True), nn.Identity(), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.states(self.rnn(x)[0]).mean(1))

    model, plan, x = Reader().double(), draw(k=3), torch.randn(BATCH, 5, 8, dtype=torch.float64, generator=seeded())
    theirs = gradients(model, lambda x: model.head(by_hand(plan, model.rnn(x)[0]).mean(1)), x)
    assert_same(gradients(model, hooked(model, "states", plan), x), theirs)


def test_input_without_a_tensor() -> None:
    model = Returns(lambda x: x)
    message = "layer 'input' (Returns) must be given a tensor by position to be mixed"
    with pytest.raises(TypeError, match=whole(message)), hidden_mixing(model, "input", draw()):
        model(x=images())


def test_a_batch_of_another_size_or_kind() -> None:
    model = small()
    message = (
        "layer 'stage1' gives what this plan cannot mix: x must hold the 4 examples this plan was drawn for, got a "
        "float64 tensor of shape [3, 4, 8, 8]"
    )
    with pytest.raises(ValueError, match=whole(message)), hidden_mixing(model, "stage1", draw()):
        model(images()[:3])
    message = "layer 'input' gives what this plan cannot mix: x must be float values or uint8 images "
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"), hidden_mixing(model, "input", draw()):
        model(torch.zeros(BATCH, 5, dtype=torch.int64))


def test_k_mixes_inside_a_branch_do_not_fit_its_short_cut() -> None:
    model = tiny_resnet18()
    with (
        pytest.raises(RuntimeError, match="size of tensor"),
        hidden_mixing(model, "layer2.0.conv1", draw(k=2, size=32)),
    ):
        model(images(32))
    assert hooks(model) == 0


TWICE = (
    "was called a second time inside the block, which would mix twice: run one forward in each block, and choose a "
    "layer that runs once in it"
)


def test_two_forwards_in_one_block() -> None:
    model, x = small(), images()
    with pytest.raises(RuntimeError, match=whole("layer 'stage1' " + TWICE)), hidden_mixing(model, "stage1", draw()):
        _ = model(x), model(x)


def test_a_module_that_runs_twice_in_a_forward() -> None:
    """Under the other of its two names, which named_modules leaves out."""
    shared = nn.ReLU()
    model = nn.Sequential(shared, nn.Flatten(), shared)
    with (
        pytest.raises(RuntimeError, match=whole("layer '2' " + TWICE)),
        hidden_mixing(model, "2", draw()),
    ):
        model(images())


def test_a_layer_that_no_forward_called() -> None:
    model = small()
    model.head.add_module("spare", nn.Identity())
    model.head.forward = lambda x: x.flatten(1)
    for run in (lambda: None, lambda: model(images())):
        with (
            pytest.raises(RuntimeError, match=whole("layer 'head.spare' " + NEVER)),
            hidden_mixing(model, "head.spare", draw()),
        ):
            run()
    assert hooks(model) == 0


@pytest.mark.parametrize("inside", [True, False])
def test_a_layer_inside_a_checkpoint_raises_in_the_backward(inside: bool) -> None:
    """It runs again there, so it would be mixed twice, or not at all."""

    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(lambda x: self.body(x).tanh(), x, use_reentrant=False))

    model, x = Saving(), torch.randn(BATCH, 8, generator=seeded())
    message = TWICE if inside else "different number of tensors|different metadata"

    def step() -> None:
        with hidden_mixing(model, "body", draw(k=2)):
            loss = model(x).sum()
            if inside:
                loss.backward()
        loss.backward()

    with pytest.raises(RuntimeError, match=message):
        step()
