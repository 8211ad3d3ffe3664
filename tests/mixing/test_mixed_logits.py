"""The logits and the loss of a plan of any kind, against forwards written by hand in float64."""

import copy
import re

import pytest
import torch
from hidden_nets import (
    BATCH,
    LAYER,
    MEAN,
    STD,
    assert_same,
    by_hand,
    draw,
    gradients,
    hooks,
    images,
    small,
    small_by_hand,
    warned,
    whole,
)
from seeding import seeded
from torch import Tensor, nn

from mixlab.mixing.losses import mixed_logits, mixed_loss


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("layer", ["input", "stage1", "stage2"])
def test_logits_by_the_layer_of_the_plan(layer: str, k: int) -> None:
    model, x, plan = small(), images(), draw("manifold", k, layers=[layer])
    assert plan.layer == layer
    ours = gradients(model, lambda x: mixed_logits(model, x, plan), x)
    assert_same(ours, gradients(model, lambda x: small_by_hand(model, layer, plan, x), x))


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
def test_logits_of_variants_that_mix_before_the_model(variant: str) -> None:
    model, x, plan = small().eval(), images(), draw(variant, 2)
    wanted = model(x.repeat(2, 1, 1, 1) if variant == "none" else by_hand(plan, x))
    torch.testing.assert_close(mixed_logits(model, x, plan), wanted)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("layer", ["input", "stage1"])
def test_images_are_normalized_once_and_keep_their_layout(layer: str, dtype: torch.dtype, layout) -> None:
    x = torch.randint(0, 256, (BATCH, 3, 8, 8), generator=seeded(4), dtype=torch.uint8)
    unit = x.double() / 255
    x = (x if dtype == torch.uint8 else unit.to(dtype)).contiguous(memory_format=layout)
    model, plan, seen, before = small().eval(), draw("manifold", 2, layers=[layer]), [], x.clone()
    if dtype != torch.float64:
        model = model.float()
    model.stage1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    logits = mixed_logits(model, x, plan, normalize=(MEAN, STD))
    mean, std = (torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1) for part in (MEAN, STD))
    wanted = small_by_hand(small().eval(), layer, plan, (unit - mean) / std)
    assert float((logits.double() - wanted).detach().abs().max()) < (1e-12 if dtype == torch.float64 else 1e-5)
    assert seen[0].is_contiguous(memory_format=layout)
    assert seen[0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(x, before)


def test_a_training_loop_is_not_warned() -> None:
    model, x = small(), images()
    for layer in ("input", "stage1"):
        plan = draw("manifold", 3, layers=[layer])
        assert warned(lambda plan=plan: mixed_logits(model, x, plan)) == []
    assert hooks(model) == 0


@pytest.mark.parametrize("layer", ["input", "stage1"])
def test_wrong_input_of_mixed_logits(layer: str) -> None:
    model, x, plan = small(), images(), draw("manifold", 3, layers=[layer])
    weights = copy.deepcopy(model.state_dict())
    gray, statistics = (x * 9).to(torch.uint8), (MEAN, STD)
    wrong = [
        (("net", x, plan), None, "model must be a torch.nn.Module, got 'net'"),
        ((model, x, "plan"), None, "plan must be a MixPlan, as Mixer.plan draws it, got 'plan'"),
        ((model, [1], plan), None, "x must be a tensor whose first axis is the batch, got [1]"),
        ((model, x[:3], plan), None, "x must hold the 4 examples this plan was drawn for, got "),
        ((model, gray, plan), None, "normalize must be (mean, std) for uint8 images, got None"),
        ((nn.Sequential(), x, draw("manifold", layers=["stage7"])), None, LAYER + "'stage7'"),
        ((model, x.to("meta"), plan), None, "x must be on the"),
        ((model, x, plan), ([0, 0], [1, 1]), "normalize must hold one finite mean for each of the 3 channels, got "),
        ((model, x.flatten(1), plan), statistics, "x must be float or uint8 images [batch, channels, height, width]"),
    ]
    for args, normalize, message in wrong:
        with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
            mixed_logits(*args, normalize=normalize)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("layer", ["input", "body"])
@pytest.mark.parametrize(
    ("what", "kind", "came"),
    [
        (lambda x: (x, x), TypeError, "a value of type tuple"),
        (lambda _: None, TypeError, "None"),
        (lambda x: x.sum(), ValueError, "a float64 tensor of shape []"),
        (lambda x: x[:5, 0, 0], ValueError, "a float64 tensor of shape [5, 8]"),
    ],
)
def test_a_model_that_returns_no_row_for_each_mix(layer: str, what, kind, came: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x: Tensor) -> object:
            return what(self.body(x))

    message = f"model must return one tensor with a row of logits for each of the 12 mixes, got {came}"
    with pytest.raises(kind, match=whole(message)):
        mixed_logits(Net(), images(), draw("manifold", 3, layers=[layer]))


# mixed_loss


def test_the_loss_of_uint8_images_is_that_of_normalized_ones() -> None:
    model, plan, y = small().float().eval(), draw("mixup", 3), torch.tensor([3, 0, 5, 3])
    gray = torch.randint(0, 256, (BATCH, 3, 8, 8), generator=seeded(4), dtype=torch.uint8)
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (MEAN, STD))
    ours = mixed_loss(model, gray, y, plan, normalize=(MEAN, STD))
    torch.testing.assert_close(ours, mixed_loss(model, (gray.float() / 255 - mean) / std, y, plan))
    with pytest.raises(ValueError, match=whole("normalize must be (mean, std) for uint8 images, got None")):
        mixed_loss(model, gray, y, plan)
    with pytest.raises(ValueError, match=whole("y must hold one label for each of the 4 examples, got 3 labels")):
        mixed_loss(model, gray, y[:3], plan, normalize=(MEAN, STD))
    with pytest.raises(ValueError, match=whole("label_smoothing must be a number from 0 to 1, got 2")):
        mixed_loss(model, gray, y, plan, normalize=(MEAN, STD), label_smoothing=2)
