"""Cells against loops over rows, draws against scipy, and how often the intervals of binned metrics hold the truth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from mixlab.calibration.bins import binned, fill_cells, mass_edges, width_edges
from mixlab.calibration.bootstrap import EXACT_BELOW, Binomials, Resampler, binned_intervals, invert
from mixlab.calibration.intervals import normal_interval, tails_of

F64 = torch.float64
METRICS = (
    "l1",
    "l2",
    "max",
    "l1 debiased",
    "l2 debiased",
    "overconfidence",
    "underconfidence",
    "reliability",
    "resolution",
)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_confidence_on_an_edge_is_in_the_bin_below_and_the_ends_are_in_a_bin(dtype):
    conf = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], dtype=dtype).double()
    cells = fill_cells(conf, torch.ones(6, dtype=torch.bool), width_edges(5, dtype))
    assert cells[:, 1, 0].tolist() == [2, 1, 1, 1, 1]
    assert not cells[:, 0].any()


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    n_bins=st.integers(1, 20),
    seed=st.integers(0, 1000),
    mass=st.booleans(),
)
def test_cells_are_what_a_loop_counts(steps, n_bins, seed, mass):
    conf = torch.tensor(steps, dtype=F64) / 12
    correct = torch.rand(len(steps), generator=torch.Generator().manual_seed(seed)) < 0.5
    edges = mass_edges(conf, n_bins) if mass else width_edges(n_bins, F64)
    expected = np.zeros((n_bins, 2, 3))
    for c, right in zip(conf.tolist(), correct.tolist(), strict=True):
        i = sum(c > edge for edge in edges.tolist())
        expected[i, int(right)] += (1, c, c * c)
    np.testing.assert_allclose(fill_cells(conf, correct, edges), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "n_bins"), [(1500, 15), (1000, 15), (7, 15), (1, 4), (100, 1)])
def test_bins_of_equal_mass_hold_equal_counts(n, n_bins):
    conf = torch.rand(n, generator=torch.Generator().manual_seed(n), dtype=F64)
    count = fill_cells(conf, conf > 2, mass_edges(conf, n_bins))[..., 0].sum(1)
    assert count.sum() == n
    assert set(count.tolist()) <= {n // n_bins, -(-n // n_bins)}


def test_equal_confidences_share_a_bin_and_leave_others_empty():
    conf = torch.tensor([0.3] * 7 + [0.9] * 2 + [0.95], dtype=F64)
    cells = fill_cells(conf, conf > 0.5, mass_edges(conf, 5))
    assert cells[..., 0].sum(1).tolist() == [7, 0, 0, 2, 1]


@pytest.mark.parametrize(("count", "share"), [(25, 0.5), (100, 0.12), (700, 0.03), (700, 0.9), (5000, 0.5), (30, 0.1)])
def test_binomial_draws_have_the_law_of_scipys(count, share):
    """Distribution functions of 200,000 draws: within 0.002 of the expansion and 4.5 standard errors."""
    n = 200_000
    generator = torch.Generator().manual_seed(count)
    scores = torch.randn(1, n, dtype=F64, generator=generator)
    draws = Binomials(torch.full((1, n), float(count), dtype=F64), scores, generator).draw(
        torch.tensor([share]).double()
    )
    k = np.arange(count + 1)
    seen = np.searchsorted(np.sort(draws[0].numpy()), k, side="right") / n
    law = stats.binom.cdf(k, count, share)
    allowed = 4.5 * np.sqrt(law * (1 - law) / n) + (0.002 if count * min(share, 1 - share) >= EXACT_BELOW else 0) + 1e-9
    # 5 draws of slack where the standard error says too little, in the far tails
    assert (np.abs(seen - law) <= allowed + 5 / n).all()


def test_certain_shares_draw_no_noise():
    count = torch.full((2, 500), 40.0, dtype=F64)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 500, dtype=F64, generator=generator)
    draws = Binomials(count, scores, generator).draw(torch.tensor([0.0, 1.0], dtype=F64))
    assert (draws[0] == 0).all()
    assert (draws[1] == 40).all()


def world(n: int, seed: int, shift: float = 0.1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    conf = 1 - 0.9 * torch.rand(n, generator=g, dtype=F64) ** 3
    return fill_cells(conf, torch.rand(n, generator=g, dtype=F64) < conf - shift, width_edges(15, F64))


def test_resamples_hold_as_many_rows_as_the_data():
    sampler = Resampler(world(700, 0), 300, torch.Generator().manual_seed(0))
    count, conf, right = sampler.answers(sampler.share)
    assert (count.sum(0) == 700).all()
    assert ((right >= 0) & (right <= count) & (conf <= count * 1.1)).all()


def test_worlds_go_from_no_error_to_the_error_seen():
    cells = world(2000, 1)
    sampler = Resampler(cells, 100, torch.Generator().manual_seed(0))
    for family, metric in (("gap", "l1"), ("cut", "max"), ("flat", "resolution")):
        truth = sampler.truth(lambda *cells, metric=metric: binned(metric, *cells), sampler.worlds(family))
        seen = float(binned(metric, cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]))
        steps = torch.linspace(0, seen**0.5 if family == "flat" else seen, 5, dtype=F64)
        torch.testing.assert_close(truth, steps.square() if family == "flat" else steps, atol=1e-9, rtol=1e-9)


def test_inverting_a_shift_gives_the_textbook_interval():
    """Draws of truth + N(0, 0.1): the ends are estimate -+ 1.96 * 0.1, within 5 standard errors of 100,000 draws."""
    truth = torch.linspace(0, 1, 5, dtype=F64)
    noise = 0.1 * torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=F64)
    low, high = invert(0.6, truth, truth[:, None] + noise, tails_of(0.95))
    assert low == pytest.approx(0.6 - 0.196, abs=0.005)
    assert high == pytest.approx(0.6 + 0.196, abs=0.005)
    assert invert(0.1, truth, truth[:, None] + noise, tails_of(0.95))[0] == 0


def test_normal_interval_is_scipys():
    values = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=F64)
    count = torch.tensor(500.0, dtype=F64)
    found = normal_interval(count, values.sum(), values.square().sum(), tails_of(0.9))
    expected = stats.norm.interval(0.9, values.mean(), values.std(correction=0) / 500**0.5)
    assert found == pytest.approx(expected)


def test_metrics_asked_together_are_those_asked_alone():
    cells, tails = world(2000, 2), tails_of(0.95)
    together = binned_intervals(cells, METRICS, 200, tails, torch.Generator().manual_seed(0))
    assert tuple(together) == METRICS
    for metric in ("l1", "l2", "reliability"):
        alone = binned_intervals(cells, [metric], 200, tails, torch.Generator().manual_seed(0))
        # the exact draws of small bins come in another order
        assert alone[metric] == pytest.approx(together[metric], abs=0.01)
    assert together["l2"] == pytest.approx([end**0.5 for end in together["reliability"]])


GRID = 100_000
TRUTHS = {"l1 debiased": "l1", "l2 debiased": "l2"}


@pytest.mark.parametrize("bins", ["width", "mass"])
@pytest.mark.parametrize(("n", "shift"), [(500, 0.0), (2000, 0.0), (2000, 0.1), (2000, -0.05)])
def test_intervals_hold_the_metric_of_the_population_in_these_bins(bins, n, shift):
    """At least 0.95 less 4 standard errors of 60 samples (0.028 each), for each of nine metrics."""
    repeats, g = 60, torch.Generator().manual_seed(n)
    grid = (1 - 0.9 * ((torch.arange(GRID, dtype=F64) + 0.5) / GRID) ** 3).flip(0)
    sums = torch.stack([torch.ones_like(grid), grid, (grid - shift).clamp(0, 1)]).cumsum(1)
    sums = torch.cat([torch.zeros(3, 1, dtype=F64), sums], 1)
    held = dict.fromkeys(METRICS, 0)
    for _ in range(repeats):
        conf = 1 - 0.9 * torch.rand(n, generator=g, dtype=F64) ** 3
        correct = torch.rand(n, generator=g, dtype=F64) < conf - shift
        edges = width_edges(15, F64) if bins == "width" else mass_edges(conf, 15)
        ends = torch.tensor([0, *torch.searchsorted(grid, edges, right=True).tolist(), GRID])
        population = sums[:, ends].diff(dim=1)
        found = binned_intervals(fill_cells(conf, correct, edges), METRICS, 150, tails_of(0.95), g)
        for metric, (low, high) in found.items():
            held[metric] += low - 1e-9 <= float(binned(TRUTHS.get(metric, metric), *population)) <= high + 1e-9
    assert min(held.values()) / repeats >= 0.95 - 4 * (0.95 * 0.05 / repeats) ** 0.5, held
