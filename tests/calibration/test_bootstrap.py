"""Draws against scipy and a bootstrap of the rows themselves, and how often the intervals hold the truth."""

import math

import numpy as np
import pytest
import torch
from drawn_predictions import sample
from scipy import stats
from seeding import seeded
from torch import Tensor

from mixlab.calibration.bins import METRICS, ROOTS, binned, fill_cells, mass_edges, width_edges
from mixlab.calibration.bootstrap import EXACT_BELOW, Binomials, Resampler, binned_intervals, invert
from mixlab.calibration.calibration_error import calibration_error, cells_of
from mixlab.calibration.estimators import estimate
from mixlab.calibration.intervals import tails_of

F64 = torch.float64
NAMES = tuple(name for name in (*METRICS, *ROOTS) if name != "accuracy")


@pytest.mark.parametrize(
    ("count", "share"), [(25, 0.5), (100, 0.12), (700, 0.03), (700, 0.9), (5000, 0.5), (30, 0.1), (40, 0.0), (40, 1.0)]
)
def test_binomial_draws_have_the_law_of_scipys(count, share):
    """Distribution functions of 200,000 draws: within 0.002 of the expansion and 4.5 standard errors."""
    n = 200_000
    generator = seeded(count)
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


def world(n: int, seed: int, shift: float = 0.1) -> Tensor:
    g = seeded(seed)
    conf = 1 - 0.9 * torch.rand(n, generator=g, dtype=F64) ** 3
    return fill_cells(conf, torch.rand(n, generator=g, dtype=F64) < conf - shift, width_edges(15, F64))


def test_resamples_hold_as_many_rows_as_the_data():
    sampler = Resampler(world(700, 0), 300, seeded())
    count, conf, right = sampler.answers(sampler.share)
    assert (count.sum(0) == 700).all()
    assert ((right >= 0) & (right <= count) & (conf <= count * 1.1)).all()


def test_worlds_go_from_no_error_to_the_error_seen():
    cells = world(2000, 1)
    sampler = Resampler(cells, 100, seeded())
    for family, metric in (("gap", "l1"), ("cut", "max"), ("flat", "resolution")):
        truth = sampler.truth(lambda *cells, metric=metric: binned(metric, *cells), sampler.worlds(family))
        seen = float(binned(metric, cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]))
        steps = torch.linspace(0, seen**0.5 if family == "flat" else seen, 5, dtype=F64)
        torch.testing.assert_close(truth, steps.square() if family == "flat" else steps, atol=1e-9, rtol=1e-9)


def test_inverting_a_shift_gives_the_textbook_interval():
    """Draws of truth + N(0, 0.1): the ends are estimate -+ 1.96 * 0.1, within 5 standard errors of 100,000 draws."""
    truth = torch.linspace(0, 1, 5, dtype=F64)
    noise = 0.1 * torch.randn(100_000, generator=seeded(), dtype=F64)
    low, high = invert(0.6, truth, truth[:, None] + noise, tails_of(0.95))
    assert low == pytest.approx(0.6 - 0.196, abs=0.005)
    assert high == pytest.approx(0.6 + 0.196, abs=0.005)
    assert invert(0.1, truth, truth[:, None] + noise, tails_of(0.95))[0] == 0


def test_metrics_asked_together_are_those_asked_alone():
    cells, tails = world(2000, 2), tails_of(0.95)
    together = binned_intervals(cells, NAMES, 200, tails, seeded())
    assert tuple(together) == NAMES
    for metric in ("l1", "l2", "reliability"):
        alone = binned_intervals(cells, [metric], 200, tails, seeded())
        # the exact draws of small bins come in another order
        assert alone[metric] == pytest.approx(together[metric], abs=0.01)
    assert together["l2"] == pytest.approx([end**0.5 for end in together["reliability"]])


@pytest.mark.parametrize(("n", "sharpness", "n_bins"), [(500, 1.0, 15), (2000, 2.0, 10), (1000, 1.5, 1)])
def test_resamples_agree_with_resampling_the_rows(n, sharpness, n_bins):
    """Quantiles of every binned metric, within 5 standard errors of 2,000 + 8,000 resamples."""
    p = sample(n, 5, sharpness, seed=n)
    rows = torch.stack([torch.ones(n, dtype=F64), p.confidence, p.correct.double()], 1)
    where = torch.bucketize(p.confidence, torch.arange(1, n_bins, dtype=F64) / n_bins)
    indicator = torch.nn.functional.one_hot(where, n_bins).double()
    # how often each row is drawn: bootstrap weights
    drawn = torch.from_numpy(np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=2000)).double()
    by_row = [(drawn @ (indicator * rows[:, i : i + 1])).T for i in range(3)]  # each [n_bins, 2000]
    sampler = Resampler(cells_of(p, "width", n_bins), 8000, seeded(1))
    ours = sampler.answers(sampler.share)
    for metric in ("accuracy", "l1", "max", "overconfidence", "underconfidence"):
        a, b = binned(metric, *by_row), binned(metric, *ours)
        spread = float(a.std())
        for q in (0.025, 0.25, 0.5, 0.75, 0.975):
            error = spread * math.sqrt(q * (1 - q) * (1 / 2000 + 1 / 8000)) / stats.norm.pdf(stats.norm.ppf(q))
            # a metric that is skewed or nearly discrete is less dense than the normal: allow for twice the error
            assert float(a.quantile(q)) == pytest.approx(float(b.quantile(q)), abs=2 * 5 * error + 1e-9), (metric, q)
        # standard error of a standard deviation, from the fourth moment: rare events make it large
        fourth = float(((a - a.mean()) ** 4).mean()) / max(spread, 1e-12) ** 4
        assert float(b.std()) == pytest.approx(spread, rel=5 * math.sqrt(fourth / 4 / 2000), abs=1e-9), metric


def test_the_high_end_is_the_percentile_less_the_bias_of_resampling():
    """The ECE of a calibrated model, against 2,000 resamples of its rows; their bias is far beyond what is allowed."""
    p = sample(1000, 5, 1.0, seed=0)
    gap, cell = (p.confidence - p.correct.double()).numpy(), np.ceil(p.confidence.numpy() * 15).astype(int) - 1
    resamples = np.random.default_rng(0).integers(1000, size=(2000, 1000))
    values = np.array([np.abs(np.bincount(cell[rows], gap[rows], 15)).sum() / 1000 for rows in resamples])
    ece, allowed = calibration_error(p), 0.3 * values.std()  # 5 standard errors of a 2.5% quantile of 2,000 draws
    assert values.mean() - ece > 2 * allowed
    expected = ece + np.quantile(values, 0.975) - values.mean()
    assert estimate(p, "ece", n=8000).high == pytest.approx(expected, abs=allowed)


GRID = 100_000


@pytest.mark.parametrize(
    ("bins", "n", "shift", "n_bins"),
    [
        ("width", 500, 0.0, 15),
        ("width", 500, 0.02, 1),
        ("width", 2000, 0.1, 15),
        ("width", 2000, -0.05, 15),
        ("width", 10_000, 0.02, 15),
        ("mass", 500, 0.0, 15),
        ("mass", 2000, 0.1, 15),
    ],
)
def test_intervals_hold_the_metric_of_the_population_in_these_bins(bins, n, shift, n_bins):
    """At least 0.95 less 4 standard errors of 60 samples (0.028 each), for every metric; shift is conf - acc."""
    repeats, g = 60, seeded(n)
    grid = (1 - 0.9 * ((torch.arange(GRID, dtype=F64) + 0.5) / GRID) ** 3).flip(0)
    sums = torch.stack([torch.ones_like(grid), grid, (grid - shift).clamp(0, 1)]).cumsum(1)
    sums = torch.cat([torch.zeros(3, 1, dtype=F64), sums], 1)
    held = dict.fromkeys(NAMES, 0)
    for _ in range(repeats):
        conf = 1 - 0.9 * torch.rand(n, generator=g, dtype=F64) ** 3
        correct = torch.rand(n, generator=g, dtype=F64) < conf - shift
        edges = width_edges(n_bins, F64) if bins == "width" else mass_edges(conf, n_bins)
        ends = torch.tensor([0, *torch.searchsorted(grid, edges, right=True).tolist(), GRID])
        population = sums[:, ends].diff(dim=1)
        intervals = binned_intervals(fill_cells(conf, correct, edges), NAMES, 150, tails_of(0.95), g)
        for metric, (low, high) in intervals.items():
            held[metric] += low - 1e-9 <= float(binned(metric.removesuffix(" debiased"), *population)) <= high + 1e-9
    assert min(held.values()) / repeats >= 0.95 - 4 * (0.95 * 0.05 / repeats) ** 0.5, held
