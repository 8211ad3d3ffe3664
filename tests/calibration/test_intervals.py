"""Intervals against scipy, a bootstrap of the rows themselves, and how often they hold the truth."""

import math
import re

import numpy as np
import pytest
import torch
from drawn_predictions import sample
from scipy import stats
from torch import Tensor

import mixlab as mx
from mixlab.calibration.bins import binned
from mixlab.calibration.bootstrap import Resampler, binned_intervals
from mixlab.calibration.reliability import BINNED, METRICS, Reliability


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_is_scipys(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    found = mx.mean_interval(values.tolist(), level)
    low, high = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert (found.n, found.level) == (n, level)


def test_mean_interval_covers_as_often_as_it_says() -> None:
    """n = 4,000 intervals of 3 normal values: 95% within 4.5 standard errors."""
    draws = np.random.default_rng(0).normal(0, 1, (4000, 3))
    hits = sum(found.low <= 0 <= found.high for found in (mx.mean_interval(row) for row in draws.tolist()))
    assert abs(hits / 4000 - 0.95) < 4.5 * (0.95 * 0.05 / 4000) ** 0.5


def test_mean_interval_reads_as_a_sentence() -> None:
    assert str(mx.mean_interval([1, 2, 3])) == "2.000 [-0.484, 4.484] (95%, n = 3)"


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([1.0], 0.95, "values must hold at least two numbers, got 1"),
        ([1.0, float("nan")], 0.95, "values must be a finite number, got nan"),
        (["a", 1], 0.95, "values must be a finite number, got 'a'"),
        ([1, 2], 95, "level must be a number from 0.5 to 0.999, got 95"),
    ],
)
def test_mean_interval_refuses(values: list[float], level: float, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        mx.mean_interval(values, level)


@pytest.mark.parametrize(
    ("n", "sharpness", "n_bins"), [(500, 1.0, 15), (2000, 2.0, 10), (4000, 0.5, 15), (1000, 1.5, 1)]
)
def test_resamples_agree_with_resampling_the_rows(n, sharpness, n_bins):
    """Quantiles of every binned metric, within 5 standard errors of 2,000 + 8,000 resamples."""
    probs, labels = sample(n, 5, sharpness, seed=n)
    top, answer = probs.max(1)
    edges = torch.arange(1, n_bins, dtype=torch.float64) / n_bins
    rows = torch.stack([torch.ones(n, dtype=torch.float64), top, (answer == labels).double()], 1)
    indicator = torch.nn.functional.one_hot(torch.bucketize(top, edges), n_bins).double()
    g = torch.Generator().manual_seed(1)
    # how often each row is drawn: bootstrap weights
    drawn = torch.from_numpy(np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=2000)).double()
    by_row = [(drawn @ (indicator * rows[:, i : i + 1])).T for i in range(3)]  # each [n_bins, 2000]
    cells, _ = Reliability(n_bins).update(probs, labels)._read()
    sampler = Resampler(cells, 8000, g)
    ours = sampler.answers(sampler.share)
    for metric in ("accuracy", "ece", "mce", "overconfidence", "underconfidence"):
        a, b = binned(BINNED[metric], *by_row), binned(BINNED[metric], *ours)
        spread = float(a.std())
        for q in (0.025, 0.25, 0.5, 0.75, 0.975):
            density = torch.distributions.Normal(0.0, 1.0).log_prob(torch.special.ndtri(torch.tensor(q))).exp()
            error = spread * math.sqrt(q * (1 - q) * (1 / 2000 + 1 / 8000)) / float(density)
            # a metric that is skewed or nearly discrete is less dense than the normal: allow for twice the error
            assert float(a.quantile(q)) == pytest.approx(float(b.quantile(q)), abs=2 * 5 * error + 1e-9), (metric, q)
        # standard error of a standard deviation, from the fourth moment: rare events make it large
        fourth = float(((a - a.mean()) ** 4).mean()) / max(spread, 1e-12) ** 4
        assert float(b.std()) == pytest.approx(spread, rel=5 * math.sqrt(fourth / 4 / 2000), abs=1e-9), metric


@pytest.mark.parametrize("metric", ["nll", "brier"])
def test_intervals_of_means_agree_with_resampling_the_rows(metric):
    probs, labels = sample(3000, 5, 1.5, seed=0)
    p_true = probs.gather(1, labels[:, None])[:, 0]
    onehot = torch.nn.functional.one_hot(labels, 5)
    values = -p_true.log() if metric == "nll" else (probs - onehot).square().sum(1)
    g = torch.Generator().manual_seed(0)
    draws = values[torch.randint(3000, (2000, 3000), generator=g)].mean(1)
    expected = draws.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    # 5 standard errors of a 2.5% quantile of 2,000 draws are 0.3 of their standard deviation
    found = Reliability().update(probs, labels).interval(metric)
    assert found.value == pytest.approx(float(values.mean()))
    np.testing.assert_allclose((found.low, found.high), expected, atol=0.3 * float(draws.std()), rtol=0)


def test_the_high_end_is_the_percentile_less_the_bias_of_resampling():
    """The ECE of a calibrated model, against 2,000 resamples of its rows; their bias is far beyond what is allowed."""
    n = 1000
    probs, labels = sample(n, 5, 1.0, seed=0)
    conf, right = probs.amax(1).numpy(), (probs.argmax(1) == labels).numpy()
    gap, cell = conf - right, np.ceil(conf * 15).astype(int) - 1
    draw = np.random.default_rng(0)
    resamples = (draw.integers(n, size=n) for _ in range(2000))
    values = np.array([np.abs(np.bincount(cell[rows], gap[rows], 15)).sum() / n for rows in resamples])
    rel = Reliability(15).update(probs, labels)
    allowed = 0.3 * values.std()  # 5 standard errors of a 2.5% quantile of 2,000 draws
    assert values.mean() - rel.ece() > 2 * allowed
    assert rel.interval("ece", n=8000).high == pytest.approx(
        rel.ece() + np.quantile(values, 0.975) - values.mean(), abs=allowed
    )


def coverage(metric: str, n: int, shift: float, n_bins: int = 15, repeats: int = 120) -> float:
    """Share of samples whose 95% interval holds the metric of the population; shift is confidence less accuracy."""
    g = torch.Generator().manual_seed(n)
    quantiles = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    edges = torch.arange(1, n_bins, dtype=torch.float64) / n_bins
    tails = torch.tensor([0.025, 0.975], dtype=torch.float64)

    def draw(u: Tensor) -> tuple[Tensor, Tensor]:
        conf = 1 - 0.9 * u**3
        return conf, (conf - shift).clamp(0, 1)

    def total(conf: Tensor, *columns: Tensor) -> list[Tensor]:
        where = torch.bucketize(conf, edges)
        return [torch.zeros(n_bins, dtype=torch.float64).index_add_(0, where, column) for column in columns]

    conf, share = draw(quantiles)
    truth = float(binned(BINNED[metric], *total(conf, torch.ones_like(conf), conf, share)))
    held = 0
    for _ in range(repeats):
        conf, share = draw(torch.rand(n, generator=g, dtype=torch.float64))
        right = (torch.rand(n, generator=g, dtype=torch.float64) < share).double()
        columns = [side * power for side in (1 - right, right) for power in (torch.ones_like(conf), conf, conf**2)]
        cells = torch.stack(total(conf, *columns), 1).view(n_bins, 2, 3)
        low, high = binned_intervals(cells, [BINNED[metric]], 200, tails, g)[BINNED[metric]]
        held += low - 1e-9 <= truth <= high + 1e-9
    return held / repeats


@pytest.mark.parametrize(
    ("metric", "n", "shift"),
    [
        ("ece", 500, 0.0),
        ("ece", 2000, 0.0),
        ("ece", 10_000, 0.0),
        ("ece", 500, 0.1),
        ("ece", 2000, 0.1),
        ("ece", 10_000, 0.1),
        ("ece", 2000, 0.02),
        ("ece", 2000, -0.05),
        ("mce", 2000, 0.0),
        ("overconfidence", 2000, 0.1),
        ("underconfidence", 2000, -0.05),
        ("accuracy", 2000, 0.1),
    ],
)
def test_intervals_cover_the_population(metric, n, shift):
    """At least 0.95 less 4 standard errors of 120 repeats (0.02 each), as the docstring's table says."""
    assert coverage(metric, n, shift) >= 0.95 - 4 * 0.02


def test_one_bin_is_covered_too():
    assert coverage("ece", 500, 0.02, n_bins=1) >= 0.95 - 4 * 0.02


def test_intervals_hold_the_value_seen_and_repeat():
    rel = Reliability().update(*sample(1000, 10, 1.5, 0))
    for metric in METRICS:
        found, half = rel.interval(metric), rel.interval(metric, level=0.5)
        assert 0 <= found.low <= found.value == getattr(rel, metric)() <= found.high
        assert (found.n, found.level) == (1000, 0.95)
        assert rel.interval(metric) == found
        assert half.high - half.low < found.high - found.low
    seeded = [rel.interval("ece", generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def ends(rel: Reliability, metric: str, level: float = 0.95) -> tuple[float, float]:
    interval = rel.interval(metric, level=level)
    return interval.low, interval.high


def test_extreme_states_have_intervals():
    perfect = Reliability().update(torch.eye(2).repeat(5, 1), torch.tensor([0, 1]).repeat(5))
    assert ends(perfect, "ece") == (0, 0)
    assert ends(perfect, "accuracy") == pytest.approx(tuple(stats.binomtest(10, 10).proportion_ci(method="wilson")))
    wrong = Reliability().update(torch.eye(2)[:1], torch.tensor([1]))
    assert ends(wrong, "accuracy", level=0.8) == pytest.approx(
        tuple(stats.binomtest(0, 1).proportion_ci(0.8, method="wilson"))
    )
    wrong = Reliability().update(torch.eye(2).repeat(5, 1), torch.tensor([1, 0]).repeat(5))
    assert ends(wrong, "ece") == ends(wrong, "mce")
    low, high = ends(wrong, "ece")
    assert 0.6 < low < high == 1  # ten wrong answers are no proof of none right
    certain_but_half_right = Reliability(1).update(torch.eye(2).repeat(50, 1), torch.zeros(100, dtype=torch.int64))
    low, high = ends(certain_but_half_right, "ece")
    assert 0.35 < low < 0.5 < high < 0.65
    single = Reliability().update(torch.tensor([[0.3, 0.7]]), torch.tensor([1]))
    assert single.interval("ece").low == 0
