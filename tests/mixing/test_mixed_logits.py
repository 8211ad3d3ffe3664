"""The logits and the loss of a plan of any kind, against forwards written by hand in float64."""

import copy
from dataclasses import replace

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
    seeded,
    small,
    small_by_hand,
    warned,
    whole,
)
from torch import Tensor, nn

from mixlab import MixPlan
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


def test_floats_without_normalize_go_in_as_they_are() -> None:
    model, x, seen = small(), images(), []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mixed_logits(model, x, draw("manifold", layers=["stage1"]))
    assert torch.equal(seen[0], x)
    assert seen[0].stride() == x.stride()
    assert seen[0].dtype == x.dtype


def test_half_precision_is_normalized_as_plans_do() -> None:
    x, seen = images().bfloat16(), []
    model = nn.Sequential(nn.Identity(), nn.Flatten())
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mixed_logits(model, x, draw("manifold", layers=["0"]), normalize=(MEAN, STD))
    assert torch.equal(seen[0], draw("none").apply(x, normalize=(MEAN, STD)))


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
    gray = (x * 9).to(torch.uint8)
    wrong = [
        (("net", x, plan), TypeError, "model must be a torch.nn.Module, got 'net'"),
        ((model, x, "plan"), TypeError, "plan must be a MixPlan, as Mixer.plan draws it, got 'plan'"),
        ((model, [1], plan), TypeError, "x must be a tensor whose first axis is the batch, got [1]"),
        (
            (model, x[:3], plan),
            ValueError,
            "x must hold the 4 examples this plan was drawn for, got a float64 tensor of shape [3, 3, 8, 8]",
        ),
        ((model, gray, plan), ValueError, "normalize must be (mean, std) for uint8 images, got None"),
        (
            (nn.Sequential(), x, draw("manifold", layers=["stage7"])),
            ValueError,
            LAYER + "'stage7'; model.named_modules() has them all",
        ),
        (
            (nn.ModuleDict({"stage1": model.stage1}), x, draw("manifold", layers=["stage"])),
            ValueError,
            LAYER + "'stage'; did you mean 'stage1'?",
        ),
    ]
    for args, kind, message in wrong:
        with pytest.raises(kind, match=whole(message)):
            mixed_logits(*args)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="x must be on the"):
        mixed_logits(model, x.to("meta"), plan)
    with pytest.raises(
        ValueError, match=r"^normalize must hold one finite mean for each of the 3 channels, got \[0.0, "
    ):
        mixed_logits(model, x, plan, normalize=([0, 0], [1, 1]))
    with pytest.raises(ValueError, match=r"^x must be float or uint8 images .* to be normalized, got a float64 tensor"):
        mixed_logits(model, x.flatten(1), plan, normalize=(MEAN, STD))


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


def soft_loss(logits: Tensor, plan: MixPlan, y: Tensor, smoothing: float) -> Tensor:
    """Cross entropy against soft labels, an example at a time."""
    losses = []
    for row, log_probs in enumerate(logits.log_softmax(1)):
        k, i = divmod(row, plan.batch)
        target = torch.full((logits.shape[1],), smoothing / logits.shape[1], dtype=torch.float64)
        target[y[i]] += (1 - smoothing) * plan.lam[k, i].double()
        target[y[plan.partner[i]]] += (1 - smoothing) * (1 - plan.lam[k, i].double())
        losses.append(-(target * log_probs).sum())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(("variant", "layer"), [("none", None), ("cutmix", None), ("manifold", "stage1")])
def test_the_loss_is_that_of_both_labels_and_the_clean_one(variant: str, layer, clean: bool, smoothing: float) -> None:
    model, x, y = small().eval(), images(), torch.tensor([3, 0, 5, 3])
    plan = draw(variant, 2, **({} if layer is None else {"layers": [layer]}))
    weight = model.head[1].weight
    plan = replace(plan, clean_loss=weight.square().sum() if clean else None)
    ours = mixed_loss(model, x, y, plan, label_smoothing=smoothing)
    wanted = soft_loss(mixed_logits(model, x, plan), plan, y, smoothing) + clean * weight.square().sum()
    assert float((ours - wanted).detach().abs()) < 1e-6  # λ is float32
    for one, other in zip(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in (ours, wanted)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


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
