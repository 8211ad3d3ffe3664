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
    small,
    small_by_hand,
    whole,
)
from torch import Tensor, nn
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


# Wrong input


@pytest.mark.parametrize(
    ("args", "kind", "named"),
    [
        (("net", "stage1", draw()), TypeError, "model must be a torch.nn.Module, got 'net'"),
        ((small(), "stage1", Mixer()), TypeError, "plan must be a MixPlan"),
        ((small(), 2, draw()), TypeError, LAYER + "2"),
        ((small(), "stge2", draw()), ValueError, LAYER + "'stge2'; did you mean 'stage2' or 'stage1'?"),
        ((small(), "Input", draw()), ValueError, LAYER + "'Input'; did you mean 'input'?"),
        ((nn.ModuleDict({"body": small()}), "stage2", draw()), ValueError, "did you mean 'body.stage2'"),
        ((small(), "xyzzy", draw()), ValueError, LAYER + "'xyzzy'; model.named_modules() has them all"),
        ((small(), "", draw()), ValueError, LAYER + "''; model.named_modules() has them all"),
        ((small(), "stage1.0.weight", draw()), ValueError, "did you mean 'stage1.0'"),
    ],
)
def test_wrong_arguments_raise_at_the_call(args, kind, named) -> None:
    with pytest.raises(kind, match=re.escape(named)):
        hidden_mixing(*args)


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


TWICE = (
    "was called a second time inside the block, which would mix twice: run one forward in each block, and choose a "
    "layer that runs once in it"
)


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
