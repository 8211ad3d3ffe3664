"""Every way to mix, in every type and layout, against a float64 loop over pixels; JSON, labels, order, memory."""

import json
from dataclasses import fields, replace

import pytest
import torch
from definition import by_definition, images, noise_of
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Live
from seeding import seeded
from torch import Tensor

from mixlab import MixPlan
from mixlab.mixing import blend as blending
from mixlab.mixing.ways import AsIs, Blend, Boxes, Mask, Way, Weights

DTYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16]
SIZES = [(8, 8), (4, 12), (8, 4)]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every other row": lambda x: x.repeat_interleave(2, dim=2)[:, :, ::2],
    "one channel for all": lambda x: x[:, :1].expand_as(x),
    "cropped": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[:, :, 3:-1, 1:-2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "one image for all": lambda x: x[:1].expand_as(x),
}


def drawn(
    seed: int = 0,
    batch: int = 3,
    k: int = 2,
    size: tuple[int, int] = (8, 8),
    how: str = "mask",
    *,
    levels: str = "halves",
    blocks: tuple[int, int] = (4, 4),
    grid: int = 0,
    repeats: bool = False,
    noisy: float = 0,
    gray: bool = False,
    channels: int = 3,
    rolled: bool = False,
    shared: bool = False,
) -> MixPlan:
    """A plan of random parts: `how` the two are put together, and a `grid` to move blocks on (0 moves none)."""
    g = seeded(seed)
    lam = torch.rand(k, batch, generator=g)
    partner, nominal = torch.randperm(batch, generator=g), torch.rand(k, batch, generator=g)
    partner = torch.arange(batch).roll(1) if rolled else partner
    if how == "blend" and shared:
        lam = lam[:, :1].expand_as(lam)  # one λ in memory, as shared_lam draws it
    if how in ("blend", "as is"):
        way = Blend() if how == "blend" else AsIs()
        return MixPlan(f"{how} of a test", partner, lam, nominal, way, rolled)
    if how == "weights":  # rows that sum to 1
        noise = torch.rand(k, batch, batch, generator=g)
        weights = torch.eye(batch) + noise - noise.mean(-1, keepdim=True)
        return MixPlan(f"{how} of a test", partner, lam, nominal, Weights(weights), rolled)
    if how != "mask":
        edges = [torch.randint(0, side + 1, (2, k, batch), generator=g).sort(dim=0).values for side in size]
        box = torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], dim=-1)
        box = box[:, :1].expand_as(box) if shared else box  # one box in memory, as shared_lam draws it
        return MixPlan(f"{how} of a test", partner, lam, nominal, Boxes(box, size, how == "shrunk"), rolled)
    mask = torch.rand(k, batch, *blocks, generator=g)
    mask = {"floats": mask, "halves": (mask * 3).floor() / 2, "ends": mask.round()}[levels]
    moves = noise = None
    if grid:
        order = torch.rand(2, k, batch, grid * grid, generator=g)
        moves = (order * grid * grid).long() if repeats else order.argsort(-1)
    if noisy:
        noise = noisy * torch.randn(2, batch, channels, *size, generator=g)
    return MixPlan("mask of a test", partner, mask.mean((-1, -2)), nominal, Mask(mask, moves, noise, gray), rolled)


def assert_mixed_right(plan: MixPlan, x: Tensor, mixed: Tensor) -> None:
    expected = by_definition(plan, x)
    assert mixed.shape == expected.shape
    assert mixed.dtype == x.dtype
    whole = plan.mask is not None and bool(((plan.mask == 0) | (plan.mask == 1)).all())
    if noise_of(plan) is None and (whole or plan.box is not None or isinstance(plan.way, AsIs)):
        assert torch.equal(mixed.double(), expected)
    elif x.dtype == torch.uint8:
        assert (mixed.double() - expected.clamp(0, 255)).abs().max() <= 0.5 + 1e-3
    else:
        step, native = torch.finfo(x.dtype).eps, x.dtype == torch.float64
        slack = 6 * torch.finfo(torch.float64 if native else torch.float32).eps
        allowed = 0.5 * step * expected.abs() + slack * (float(x.double().abs().max()) + 4)
        assert torch.all((mixed.double() - expected).abs() <= allowed + 1e-7 * (x.dtype == torch.float16))


options = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "batch": st.sampled_from([2, 3]),
        "k": st.integers(1, 3),
        "size": st.sampled_from(SIZES),
        "how": st.sampled_from(["mask", "mask", "box", "shrunk", "blend", "as is", "weights"]),
        "levels": st.sampled_from(["floats", "halves", "ends"]),
        "blocks": st.tuples(st.integers(1, 5), st.integers(1, 9)),
        "grid": st.sampled_from([0, 1, 2, 4]),
        "repeats": st.booleans(),
        "noisy": st.sampled_from([0, 0, 0.5]),
        "gray": st.booleans(),
        "rolled": st.booleans(),
        "shared": st.booleans(),
    }
)
plans = options.map(lambda chosen: drawn(**chosen))


@given(
    chosen=options,
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(list(LAYOUTS)),
    chunk=st.sampled_from([1, 1000, 1 << 22]),
)
@settings(max_examples=120, deadline=None)
def test_every_plan_mixes_as_the_definition_says(chosen, dtype, layout, chunk):
    chosen["noisy"] *= 200 if dtype == torch.uint8 else 1  # far beyond black and white
    plan = drawn(**chosen)
    x = LAYOUTS[layout](images(dtype, (plan.batch, 3, *chosen["size"])))
    before, version, strides = x.clone(), x._version, x.stride()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(blending, "_CHUNK_BYTES", chunk)
        mixed = plan.apply(x)
    assert_mixed_right(plan, x, mixed)
    assert torch.equal(x, before)
    assert (x._version, x.stride()) == (version, strides)
    kept = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert mixed.is_contiguous(memory_format=kept)
    assert torch.equal(plan.apply(x), mixed)
    out = torch.full_like(mixed, 7)
    assert plan.apply(x, out=out) is out
    assert torch.equal(out, mixed)


@given(chosen=options, dtype=st.sampled_from(DTYPES), layout=st.sampled_from(list(LAYOUTS)))
@settings(max_examples=40, deadline=None)
def test_normalizing_in_the_same_pass_is_normalizing_the_mix(chosen, dtype, layout):
    plan = drawn(**chosen)
    x = LAYOUTS[layout](images(dtype, (plan.batch, 3, *chosen["size"])))
    unit = 255 if dtype == torch.uint8 else 1
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (MEAN, STD))
    mixed = plan.apply(x, normalize=(MEAN, STD))
    assert mixed.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    step = torch.finfo(mixed.dtype).eps if dtype in (torch.bfloat16, torch.float16) else 4e-6
    expected = (by_definition(plan, x) / unit - mean) / std
    torch.testing.assert_close(mixed.double(), expected, rtol=step, atol=max(2e-5, step / 100))
    half = plan.apply(x, normalize=(MEAN, STD), dtype=torch.bfloat16)
    assert torch.equal(half, mixed.to(torch.bfloat16)) or dtype == torch.float16


@given(chosen=options, layout=st.sampled_from(["contiguous", "channels_last", "cropped"]))
@settings(max_examples=20, deadline=None)
def test_gradients_are_the_definitions(chosen, layout):
    plan = drawn(**(chosen | {"k": 2}))
    leaf = images(torch.float64, (plan.batch, 3, *chosen["size"])).requires_grad_()
    view = LAYOUTS[layout](leaf)
    mixed = plan.apply(view)
    plain = plan.apply(view.detach())
    assert torch.equal(mixed, plain)
    assert mixed.stride() == plain.stride()
    weight = images(torch.float64, tuple(mixed.shape), seed=2)
    (mine,) = torch.autograd.grad((mixed * weight).sum(), leaf)
    (theirs,) = torch.autograd.grad((by_definition(plan, leaf) * weight).sum(), leaf)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@given(chosen=options, shape=st.tuples(st.integers(1, 14), st.integers(1, 14)), channels=st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_boxes_and_masks_are_scaled_to_any_height_and_width(chosen, shape, channels):
    plan = drawn(**(chosen | {"grid": 0}))
    x = images(torch.float32, (plan.batch, channels, *shape))
    assert_mixed_right(plan, x, plan.apply(x))


@pytest.mark.parametrize("how", ["mask", "box", "shrunk", "blend", "weights"])
@pytest.mark.parametrize("grid", [0, 2])
@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (3, 2, 16, 16), (3, 2, 3, 8, 8), (3, 8, 8)])
def test_features_videos_and_maps_without_channels_are_mixed_alike(shape, grid, how):
    plan = drawn(how=how, levels="floats", grid=grid, noisy=0.5)
    x = images(torch.float32, shape)
    assert_mixed_right(plan, x, plan.apply(x))  # the noise belongs to images of 3 by 8 by 8, and to nothing else


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize(("how", "grid"), [("mask", 0), ("mask", 4), ("box", 0), ("shrunk", 0)])
def test_class_masks_are_pasted_exactly_where_the_image_is(how, grid, dtype):
    plan = drawn(7, 4, 3, how=how, levels="ends", grid=grid, noisy=0.1)
    classes = torch.randint(0, 2 if dtype == torch.bool else 19, (4, 8, 8), generator=seeded(2)).to(dtype)
    before, mixed = classes.clone(), plan.apply(classes)
    assert mixed.dtype == dtype
    assert torch.equal(mixed.double(), by_definition(plan, classes))
    assert torch.equal(classes, before)
    stamp = classes[:, None].float()
    assert torch.equal(mixed.double(), plan.apply(stamp)[:, 0].double())


@given(plan=plans, shape=st.sampled_from([(), (4,)]), dtype=st.sampled_from(DTYPES[1:]))
@settings(max_examples=30, deadline=None)
def test_targets_are_blended_by_lambda_whatever_the_images_get(plan, shape, dtype):
    targets = images(dtype, (plan.batch, *shape))
    lam = plan.lam.double().view(plan.k, plan.batch, *[1] * len(shape))
    lam = torch.ones_like(lam) if isinstance(plan.way, AsIs) else lam
    expected = (lam * targets.double() + (1 - lam) * targets[plan.partner].double()).flatten(0, 1)
    expected = by_definition(plan, targets) if isinstance(plan.way, Weights) else expected
    step = max(torch.finfo(dtype).eps, 1e-7 * (dtype != torch.float64))
    torch.testing.assert_close(plan.apply(targets).double(), expected, rtol=2 * step, atol=16 * step)


@given(plan=plans, layer=st.sampled_from([None, "input", "stage1.conv"]))
@settings(max_examples=40, deadline=None)
def test_json_gives_every_field_back_bit_for_bit(plan, layer):
    plan = replace(plan, layer=layer, clean_loss=torch.tensor(0.5))
    text = plan.to_json()
    again = MixPlan.from_json(text)
    assert type(again.way) is type(plan.way)
    assert again.clean_loss is None
    pairs = [(plan, again, field.name) for field in fields(MixPlan) if field.name not in ("way", "clean_loss")]
    for one, other, name in pairs + [(plan.way, again.way, field.name) for field in fields(plan.way)]:
        part, read = getattr(one, name), getattr(other, name)
        assert type(part) is type(read)
        if isinstance(part, Tensor):
            assert part.dtype == read.dtype
            assert part.numpy().tobytes() == read.numpy().tobytes()
        else:
            assert part == read
    assert again.to_json() == text
    assert "clean_loss" not in json.loads(text)
    json.dumps(json.loads(text), allow_nan=False)


@given(chosen=options)
@settings(max_examples=30, deadline=None)
def test_ordered_holds_the_same_mixes_of_each_pair_by_falling_lambda(chosen):
    plan = drawn(**(chosen | {"k": 3}))
    ordered = plan.ordered()
    assert torch.all(ordered.lam.diff(dim=0) <= 0)
    x = images(torch.float32, (plan.batch, 3, *chosen["size"]))
    free, sorted_mixes = (one.apply(x).view(3, plan.batch, -1) for one in (plan, ordered))
    for i in range(plan.batch):
        order = sorted(range(3), key=lambda k: -float(plan.lam[k, i]))  # stable, as equal λs must be
        assert torch.equal(sorted_mixes[:, i], free[order, i])
        assert torch.equal(ordered.lam[:, i], plan.lam[order, i])
        assert torch.equal(ordered.nominal[:, i], plan.nominal[order, i])
    assert torch.equal(ordered.partner, plan.partner)
    assert torch.equal(ordered.ordered().lam, ordered.lam)


@pytest.mark.parametrize(("dtype", "normalize"), [(torch.float32, None), (torch.uint8, (MEAN, STD))])
@pytest.mark.parametrize("how", ["mask", "shrunk", "blend", "box", "as is"])
def test_k_mixes_take_k_batches_and_chunks(monkeypatch, how, normalize, dtype):
    monkeypatch.setattr(blending, "_CHUNK_BYTES", 1 << 12)
    x = images(dtype, (32, 3, 16, 16))
    peaks = {}
    for k in (2, 5):
        plan = drawn(batch=32, k=k, size=(16, 16), how=how, levels="floats", grid=4, noisy=0.1)
        with Live() as live:
            out = plan.apply(x, normalize=normalize)
        masks = k * 32 * 16 * 16 if how == "box" else 0  # a byte for each pixel of each mix
        peaks[k] = live.peak - out.nbytes - masks
        assert live.now == out.nbytes  # the rest is gone
    assert peaks[5] < 4 * x.numel()  # K + 1 batches, where three tensors of K would be 3 K
    assert peaks[5] - peaks[2] <= 2 << 12  # two chunks


def test_one_small_box_for_all_is_pasted_in_chunks_of_whole_images(monkeypatch):
    monkeypatch.setattr(blending, "_CHUNK_BYTES", 1 << 12)
    x, lam = images(torch.uint8, (32, 3, 16, 16)), torch.full((1, 32), 255 / 256)
    box = torch.tensor([[[4, 4, 5, 5]]]).expand(1, 32, 4)
    plan = MixPlan("cutmix", torch.arange(32).roll(1), lam, lam, Boxes(box, (16, 16)), rolled=True)
    out = torch.empty(x.shape)
    with Live() as live:
        plan.apply(x, normalize=(MEAN, STD), out=out)
    assert live.peak <= 4 << 12  # one image in float32 is 3 KB, all of them are 98


def test_followed_by_autograd_k_mixes_still_take_fewer_than_three_times_k_batches():
    x = images(torch.float32, (32, 3, 16, 16))
    plan = drawn(batch=32, k=8, size=(16, 16), levels="floats")
    leaf = x.clone().requires_grad_()
    with Live() as live:
        plan.apply(leaf)
    assert live.peak < 3 * 8 * x.nbytes


def on(device: str, whole: MixPlan | Way) -> MixPlan | Way:
    """The same plan, or way, on another device."""
    parts = {field.name: getattr(whole, field.name) for field in fields(whole)}
    moved = {name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor)}
    ways = {name: on(device, part) for name, part in parts.items() if isinstance(part, Way)}
    return replace(whole, **moved, **ways)


@pytest.mark.parametrize("how", ["mask", "box", "shrunk", "blend", "as is"])
def test_where_values_cannot_be_read_nothing_tries_to(how):
    plan = drawn(how=how, levels="floats", grid=4, noisy=0.5)
    bare = on("meta", plan)
    x = images(torch.uint8, (3, 3, 8, 8)).to("meta")
    mixed = bare.apply(x, normalize=(MEAN, STD))
    assert (mixed.device.type, mixed.dtype, mixed.shape) == ("meta", torch.float32, (6, 3, 8, 8))
    assert bare.apply(x, out=torch.empty(6, 3, 8, 8, dtype=torch.uint8, device="meta")).dtype == torch.uint8
    if how != "blend":
        assert bare.apply(x[:, 0].long()).shape == (6, 8, 8)
    assert bare.ordered().lam.shape == (2, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("how", ["mask", "box", "shrunk", "blend"])
def test_on_cuda_it_mixes_as_on_the_cpu_and_never_syncs(how, dtype):
    plan = drawn(batch=16, how=how, grid=4, noisy=0.5)
    there = on("cuda", plan)
    x = images(dtype, (16, 3, 8, 8))
    far = x.cuda()
    scale = tuple(torch.tensor(part) for part in (MEAN, STD))
    there.apply(far, normalize=scale)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        plain = there.apply(far)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(plain.cpu(), plan.apply(x), rtol=1e-6, atol=1e-6 if dtype == torch.float32 else 1)
    normalized = there.apply(far, normalize=scale).cpu()
    torch.testing.assert_close(normalized, plan.apply(x, normalize=scale), rtol=1e-5, atol=1e-5)
