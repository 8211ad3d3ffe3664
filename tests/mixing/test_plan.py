"""What a plan keeps, bit for bit: one mix, K mixes, types, `out`, memory, JSON. What it mixes is in test_ways.py."""

import json
import math
from dataclasses import replace

import pytest
import torch
from seeding import seeded
from torch import Tensor
from torchvision.transforms import v2

from mixlab import Mixer, MixPlan

VARIANTS = ["none", "mixup", "cutmix"]
DTYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16]
BATCH, CHANNELS, HEIGHT, WIDTH = 5, 3, 6, 7
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def images(dtype: torch.dtype = torch.float32, shape=(BATCH, CHANNELS, HEIGHT, WIDTH), seed: int = 1) -> Tensor:
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=seeded(seed))
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda held: held.update(color=1), "color"),
        (lambda held: held.pop("lam"), "lam"),
        (lambda held: held.pop("way"), "way"),
        (lambda held: held["way"].update(kind="Blends"), "Blends"),
        (lambda held: held["way"].update(mask=1), "mask"),
        (lambda held: held["way"].update(box=[1]), "box must be"),
        (lambda held: held.update(clean_loss=1), "clean_loss"),
        (
            lambda held: held.update(partner=[0, 1, 2, 3, 9]),
            "partner must hold places in the batch, 0 to 4, got",
        ),
        (lambda held: held.update(lam=[[0.5, 0.5, 0.5, 0.5, math.nan]]), "lam must hold weights"),
    ],
)
def test_json_of_anything_but_a_plan_is_refused(change, named):
    held = json.loads(Mixer("cutmix").plan(images(shape=(5, 3, 8, 6))).to_json())
    change(held)
    with pytest.raises(ValueError, match=r"^text must be JSON written by MixPlan.to_json, got ") as caught:
        MixPlan.from_json(json.dumps(held))
    assert named in str(caught.value)


@pytest.mark.parametrize(("layer", "inside"), [(None, None), ("input", None), ("stage1.conv", "stage1.conv")])
def test_inside_is_the_module_that_is_mixed_in_the_model(layer, inside):
    assert replace(Mixer().plan(images(shape=(5, 3, 8, 6))), layer=layer).inside == inside


@pytest.mark.parametrize("partners", ["random", "roll", "reversed"])
@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 1), (5, 3, 7, 5), (37, 3, 97, 101), (1001, 3, 5, 5), (7, 600, 333), (3001,)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_mix_is_plain_mixup_bit_for_bit(shape, partners, dtype):
    x = images(dtype, shape)
    plan = Mixer("mixup", 0.4, partners=partners).plan(x, generator=seeded())
    lam = plan.lam[0].to(dtype).view(-1, *[1] * (x.ndim - 1))
    assert torch.equal(plan.apply(x), torch.lerp(x[plan.partner], x, lam))
    if len(shape) == 4:
        last = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(plan.apply(last), torch.lerp(last[plan.partner], last, lam))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_mixed_in_float32_and_rounded_once(dtype):
    x = images(dtype, (64, 3, 9, 9))
    plan = Mixer("mixup", 0.4).plan(x, generator=seeded())
    lam = plan.lam[0].view(-1, 1, 1, 1)
    assert torch.equal(plan.apply(x), torch.lerp(x[plan.partner].float(), x.float(), lam).to(dtype))


def test_none_repeats_anything_as_it_is_even_infinities_and_labels():
    x = images()
    x[0, 0, 0, 0], x[1] = math.inf, math.nan
    plan = Mixer("none", k=2).plan(x)
    assert torch.equal(plan.apply(x).nan_to_num(7), x.repeat(2, 1, 1, 1).nan_to_num(7))
    assert torch.equal(plan.apply(torch.arange(BATCH)), torch.arange(BATCH).repeat(2))


def test_blending_never_leaves_the_range_of_the_two():
    gray = torch.tensor([0, 255, 0, 255], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 16, 16)
    for lam in (0.0, 1.0, 0.5, 1e-7, 1 - 1e-7, 0.25):
        weights = torch.full((1, 4), lam)
        mixed = MixPlan("mixup", torch.tensor([1, 0, 3, 2]), weights, weights).apply(gray)
        assert mixed[0].unique().item() == round(255 * (1 - float(weights[0, 0])))
        assert mixed[1].unique().item() == round(255 * float(weights[0, 0]))


def test_normalizing_agrees_with_torchvision():
    x = images(torch.uint8, (16, 3, 32, 32))
    plan = Mixer("mixup", 1.0).plan(x, generator=seeded())
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(x)
    expected = torch.lerp(theirs[plan.partner], theirs, plan.lam[0].view(-1, 1, 1, 1))
    torch.testing.assert_close(plan.apply(x, normalize=(MEAN, STD)), expected, rtol=1e-6, atol=1e-6)
    as_tensors = plan.apply(x, normalize=(torch.tensor(MEAN), torch.tensor(STD)))
    torch.testing.assert_close(as_tensors, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_result_comes_in_the_type_that_is_asked_for(dtype):
    x = images(torch.uint8)
    for variant in VARIANTS:
        plan = Mixer(variant, 1.0, 2).plan(x, generator=seeded())
        mixed = plan.apply(x, dtype=dtype)
        assert mixed.dtype == dtype
        torch.testing.assert_close(mixed.double(), plan.apply(x.double()), rtol=torch.finfo(dtype).eps, atol=1e-4)
        normalized = plan.apply(x, normalize=(MEAN, STD), dtype=dtype)
        assert torch.equal(normalized, plan.apply(x, normalize=(MEAN, STD)).to(dtype))


def test_out_may_lie_next_to_x_in_one_buffer():
    buffer = torch.zeros(2 * BATCH, CHANNELS, HEIGHT, WIDTH)
    buffer[:BATCH] = images()
    plan = Mixer("mixup").plan(buffer[:BATCH], generator=seeded())
    assert torch.equal(plan.apply(buffer[:BATCH], out=buffer[BATCH:]), plan.apply(images()))
