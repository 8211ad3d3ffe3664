"""What a plan keeps bit for bit: one mix, types, infinities, `out`. What it mixes is in test_ways.py."""

import math

import pytest
import torch
from definition import images
from seeding import seeded

from mixlab import Mixer, MixPlan


@pytest.mark.parametrize("partners", ["random", "roll", "reversed"])
@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 1), (5, 3, 7, 5), (37, 3, 97, 101), (1001, 3, 5, 5), (7, 600, 333), (3001,)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_one_mix_is_plain_mixup_bit_for_bit(shape, partners, dtype):
    x = images(dtype, shape)
    plan = Mixer("mixup", 0.4, partners=partners).plan(x, generator=seeded())
    native = torch.promote_types(dtype, torch.float32)  # half types are mixed in float32 and rounded once
    lam = plan.lam[0].to(native).view(-1, *[1] * (x.ndim - 1))
    expected = torch.lerp(x[plan.partner].to(native), x.to(native), lam).to(dtype)
    assert torch.equal(plan.apply(x), expected)
    if len(shape) == 4:
        assert torch.equal(plan.apply(x.contiguous(memory_format=torch.channels_last)), expected)


def test_none_repeats_anything_as_it_is_even_infinities_and_labels():
    x = images(torch.float32, (5, 3, 6, 7))
    x[0, 0, 0, 0], x[1] = math.inf, math.nan
    plan = Mixer("none", k=2).plan(x)
    assert torch.equal(plan.apply(x).nan_to_num(7), x.repeat(2, 1, 1, 1).nan_to_num(7))
    assert torch.equal(plan.apply(torch.arange(5)), torch.arange(5).repeat(2))


def test_blending_never_leaves_the_range_of_the_two():
    gray = torch.tensor([0, 255, 0, 255], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 16, 16)
    for lam in (0.0, 1.0, 0.5, 1e-7, 1 - 1e-7, 0.25):
        weights = torch.full((1, 4), lam)
        mixed = MixPlan("mixup", torch.tensor([1, 0, 3, 2]), weights, weights).apply(gray)
        assert mixed[0].unique().item() == round(255 * (1 - float(weights[0, 0])))
        assert mixed[1].unique().item() == round(255 * float(weights[0, 0]))


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_result_has_the_type_that_is_asked_for(dtype, variant):
    x = images(torch.uint8, (5, 3, 6, 7))
    plan = Mixer(variant, 1.0, 2).plan(x, generator=seeded())
    mixed = plan.apply(x, dtype=dtype)
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.double(), plan.apply(x.double()), rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_out_may_lie_next_to_x_in_one_buffer():
    x = images(torch.float32, (5, 3, 6, 7))
    buffer = torch.cat([x, torch.zeros_like(x)])
    plan = Mixer("mixup").plan(x, generator=seeded())
    assert torch.equal(plan.apply(buffer[:5], out=buffer[5:]), plan.apply(x))
