"""Intervals of means and shares against scipy, and those of a Reliability at the extremes."""

import math

import numpy as np
import pytest
import torch
from drawn_predictions import sample
from matplotlib.figure import Figure
from refusals import each_refused, refuses
from scipy import stats

from mixlab.calibration.intervals import Interval, mean_interval, wilson
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
    interval = mean_interval([1, 2, 3])
    assert str(interval) == f"{interval}" == "2.000 [-0.484, 4.484] (95%, n = 3)"
    assert f"{interval:+.1f}" == "+2.0 [-0.5, +4.5]"


test_mean_interval_refuses = each_refused(
    (lambda: mean_interval([1.0]), ValueError, "values", "at least two", "got 1"),
    (lambda: mean_interval([1.0, float("nan")]), ValueError, "values", "finite", "nan"),
    (lambda: mean_interval(["a", 1]), TypeError, "values", "'a'"),
)


@pytest.mark.parametrize("metric", ["nll", "brier"])
def test_intervals_of_means_are_the_normal_ones_of_the_rows(metric):
    p = sample(3000, 5, 1.5, seed=0)
    p_true = p.probs.gather(1, p.labels[:, None])[:, 0]
    onehot = torch.nn.functional.one_hot(p.labels, 5)
    values = -p_true.log() if metric == "nll" else (p.probs - onehot).square().sum(1)
    interval = Reliability().update(p.probs, p.labels).interval(metric)
    expected = stats.norm.interval(0.95, values.mean(), values.std(correction=0) / 3000**0.5)
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_wilson_is_scipys_and_holds_the_share_at_every_size():
    count = torch.arange(1, 3004).double()
    for right in (torch.zeros_like(count), count, (count / 3).floor()):
        low, high = wilson(right / count, count)
        assert bool(((low <= right / count) & (right / count <= high)).all())
        for i in (0, 12, 66, 3002):
            exact = stats.binomtest(int(right[i]), int(count[i])).proportion_ci(method="wilson")
            assert (float(low[i]), float(high[i])) == pytest.approx(tuple(exact), abs=1e-12)


def test_an_interval_holds_its_value_so_that_matplotlib_draws_it():
    one = Interval(1.0, 0.9, 1 - 1e-16, 67, 0.95)
    assert (one.low, one.high) == (0.9, 1.0)
    infinite = Interval(math.inf, math.inf, math.inf, 2, 0.95)
    assert infinite.low == infinite.high == math.inf
    bars = Figure().add_subplot().errorbar([0], [one.value], [[one.value - one.low], [one.high - one.value]])
    assert bars.lines[2][0].get_segments()[0][:, 1].tolist() == pytest.approx([0.9, 1.0])
    for value in (0.8, 1.1, math.nan):
        refuses(lambda value=value: Interval(value, 0.9, 1.0, 3, 0.95), ValueError, "value", "low", str(value))


def test_numbers_that_round_to_zero_have_no_minus_sign():
    near = Interval(-1e-5, -0.31, 2e-4, 3, 0.95)
    assert f"{near:.2f}" == "0.00 [-0.31, 0.00]"
    assert f"{near:.1%}" == "0.0% [-31.0%, 0.0%]"
    assert f"{near:+.2f}" == "+0.00 [-0.31, +0.00]"
    assert str(near).startswith("0.000 [-0.310, 0.000]")


def ends(rel: Reliability, metric: str, level: float = 0.95) -> tuple[float, float]:
    interval = rel.interval(metric, level=level)
    return interval.low, interval.high


def test_extreme_states_have_intervals():
    perfect = Reliability().update(torch.eye(2).repeat(5, 1), torch.tensor([0, 1]).repeat(5))
    assert ends(perfect, "ece") == (0, 0)
    for n in (13, 67):  # where the high end of Wilson's formula rounds to less than 1
        assert ends(Reliability().update(torch.eye(2)[:1].expand(n, 2), torch.zeros(n).long()), "accuracy")[1] == 1
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
