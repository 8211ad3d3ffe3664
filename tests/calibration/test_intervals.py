"""Intervals of means and shares against scipy, and those of a Reliability at the extremes."""

import numpy as np
import pytest
import torch
from drawn_predictions import sample
from refusals import refuses
from scipy import stats

from mixlab.calibration.intervals import mean_interval
from mixlab.calibration.reliability import Reliability


@pytest.mark.parametrize("level", [0.8, 0.99])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_is_scipys(n, level):
    values = np.random.default_rng(n).normal(3, 2, n)
    interval = mean_interval(values.tolist(), level)
    low, high = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    assert (interval.value, interval.low, interval.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert (interval.n, interval.level) == (n, level)


def test_mean_interval_reads_as_a_sentence():
    assert str(mean_interval([1, 2, 3])) == "2.000 [-0.484, 4.484] (95%, n = 3)"


@pytest.mark.parametrize(
    "refusal",
    [
        (lambda: mean_interval([1.0]), ValueError, "values", "at least two", "got 1"),
        (lambda: mean_interval([1.0, float("nan")]), ValueError, "values", "finite", "nan"),
        (lambda: mean_interval(["a", 1]), TypeError, "values", "'a'"),
    ],
)
def test_mean_interval_refuses(refusal):
    refuses(*refusal)


@pytest.mark.parametrize("metric", ["nll", "brier"])
def test_intervals_of_means_are_the_normal_ones_of_the_rows(metric):
    p = sample(3000, 5, 1.5, seed=0)
    p_true = p.probs.gather(1, p.labels[:, None])[:, 0]
    onehot = torch.nn.functional.one_hot(p.labels, 5)
    values = -p_true.log() if metric == "nll" else (p.probs - onehot).square().sum(1)
    interval = Reliability().update(p.probs, p.labels).interval(metric)
    expected = stats.norm.interval(0.95, values.mean(), values.std(correction=0) / 3000**0.5)
    assert (interval.low, interval.high) == pytest.approx(expected)


def ends(rel: Reliability, metric: str, level: float = 0.95) -> tuple[float, float]:
    interval = rel.interval(metric, level=level)
    return interval.low, interval.high


def test_extreme_states_have_intervals():
    perfect = Reliability().update(torch.eye(2).repeat(5, 1), torch.tensor([0, 1]).repeat(5))
    assert ends(perfect, "ece") == (0, 0)
    assert ends(perfect, "accuracy") == pytest.approx(tuple(stats.binomtest(10, 10).proportion_ci(method="wilson")))
    single = Reliability().update(torch.eye(2)[:1], torch.tensor([1]))
    wilson = stats.binomtest(0, 1).proportion_ci(0.8, method="wilson")
    assert ends(single, "accuracy", level=0.8) == pytest.approx(tuple(wilson))
    wrong = Reliability().update(torch.eye(2).repeat(5, 1), torch.tensor([1, 0]).repeat(5))
    assert ends(wrong, "ece") == ends(wrong, "mce")
    low, high = ends(wrong, "ece")
    assert 0.6 < low < high == 1  # ten wrong answers are no proof of none right
    certain_but_half_right = Reliability(1).update(torch.eye(2).repeat(50, 1), torch.zeros(100, dtype=torch.int64))
    low, high = ends(certain_but_half_right, "ece")
    assert 0.35 < low < 0.5 < high < 0.65
    single = Reliability().update(torch.tensor([[0.3, 0.7]]), torch.tensor([1]))
    assert single.interval("ece").low == 0
