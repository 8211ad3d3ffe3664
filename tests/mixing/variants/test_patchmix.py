"""PatchMix: how many patches are kept, which ones, and what the mixes show, by loops."""

import itertools

import pytest
import torch
from refusals import refuses
from scipy import stats
from seeding import seeded

from mixlab import Mixer


@pytest.mark.parametrize(("size", "grid"), [((16, 24), 4), ((15, 10), 3), ((7, 9), 4), ((3, 3), 5)])
def test_patches_come_whole_and_lambda_is_the_share_of_pixels(size: tuple[int, int], grid: int) -> None:
    """A pixel lies in the patch that its center falls into; sizes that the grid does not divide included."""
    x = torch.rand(30, 2, *size, generator=seeded(1))
    plan = Mixer("patchmix", k=2, patches=grid).plan(x, generator=seeded(2))
    mixes = plan.apply(x).view(2, *x.shape)
    assert plan.mask.shape == (2, 30, grid, grid)
    for k, i in itertools.product(range(2), range(30)):
        lam, kept = float(plan.nominal[k, i]), int(plan.mask[k, i].sum())
        assert kept == grid**2 - round((1 - lam) * grid**2)
        own = 0
        for row, column in itertools.product(*map(range, size)):
            patch = tuple(int((place + 0.5) / side * grid) for place, side in zip((row, column), size, strict=True))
            mine = bool(plan.mask[(k, i, *patch)])
            own += mine
            source = i if mine else int(plan.partner[i])
            assert torch.equal(mixes[k, i, :, row, column], x[source, :, row, column])
        assert float(plan.lam[k, i]) == pytest.approx(own / (size[0] * size[1]), abs=1e-6)


def test_every_set_of_patches_of_a_size_is_equally_likely() -> None:
    plan = Mixer("patchmix", patches=2).plan(torch.rand(6000, 1, 4, 4), generator=seeded())
    masks = plan.mask[0].flatten(1)
    for kept, sets in ((1, 4), (2, 6), (3, 4)):
        numbers = (masks[masks.sum(1) == kept] * 2 ** torch.arange(4)).sum(1).long()
        counts = torch.unique(numbers, return_counts=True)[1]
        assert len(counts) == sets
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_the_batch_shares_its_patches_where_it_shares_lambda() -> None:
    mask = Mixer("patchmix", k=3, shared_lam=True).plan(torch.rand(9, 3, 8, 8), generator=seeded()).mask
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    refuses(lambda: Mixer("patchmix", patches=1), ValueError, "patches", "at least 2", "got 1")
