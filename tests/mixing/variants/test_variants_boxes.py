"""SaliencyMix and ResizeMix: where their boxes lie, and what they show, against loops."""

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
