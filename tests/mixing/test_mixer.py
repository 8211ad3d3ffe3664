"""Mixer: who with whom, by how much and where, against the papers' own rules and against torchvision."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seeding import seeded
from torch import Tensor
from torchvision.transforms import v2

from mixlab import Mixer, MixPlan, sample_lambda
from mixlab.mixing.variants import KINDS
from mixlab.mixing.ways import Blend, Boxes

SIMPLE = [
    name
    for name, kind in KINDS.items()
    if kind.two_labels and not (kind.needs_model or kind.mixes_inside or kind.decouples)
]
LEVEL = 1e-6  # of every statistical test here; about 40 of them, so one seed in 25,000 fails by chance


def batch(n: int = 8, size=(10, 12), seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = seeded(seed)
    return torch.rand(n, 3, *size, generator=generator), torch.randint(0, 10, (n,), generator=generator)


def chi_square(count: Tensor) -> float:
    return float(stats.chisquare(count.double().numpy()).pvalue)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 8.0])
@pytest.mark.parametrize("variant", ["mixup", "cutmix"])
def test_nominal_lambda_has_the_law_for_each_pair_and_each_of_k(variant, alpha):
    plan = Mixer(variant, alpha, 4).plan(torch.empty(10_000, 1, 4, 4), generator=seeded())
    for k in range(4):
        lam = plan.nominal[k].double()
        low = lam[lam < 0.5].numpy()  # above, float32 rounds to 1
        assert stats.kstest(low, lambda q: 2 * stats.beta.cdf(q, alpha, alpha)).pvalue > LEVEL
        assert stats.binomtest(len(low), 10_000, 0.5).pvalue > LEVEL
    independent = np.corrcoef(plan.nominal.numpy())[np.triu_indices(4, 1)]
    assert np.abs(independent).max() < 5 / math.sqrt(10_000)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_distinct_partners_are_uniform_over_all_others(n):
    generator, mixer, x = seeded(), Mixer("mixup", distinct=True), torch.empty(n, 1)
    seen = torch.zeros(n, n)
    for _ in range(1500):
        seen[torch.arange(n), mixer.plan(x, generator=generator).partner] += 1
    assert torch.all(seen.diagonal() == 0)
    for place, row in enumerate(seen):
        assert n == 2 or chi_square(row[torch.arange(n) != place]) > LEVEL


def official_box(lam: float, size: tuple[int, int], center: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rule of the CutMix authors' train.py, for one box, in numpy."""
    cut = float(torch.tensor(1.0 - lam, dtype=torch.float64).sqrt())  # for λ near 1e-16 numpy's root is an ulp less
    low, high = [], []
    for side, middle in zip(size, center, strict=True):
        half = int(side * cut) // 2
        low.append(int(np.clip(middle - half, 0, side)))
        high.append(int(np.clip(middle + half, 0, side)))
    return (*low, *high)


@given(
    seed=st.integers(0, 2**31),
    alpha=st.sampled_from([0.05, 0.5, 1.0, 4.0, 1e6]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shared=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_each_box_is_one_of_the_official_rules_boxes_and_lambda_is_counted(seed, alpha, size, shared):
    n, k = 4, 2
    x = torch.arange(float(n)).view(n, 1, 1, 1).expand(n, 1, *size)
    plan = Mixer("cutmix", alpha, k, shared_lam=shared, distinct=True).plan(x, generator=seeded(seed))
    mixed = plan.apply(x).view(k, n, *size)
    for j in range(k):
        for i in range(n):
            lam = float(plan.nominal[j, i])
            allowed = {official_box(lam, size, (row, col)) for row in range(size[0]) for col in range(size[1])}
            assert tuple(plan.box[j, i].tolist()) in allowed
            kept = int((mixed[j, i] == i).sum())
            assert float(plan.lam[j, i]) == np.float32(kept / (size[0] * size[1]))
    if shared:
        assert torch.equal(plan.box, plan.box[:, :1].expand_as(plan.box))


def test_box_centers_are_uniform_over_the_pixels():
    # with α = 1e6 every side is int(8 √½) = 5, so each center gives another box
    plan = Mixer("cutmix", 1e6).plan(torch.empty(20_000, 1, 8, 8), generator=seeded())
    place = {official_box(0.5, (8, 8), (row, col)): (row, col) for row in range(8) for col in range(8)}
    assert len(place) == 64
    seen = torch.zeros(8, 8)
    for box in plan.box[0].tolist():
        seen[place[tuple(box)]] += 1
    assert chi_square(seen.flatten()) > LEVEL


@pytest.mark.parametrize("variant", SIMPLE)
def test_soft_targets_are_the_weighted_one_hots(variant):
    x, y = batch(16)
    mixed = Mixer(variant, 1.0, 3)(x, y, generator=seeded())
    targets, lam = mixed.targets(12), mixed.lam.double().numpy()[:, None]
    expected = lam * np.eye(12)[mixed.y_a] + (1 - lam) * np.eye(12)[mixed.y_b]
    assert (targets.dtype, targets.shape) == (torch.float32, (16 * mixed.plan.k, 12))
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 0.73, 1.0])
@pytest.mark.parametrize("variant", ["mixup", "cutmix"])
def test_a_plan_mixes_as_torchvision_does(variant, lam):
    x, y = batch(8)
    peer = (v2.MixUp if variant == "mixup" else v2.CutMix)(num_classes=10)
    peer._dist = SimpleNamespace(sample=lambda *_: torch.tensor(lam, dtype=torch.float64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chosen = peer.make_params([x])
        torch.manual_seed(0)
        their_x, their_y = peer(x, y)
    way, label = Blend(), lam
    if variant == "cutmix":
        left, top, right, bottom = chosen["box"]
        assert (top, left, bottom, right) in {official_box(lam, (10, 12), (r, c)) for r in range(10) for c in range(12)}
        way = Boxes(torch.tensor([top, left, bottom, right]).expand(1, 8, 4), (10, 12))
        label = chosen["lam_adjusted"]
    nominal, weights = torch.full((1, 8), lam), torch.full((1, 8), label)
    plan = MixPlan(variant, torch.arange(8).roll(1), weights, nominal, way, rolled=True)
    torch.testing.assert_close(plan.apply(x), their_x, rtol=1e-6, atol=1e-6 if variant == "mixup" else 0)
    torch.testing.assert_close(plan.targets(y, 10), their_y, rtol=1e-6, atol=1e-6)


def test_a_default_dtype_or_device_of_the_user_changes_nothing():
    x, _ = batch()
    before = [Mixer(variant, k=2).plan(x, generator=seeded()) for variant in SIMPLE]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            new = sample_lambda(0.1234, 5, generator=seeded())  # no table of this α was made before
            after = [Mixer(variant, k=2).plan(x, generator=seeded()) for variant in SIMPLE]
    finally:
        torch.set_default_dtype(torch.float32)
    assert [plan.to_json() for plan in before] == [plan.to_json() for plan in after]
    assert all(plan.lam.dtype == torch.float32 for plan in after)
    assert torch.equal(new, sample_lambda(0.1234, 5, generator=seeded()))


@pytest.mark.parametrize("variant", KINDS)
def test_its_settings_make_it_again(variant):
    options = {"shared_lam": True, "ordered": True, "partners": "reversed", "distinct": True, "probability": 0.25}
    mixer = Mixer(variant, 0.12345678, 4, **options)
    again = Mixer(variant, **mixer.settings)
    assert (repr(again), again.settings, again.kind) == (repr(mixer), mixer.settings, mixer.kind)
    assert eval(repr(mixer)).settings == mixer.settings  # the repr is Python
    assert list(mixer.settings)[:7] == ["alpha", "k", *options]
