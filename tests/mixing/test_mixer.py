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

from mixlab import Mixer, MixPlan
from mixlab.mixing import PARTNERS
from mixlab.mixing.variants import KINDS
from mixlab.mixing.ways import Boxes

SEED = 0
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


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 9),
    k=st.integers(1, 5),
    variant=st.sampled_from(SIMPLE),
    partners=st.sampled_from(list(PARTNERS)),
    shared_lam=st.booleans(),
    ordered=st.booleans(),
    distinct=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.uint8, torch.bfloat16]),
)
@settings(max_examples=80, deadline=None)
def test_every_mixer_keeps_its_promises(seed, n, k, variant, partners, shared_lam, ordered, distinct, dtype):
    if distinct and partners == "reversed":
        n += n % 2
    x, y = batch(n, seed=seed)
    x = (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
    x_before, y_before = x.clone(), y.clone()
    mixer = Mixer(variant, 0.5, k, shared_lam=shared_lam, ordered=ordered, partners=partners, distinct=distinct)
    mixed = mixer(x, y, generator=seeded(seed))
    plan, k = mixed.plan, mixer.kind.rows(k)

    assert torch.equal(x, x_before)
    assert torch.equal(y, y_before)
    assert x._version == 0
    assert mixed.x.shape == (k * n, 3, 10, 12)
    assert (mixed.x.dtype, mixed.lam.dtype, mixed.y_a.dtype, mixed.y_b.dtype) == (
        dtype,
        torch.float32,
        torch.int64,
        torch.int64,
    )
    assert torch.equal(mixed.x, plan.apply(x))
    # k-major: the whole batch for the first λ, then for the second
    assert torch.equal(mixed.y_a.view(k, n), y.expand(k, n))
    assert torch.equal(mixed.y_b.view(k, n), y[plan.partner].expand(k, n))
    assert torch.equal(mixed.lam.view(k, n), plan.lam)
    assert torch.equal(plan.partner.sort().values, torch.arange(n))  # everyone is a partner once

    if variant == "none":
        assert torch.equal(plan.lam, torch.ones(k, n))
        return
    if distinct:
        assert not torch.any(plan.partner == torch.arange(n))
    if partners == "roll":
        assert torch.equal(plan.partner, torch.arange(n).roll(1))
        assert plan.rolled
    if partners == "reversed":
        assert torch.equal(plan.partner, torch.arange(n).flip(0))
    if shared_lam:
        assert torch.equal(plan.lam, plan.lam[:, :1].expand(k, n))
    if ordered:
        assert torch.all(plan.lam.diff(dim=0) <= 0)
    if variant == "mixup":
        assert torch.equal(plan.lam, plan.nominal)
    again = mixer(x, y, generator=seeded(seed))
    assert torch.equal(again.x, mixed.x)


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
    for row, place in zip(seen, range(n), strict=True):
        others = row[torch.arange(n) != place]
        assert n == 2 or chi_square(others) > LEVEL


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
    targets = mixed.targets(12)
    rows = 16 * KINDS[variant].rows(3)
    expected = np.zeros((rows, 12))
    for row in range(rows):
        expected[row, int(mixed.y_a[row])] += float(mixed.lam[row])
        expected[row, int(mixed.y_b[row])] += 1 - float(mixed.lam[row])
    assert (targets.dtype, targets.shape) == (torch.float32, (rows, 12))
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-7)
    torch.testing.assert_close(targets.sum(1), torch.ones(rows))


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_mixup_is_torchvisions_and_the_textbooks(lam):
    x, y = batch(8)
    peer = v2.MixUp(num_classes=10)
    peer._dist = SimpleNamespace(sample=lambda *_: torch.tensor(lam, dtype=torch.float64))
    their_x, their_y = peer(x, y)

    weights = torch.full((1, 8), lam)
    plan = MixPlan("mixup", torch.arange(8).roll(1), weights, weights, rolled=True)
    torch.testing.assert_close(plan.apply(x), their_x, rtol=1e-6, atol=1e-6)
    textbook = lam * x + (1 - lam) * x[plan.partner]
    torch.testing.assert_close(plan.apply(x), textbook, rtol=1e-6, atol=1e-6)
    targets = plan.apply(torch.nn.functional.one_hot(y, 10).float())
    torch.testing.assert_close(targets, their_y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_cutmix_is_torchvisions(lam):
    x, y = batch(8)
    peer = v2.CutMix(num_classes=10)
    peer._dist = SimpleNamespace(sample=lambda *_: torch.tensor(lam, dtype=torch.float64))
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        chosen = peer.make_params([x])
        torch.manual_seed(SEED)
        their_x, their_y = peer(x, y)

    left, top, right, bottom = chosen["box"]
    assert (top, left, bottom, right) in {official_box(lam, (10, 12), (r, c)) for r in range(10) for c in range(12)}
    plan = MixPlan(
        "cutmix",
        torch.arange(8).roll(1),
        torch.full((1, 8), chosen["lam_adjusted"]),
        torch.full((1, 8), lam),
        Boxes(torch.tensor([top, left, bottom, right]).expand(1, 8, 4), (10, 12)),
        rolled=True,
    )
    assert torch.equal(plan.apply(x), their_x)
    targets = plan.apply(torch.nn.functional.one_hot(y, 10).float())
    torch.testing.assert_close(targets, their_y, rtol=1e-6, atol=1e-6)


def test_a_default_dtype_of_the_user_changes_nothing():
    x, _ = batch()
    before = [Mixer(variant, k=2).plan(x, generator=seeded()) for variant in SIMPLE]
    torch.set_default_dtype(torch.float64)
    try:
        after = [Mixer(variant, k=2).plan(x, generator=seeded()) for variant in SIMPLE]
    finally:
        torch.set_default_dtype(torch.float32)
    assert [plan.to_json() for plan in before] == [plan.to_json() for plan in after]
    assert all(plan.lam.dtype == torch.float32 for plan in after)


@pytest.mark.parametrize("variant", KINDS)
def test_its_settings_make_it_again(variant):
    mixer = Mixer(variant, 0.3, 4, shared_lam=True, ordered=True, partners="reversed", distinct=True)
    again = Mixer(variant, **mixer.settings)
    assert (repr(again), again.settings, again.kind) == (repr(mixer), mixer.settings, mixer.kind)
    assert eval(repr(mixer)).settings == mixer.settings  # the repr is Python
    assert list(mixer.settings)[:6] == ["alpha", "k", "shared_lam", "ordered", "partners", "distinct"]
