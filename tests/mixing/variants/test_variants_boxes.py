"""Where the boxes of SaliencyMix, ResizeMix and CutMix lie, and what they show, on images, signals and volumes."""

import itertools

import pytest
import torch
from scipy import stats
from seeding import seeded
from torch import Tensor, nn

from mixlab import Mixer, MixPlan


class Spot(nn.Module):
    """Looks at one pixel of each image, where the first channel is 1."""

    def forward(self, x: Tensor) -> Tensor:
        seen = (x[:, 0].detach() * x[:, 1]).sum((1, 2))
        return torch.stack([seen, -seen], 1)


def spotted(count: int = 40) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Images [count, 2, 12, 16], labels, and the one place that matters in each."""
    places = torch.randint(0, 12 * 16, (count,), generator=seeded(1)).tolist()
    x = torch.rand(count, 2, 12, 16, generator=seeded(2))
    x[:, 0] = 0
    spots = [divmod(place, 16) for place in places]
    for image, (row, column) in zip(x, spots, strict=True):
        image[0, row, column] = 1
    return x, torch.zeros(count, dtype=torch.int64), spots


@pytest.mark.parametrize("k", [1, 3])
def test_saliencymix_lays_cutmix_boxes_about_each_partners_peak(k: int) -> None:
    x, y, spots = spotted()
    plan = Mixer("saliencymix", k=k).plan(x, y, model=Spot(), generator=seeded())
    assert plan.way.size == (12, 16)
    for j, i in itertools.product(range(k), range(len(x))):
        row, column = spots[int(plan.partner[i])]
        cut = (1 - float(plan.nominal[j, i])) ** 0.5
        half_height, half_width = int(12 * cut) // 2, int(16 * cut) // 2
        top, bottom = max(0, row - half_height), min(12, row + half_height)
        left, right = max(0, column - half_width), min(16, column + half_width)
        assert plan.box[j, i].tolist() == [top, left, bottom, right]
        assert float(plan.lam[j, i]) == pytest.approx(1 - (bottom - top) * (right - left) / (12 * 16))
    assert plan.apply(x).shape == (k * len(x), 2, 12, 16)


def resized(**settings) -> MixPlan:
    return Mixer("resizemix", k=5, **settings).plan(torch.rand(400, 3, 20, 24), generator=seeded(4))


def test_resizemix_draws_sides_uniformly_and_alpha_has_no_part() -> None:
    plan = resized()
    assert plan.way.shrunk  # what this shows is in test_ways.py
    side = (1 - plan.nominal.double()).sqrt().flatten().numpy()
    assert stats.kstest(side, stats.uniform(0.1, 0.7).cdf).pvalue > 1e-6
    assert torch.equal(plan.box, resized(alpha=30.0).box)
    shared = resized(shared_lam=True)
    assert len(shared.nominal.unique()) == 5
    assert torch.equal(shared.box, shared.box[:, :1].expand(5, 400, 4))


@pytest.mark.parametrize("size", [(32, 32), (20, 24), (50,), (6, 20, 24)])
def test_resizemix_shifts_the_whole_partner_inside(size: tuple[int, ...]) -> None:
    x = torch.rand(2000, 1, *size, generator=seeded(3))
    plan = Mixer("resizemix").plan(x, generator=seeded(4))
    first, last = plan.box[0].chunk(2, -1)
    tau = (1 - plan.nominal[0].double()) ** (1 / len(size))
    assert bool(((first >= 0) & (last <= torch.tensor(size))).all())
    for axis, side in enumerate(size):
        lengths = (last - first)[:, axis]
        assert bool(((lengths <= tau * side + 1e-4) & (lengths > tau * side - 1 - 1e-4)).all())  # τ is known to float32
        center = torch.randint(0, side, (200_000,), generator=seeded(5))  # the authors' three clips, by torch's
        length = lengths[torch.randint(0, len(x), (200_000,), generator=seeded(6))]
        low = (center - length // 2).clamp(0, side)
        high = (low + length).clamp(0, side)
        assert stats.ks_2samp(first[:, axis].numpy(), (high - length).clamp(0, side).numpy()).pvalue > 1e-4
    torch.testing.assert_close(plan.lam[0], 1 - (last - first).prod(-1) / torch.tensor(size).prod())


def test_resizemix_keeps_what_its_authors_code_keeps() -> None:
    plan = Mixer("resizemix").plan(torch.rand(20_000, 1, 32, 32), generator=seeded(4))
    tau = torch.linspace(0.1, 0.8, 100_001, dtype=torch.float64)
    assert float(plan.lam.mean()) == pytest.approx(float((1 - ((32 * tau).floor() / 32).square()).mean()), abs=5e-3)


@pytest.mark.parametrize("variant", ["cutmix", "resizemix"])
@pytest.mark.parametrize("shape", [(60, 2, 40), (60, 2, 6, 7), (60, 2, 5, 6, 7)])
def test_a_cut_by_loops_on_signals_images_and_volumes(variant: str, shape: tuple[int, ...]) -> None:
    x, size = torch.rand(shape, generator=seeded(1)), shape[2:]
    plan = Mixer(variant, k=2).plan(x, generator=seeded(2))
    mixes = plan.apply(x).view(2, *shape)
    for k, i in itertools.product(range(2), range(len(x))):
        first, last = plan.box[k, i].chunk(2)
        expected = x[i].clone()
        for place in itertools.product(*(range(int(a), int(b)) for a, b in zip(first, last, strict=True))):
            source = place
            if variant == "resizemix":
                spans = zip(place, first.tolist(), last.tolist(), size, strict=True)
                source = tuple((p - a) * side // (b - a) for p, a, b, side in spans)
            expected[(slice(None), *place)] = x[(int(plan.partner[i]), slice(None), *source)]
        assert torch.equal(mixes[k, i], expected)
        assert float(plan.lam[k, i]) == pytest.approx(1 - int((last - first).prod()) / torch.tensor(size).prod().item())


@pytest.mark.parametrize("size", [(500,), (30, 30, 30)])
def test_a_cut_leaves_nominal_lambda_before_it_is_clipped(size: tuple[int, ...]) -> None:
    plan = Mixer("cutmix").plan(torch.zeros(400, 1, *size), generator=seeded(2))
    first, last = plan.box[0].chunk(2, -1)
    inside = ((first > 0) & (last < torch.tensor(size))).all(-1)
    assert int(inside.sum()) > 20
    gap = (plan.lam - plan.nominal)[0][inside]
    assert float(gap.abs().max()) < 2.5 * sum(2 / side for side in size)  # sides are cut to even numbers of pixels


def test_volumes_keep_their_layout_and_masks_are_cut_like_them() -> None:
    x = torch.rand(4, 3, 5, 6, 7, generator=seeded(1)).contiguous(memory_format=torch.channels_last_3d)
    plan = Mixer("cutmix").plan(x, generator=seeded(2))
    mixed = plan.apply(x)
    assert mixed.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(mixed, plan.apply(x.contiguous()))
    blended = Mixer("mixup").plan(x, generator=seeded(2))
    assert blended.apply(x).is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(blended.apply(x), blended.apply(x.contiguous()))
    masks = torch.randint(0, 9, (4, 5, 6, 7), generator=seeded(3))
    numbered = torch.arange(4).view(4, 1, 1, 1).expand_as(masks).contiguous()
    from_partner = plan.apply(numbered) != numbered
    assert torch.equal(plan.apply(masks), torch.where(from_partner, masks[plan.partner], masks))
    targets = torch.rand(4, 10, generator=seeded(4))
    lam = plan.lam[0][:, None]
    torch.testing.assert_close(plan.apply(targets), lam * targets + (1 - lam) * targets[plan.partner])
    assert torch.equal(MixPlan.from_json(plan.to_json()).apply(x), mixed)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_is_pasted_keeps_every_bit_infinite_or_not(layout, dtype, shared) -> None:
    odd = torch.tensor([0.0, -0.0, 1.0, torch.inf, -torch.inf, torch.nan, 1e-40, 3e38], dtype=dtype)
    x = odd[torch.randint(8, (6, 3, 8, 10), generator=seeded())].contiguous(memory_format=layout)
    plan = Mixer("cutmix", k=2, shared_lam=shared).plan(x, generator=seeded(3))
    mixed, bits = plan.apply(x).view(2, 6, 3, 8, 10), {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    for k, i in itertools.product(range(2), range(6)):
        top, left, bottom, right = plan.box[k, i].tolist()
        wanted = x[i].clone()
        wanted[:, top:bottom, left:right] = x[plan.partner[i], :, top:bottom, left:right]
        assert torch.equal(mixed[k, i].contiguous().view(bits), wanted.contiguous().view(bits))
