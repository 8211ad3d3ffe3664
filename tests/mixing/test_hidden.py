"""Mixing inside a network, against forwards written by hand in float64."""

import copy
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from definition import by_definition
from hidden_nets import BATCH, assert_same, draw, gradients, hooked, hooks, images, small, small_by_hand
from torch import Tensor, nn
from torchvision.models import resnet18

from mixlab import MixPlan, hidden_mixing, mixed_logits, models


def resnet20_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    for name in ("stem", "stage1", "stage2", "stage3"):
        x = model.get_submodule(name)(x)
        x = by_definition(plan, x) if layer == name else x
    return model.head(x.mean((2, 3)))


def resnet18_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    """Mixed after the first convolution of the third block: in its residual alone, past its short cut."""
    assert layer == "layer2.0.conv1"
    x = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x)))))
    block = model.layer2[0]
    residual = block.relu(block.bn1(by_definition(plan, block.conv1(x))))
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
    wanted = gradients(model, lambda x: reference(model, layer, plan, x), x)
    assert len(wanted[0]) == k * BATCH
    assert_same(gradients(model, hooked(model, layer, plan), x), wanted)
    there = replace(plan, layer=layer)
    assert_same(gradients(model, lambda x: mixed_logits(model, x, there), x), wanted)
    plain = model(x).repeat(k, 1)
    assert not torch.allclose(wanted[0], plain, rtol=1e-3), "the mix must show for the comparison to mean anything"


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
    model.stage2[0].train()
    attributes = {name: set(vars(part)) for name, part in model.named_modules()}
    modes, weights = [part.training for part in model.modules()], copy.deepcopy(model.state_dict())
    with suppress(ZeroDivisionError), hidden_mixing(model, layer, draw(k=2)):
        assert hooks(model) == 1
        model(x if not fails else 1 / 0)
    assert hooks(model) == 0
    assert attributes == {name: set(vars(part)) for name, part in model.named_modules()}
    assert modes == [part.training for part in model.modules()]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert len(model(x)) == BATCH


def test_a_module_that_runs_twice_in_a_forward() -> None:
    """Under the other of its two names, which named_modules leaves out."""
    shared = nn.ReLU()
    model = nn.Sequential(shared, nn.Flatten(), shared)
    with pytest.raises(RuntimeError, match="layer '2' was called a second time"), hidden_mixing(model, "2", draw()):
        model(images())


def test_a_layer_that_no_forward_called() -> None:
    model = small()
    model.head.add_module("spare", nn.Identity())
    model.head.forward = lambda x: x.flatten(1)
    for run in (lambda: None, lambda: model(images())):
        message = "layer 'head.spare' was not called inside the block"
        with pytest.raises(RuntimeError, match=message), hidden_mixing(model, "head.spare", draw()):
            run()
    assert hooks(model) == 0
