"""A plan applied to anything, against a float64 loop that does it pixel by pixel."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from mixlab import Mixer, MixPlan
from mixlab.mixing import blend as blending
from mixlab.mixing.ways import Boxes

VARIANTS = ["none", "mixup", "cutmix"]
DTYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16]
BATCH, CHANNELS, HEIGHT, WIDTH = 5, 3, 6, 7
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(dtype: torch.dtype = torch.float32, shape=(BATCH, CHANNELS, HEIGHT, WIDTH), seed: int = 1) -> Tensor:
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=seeded(seed))
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every other row": lambda x: x.repeat_interleave(2, dim=2)[:, :, ::2],
    "cropped": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[:, :, 3:-1, 1:-2],
    "cropped channels_last": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1)).contiguous(
        memory_format=torch.channels_last
    )[:, :, 3:-1, 1:-2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "one image for all": lambda x: x[:1].expand_as(x),
    "one channel for all": lambda x: x[:, :1].expand_as(x),
}


def by_hand(plan: MixPlan, x: Tensor) -> Tensor:
    """[K * B, ...] float64, by the definition, an element at a time where a box is pasted."""
    mixes = []
    for k in range(plan.k):
        for i in range(plan.batch):
            own, other = x[i].double(), x[int(plan.partner[i])].double()
            lam = float(plan.lam[k, i])
            if plan.variant == "none":
                mixes.append(own)
            elif plan.box is None or x.ndim < 3:
                mixes.append(lam * own + (1 - lam) * other)
            else:
                mixes.append(own.clone())
                down, across = x.shape[-2] / plan.way.size[0], x.shape[-1] / plan.way.size[1]
                top, left, bottom, right = plan.box[k, i].tolist()
                for row in range(round(top * down), round(bottom * down)):
                    for column in range(round(left * across), round(right * across)):
                        mixes[-1][..., row, column] = other[..., row, column]
    return torch.stack(mixes)


def assert_mixed_right(plan: MixPlan, x: Tensor, mixed: Tensor) -> None:
    expected = by_hand(plan, x)
    assert mixed.shape == expected.shape
    assert mixed.dtype == x.dtype
    if plan.variant == "none" or (plan.variant == "cutmix" and x.ndim >= 3):
        assert torch.equal(mixed.double(), expected)
    elif x.dtype == torch.uint8:
        assert (mixed.double() - expected).abs().max() <= 0.5 + 1e-4
    else:
        # λ own + (1 - λ) other: half a step of the result's own type, and float32's steps before that
        step = torch.finfo(x.dtype).eps
        slack = 4 * (torch.finfo(torch.float64).eps if x.dtype == torch.float64 else torch.finfo(torch.float32).eps)
        allowed = 0.5 * step * expected.abs() + slack * float(x.double().abs().max())
        assert torch.all((mixed.double() - expected).abs() <= allowed + 1e-7 * (x.dtype == torch.float16))


def assert_untouched(x: Tensor, before: Tensor, version: int, strides: tuple[int, ...]) -> None:
    assert torch.equal(x, before)
    assert x._version == version
    assert x.stride() == strides


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_image_is_mixed_as_the_definition_says(variant, layout, dtype):
    x = LAYOUTS[layout](images(dtype))
    before, version, strides = x.clone(), x._version, x.stride()
    plan = Mixer(variant, 0.7, 2).plan(x, generator=seeded())
    mixed = plan.apply(x)
    assert_mixed_right(plan, x, mixed)
    assert_untouched(x, before, version, strides)
    if layout == "channels_last":
        assert mixed.is_contiguous(memory_format=torch.channels_last)
    else:
        assert mixed.is_contiguous()


plans = st.builds(
    lambda seed, batch, size, options: Mixer(**options).plan(
        torch.empty(batch, 1, *size), generator=torch.Generator().manual_seed(seed)
    ),
    seed=st.integers(0, 2**31),
    batch=st.sampled_from([2, 4, 6, 12]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    options=st.fixed_dictionaries(
        {
            "variant": st.sampled_from(VARIANTS),
            "alpha": st.sampled_from([1e-6, 0.05, 0.4, 1.0, 8.0, 1e6]),
            "k": st.integers(1, 5),
            "shared_lam": st.booleans(),
            "ordered": st.booleans(),
            "partners": st.sampled_from(["random", "roll", "reversed"]),
            "distinct": st.booleans(),
        }
    ),
)


@given(
    plan=plans,
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(list(LAYOUTS)),
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    chunk=st.sampled_from([1, 100, 1000, 1 << 21]),
)
@settings(max_examples=80, deadline=None)
def test_every_plan_mixes_as_the_definition_says_in_chunks_of_any_size(plan, dtype, layout, channels, size, chunk):
    x = LAYOUTS[layout](images(dtype, (plan.batch, channels, *size)))
    before, version, strides = x.clone(), x._version, x.stride()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(blending, "_CHUNK_BYTES", chunk)
        mixed = plan.apply(x)
    assert_mixed_right(plan, x, mixed)
    assert_untouched(x, before, version, strides)


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_of_k_mixes_is_the_one_mix_of_its_lambda(variant, layout, dtype):
    x = LAYOUTS[layout](images(dtype, (9, 3, 8, 8)))
    plan = Mixer(variant, 0.6, 5, partners="roll").plan(x, generator=seeded())
    mixed = plan.apply(x).view(5, 9, 3, 8, 8)
    for k in range(5):
        rows = slice(k, k + 1)
        way = plan.way if plan.box is None else Boxes(plan.box[rows], plan.way.size)
        one = MixPlan(variant, plan.partner, plan.lam[rows], plan.nominal[rows], way)
        assert torch.equal(mixed[k], one.apply(x))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
def test_cutmix_pastes_masks_of_any_type(dtype):
    plan = Mixer("cutmix", 1.0, 3).plan(images(), generator=seeded())
    masks = torch.randint(0, 2 if dtype == torch.bool else 19, (BATCH, HEIGHT, WIDTH), generator=seeded(2)).to(dtype)
    mixed = plan.apply(masks)
    assert mixed.dtype == dtype
    assert torch.equal(mixed.double(), by_hand(plan, masks))


def test_the_mask_is_pasted_where_the_image_is():
    x = images(shape=(8, 1, 16, 12))
    plan = Mixer("cutmix", 1.0, 4).plan(x, generator=seeded(3))
    mask = (x[:, 0] > 0).to(torch.int64)
    assert torch.equal(plan.apply(mask), (plan.apply(x)[:, 0] > 0).to(torch.int64))


@pytest.mark.parametrize("size", [(3, 3), (12, 14), (6, 7), (1, 1), (5, 20)])
def test_the_box_is_scaled_to_feature_maps_of_another_size(size):
    plan = Mixer("cutmix", 1.0, 3).plan(images(), generator=seeded(5))
    features = images(shape=(BATCH, 10, *size))
    assert torch.equal(plan.apply(features).double(), by_hand(plan, features))


def test_a_box_scaled_up_keeps_its_share_of_pixels():
    plan = Mixer("cutmix", 1.0, 2).plan(images(), generator=seeded(6))
    own = torch.zeros(BATCH, 1, 4 * HEIGHT, 4 * WIDTH)
    own[plan.partner != torch.arange(BATCH)] = 1
    stamp = torch.arange(BATCH).view(-1, 1, 1, 1).expand(-1, 1, 4 * HEIGHT, 4 * WIDTH)
    kept = (plan.apply(stamp).view(2, BATCH, -1) == torch.arange(BATCH)[:, None]).double().mean(-1)
    moved = plan.partner != torch.arange(BATCH)
    assert torch.allclose(kept[:, moved], plan.lam.double()[:, moved], atol=1e-6)


@pytest.mark.parametrize("variant", ["mixup", "cutmix"])
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regression_and_multi_label_targets_are_blended_by_the_true_lambda(variant, shape, dtype):
    plan = Mixer(variant, 1.0, 3).plan(images(), generator=seeded(4))
    targets = images(dtype, shape)
    mixed = plan.apply(targets)
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.double(), by_hand(plan, targets), rtol=1e-6, atol=1e-6)


def test_videos_and_sequences_are_mixed_too():
    video = images(shape=(BATCH, 2, 3, HEIGHT, WIDTH))
    for variant in VARIANTS:
        plan = Mixer(variant, 1.0, 2).plan(images(), generator=seeded(4))
        assert_mixed_right(plan, video, plan.apply(video))
    plan = Mixer("mixup", 1.0, 2).plan(images(), generator=seeded(4))
    tokens = images(shape=(BATCH, 11, 4))
    assert_mixed_right(plan, tokens, plan.apply(tokens))


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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "cropped"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalizing_in_the_same_pass_is_normalizing_before_mixing(variant, layout, dtype):
    x = LAYOUTS[layout](images(dtype))
    plan = Mixer(variant, 1.0, 2).plan(x, generator=seeded(8))
    unit = 255 if dtype == torch.uint8 else 1
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (MEAN, STD))
    expected = by_hand(plan, (x.double() / unit - mean) / std)
    mixed = plan.apply(x, normalize=(MEAN, STD))
    assert mixed.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    step = torch.finfo(mixed.dtype).eps if dtype in (torch.bfloat16, torch.float16) else 2e-6
    torch.testing.assert_close(mixed.double(), expected, rtol=step, atol=max(2e-6, step / 100))
    if layout == "channels_last":
        assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_normalizing_agrees_with_torchvision():
    x = images(torch.uint8, (16, 3, 32, 32))
    plan = Mixer("mixup", 1.0).plan(x, generator=seeded())
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(x)
    expected = torch.lerp(theirs[plan.partner], theirs, plan.lam[0].view(-1, 1, 1, 1))
    torch.testing.assert_close(plan.apply(x, normalize=(MEAN, STD)), expected, rtol=1e-6, atol=1e-6)
    as_tensors = plan.apply(x, normalize=(torch.tensor(MEAN), torch.tensor(STD)))
    torch.testing.assert_close(as_tensors, expected, rtol=1e-6, atol=1e-6)


def test_one_number_normalizes_every_channel():
    x = images(torch.uint8)
    plan = Mixer("cutmix").plan(x, generator=seeded())
    one = plan.apply(x, normalize=((0.5,), (0.25,)))
    assert torch.equal(one, plan.apply(x, normalize=((0.5,) * 3, (0.25,) * 3)))
    assert torch.equal(one, plan.apply(x, normalize=(0.5, 0.25)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_result_comes_in_the_type_that_is_asked_for(dtype):
    x = images(torch.uint8)
    for variant in VARIANTS:
        plan = Mixer(variant, 1.0, 2).plan(x, generator=seeded())
        mixed = plan.apply(x, dtype=dtype)
        assert mixed.dtype == dtype
        expected = by_hand(plan, x)
        torch.testing.assert_close(mixed.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-4)
        normalized = plan.apply(x, normalize=(MEAN, STD), dtype=dtype)
        assert torch.equal(normalized, plan.apply(x, normalize=(MEAN, STD)).to(dtype))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "cropped"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_out_is_filled_returned_and_fit_for_reuse(variant, layout):
    x = LAYOUTS[layout](images())
    plan = Mixer(variant, 1.0, 3).plan(x, generator=seeded())
    expected = plan.apply(x)
    out = torch.full_like(expected, math.nan)
    for _ in range(2):
        assert plan.apply(x, out=out) is out
        assert torch.equal(out, expected)
    normalized = plan.apply(images(torch.uint8), normalize=(MEAN, STD), out=out.contiguous())
    assert torch.equal(normalized, plan.apply(images(torch.uint8), normalize=(MEAN, STD)))


def test_out_may_lie_next_to_x_in_one_buffer():
    buffer = torch.zeros(2 * BATCH, CHANNELS, HEIGHT, WIDTH)
    buffer[:BATCH] = images()
    plan = Mixer("mixup").plan(buffer[:BATCH], generator=seeded())
    assert torch.equal(plan.apply(buffer[:BATCH], out=buffer[BATCH:]), plan.apply(images()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "cropped", "one image for all"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_with_a_gradient_wanted_the_bits_are_the_same_and_it_flows(variant, layout, dtype):
    x = LAYOUTS[layout](images(dtype))
    plan = Mixer(variant, 1.0, 3).plan(x, generator=seeded(9))
    leaf = x.detach().clone().requires_grad_()
    view = LAYOUTS[layout](leaf)
    for options in ({}, {"normalize": (MEAN, STD)}):
        mixed = plan.apply(view, **options)
        assert torch.equal(mixed, plan.apply(view.detach(), **options))
        assert mixed.stride() == plan.apply(view.detach(), **options).stride()
    weight = images(torch.float64, tuple(mixed.shape), seed=3)
    (plan.apply(view).double() * weight).sum().backward()
    reference = x.detach().double().clone().requires_grad_()
    (by_hand_differentiable(plan, LAYOUTS[layout](reference)) * weight).sum().backward()
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(leaf.grad.double(), reference.grad, rtol=10 * step, atol=30 * step)


def by_hand_differentiable(plan: MixPlan, x: Tensor) -> Tensor:
    ones = torch.ones(x.shape, dtype=torch.float64)
    stamped = ones * torch.arange(plan.batch).view(-1, 1, 1, 1)
    own = (by_hand(plan, stamped) == stamped.repeat(plan.k, 1, 1, 1)).double()  # 1 where the own pixel is kept
    if plan.variant == "mixup":
        own = plan.lam.double().view(-1, 1, 1, 1) * ones.repeat(plan.k, 1, 1, 1)
    return own * x.repeat(plan.k, 1, 1, 1) + (1 - own) * x[plan.partner].repeat(plan.k, 1, 1, 1)


def test_no_gradient_is_kept_where_none_is_wanted():
    x = images().requires_grad_()
    plan = Mixer("mixup").plan(x, generator=seeded())
    with torch.no_grad():
        assert not plan.apply(x).requires_grad
    assert plan.apply(x).requires_grad


class Allocations(TorchDispatchMode):
    """Bytes of every new tensor, by operation."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        held = {t.untyped_storage().data_ptr() for t in [*args, *(kwargs or {}).values()] if isinstance(t, Tensor)}
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in held:
                self.bytes.append(tensor.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("normalize", [None, (MEAN, STD)])
@pytest.mark.parametrize("partners", ["random", "roll"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_applying_allocates_the_output_and_chunks(monkeypatch, variant, partners, normalize, dtype):
    monkeypatch.setattr(blending, "_CHUNK_BYTES", 1 << 14)
    x = images(dtype, (64, 3, 16, 16))
    plan = Mixer(variant, 1.0, 5, partners=partners).plan(x, generator=seeded())
    with Allocations() as new:
        out = plan.apply(x, normalize=normalize)
    with Allocations() as reused:
        plan.apply(x, normalize=normalize, out=out)
    assert new.bytes.count(out.nbytes) == 1
    new.bytes.remove(out.nbytes)
    assert new.bytes == reused.bytes
    mask = 5 * 64 * 16 * 16  # CutMix: a byte for each pixel of each mix
    large = [size for size in new.bytes if size > 4 * blending._CHUNK_BYTES]  # uint8 grows by 4 in float32
    assert large == ([mask] if variant == "cutmix" else [])


@pytest.mark.parametrize("variant", VARIANTS)
def test_where_values_cannot_be_read_nothing_tries_to(variant):
    x = images(torch.uint8).to("meta")
    plan = Mixer(variant, 1.0, 2, partners="roll").plan(x)
    mixed = plan.apply(x, normalize=(MEAN, STD))
    assert (mixed.device.type, mixed.shape) == ("meta", (2 * BATCH, CHANNELS, HEIGHT, WIDTH))
    assert plan.apply(x, out=torch.empty_like(x).repeat(2, 1, 1, 1)).dtype == torch.uint8


def test_it_says_what_it_is():
    plan = Mixer("cutmix", k=3).plan(images(), generator=seeded())
    assert repr(plan) == "MixPlan('cutmix', k=3, batch=5)"
    assert (plan.k, plan.batch, plan.way.size) == (3, BATCH, (HEIGHT, WIDTH))
