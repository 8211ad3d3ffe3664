"""KS error, risk and coverage against loops over thresholds and over orders, a jackknife, and scikit-learn."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from drawn_predictions import CORNERS, answers, confident, half_confident
from scipy import stats
from seeding import seeded
from sklearn.metrics import accuracy_score

from mixlab.calibration.ks import ks_error, ks_interval
from mixlab.calibration.rejection import accuracy_rejection, aurc, aurc_interval


@pytest.mark.parametrize("case", CORNERS)
def test_ks_error_is_the_largest_over_thresholds(case):
    conf, right = answers(CORNERS[case])
    gaps = [abs(math.fsum((right - conf)[conf <= t])) / len(conf) for t in conf]
    assert ks_error(CORNERS[case]) == pytest.approx(max(gaps), abs=1e-14)


@pytest.mark.parametrize("case", [case for case, p in CORNERS.items() if len(p) < 10])
def test_aurc_is_the_mean_over_the_orders_of_ties(case):
    conf, right = answers(CORNERS[case])
    areas = []
    for order in itertools.permutations(range(len(conf))):
        if all(conf[a] >= conf[b] for a, b in itertools.pairwise(order)):
            wrong = 1 - right[list(order)]
            areas.append(np.mean([wrong[:k].mean() for k in range(1, len(wrong) + 1)]))
    assert aurc(CORNERS[case]) == pytest.approx(np.mean(areas), abs=1e-14)


def test_aurc_of_the_best_and_the_worst_order():
    assert aurc(confident([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1])) == 0
    assert aurc(confident([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0])) == 1
    assert aurc(confident([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 0])) == pytest.approx(1 / 16)
    assert aurc(confident([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1])) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("case", CORNERS)
def test_accuracy_of_the_most_confident_share(case):
    p = CORNERS[case]
    conf, right = answers(p)
    curve = accuracy_rejection(p)
    levels = np.unique(conf)[::-1]
    assert curve.coverage.numpy() == pytest.approx([np.mean(conf >= level) for level in levels])
    kept = [conf >= level for level in levels]
    expected = [accuracy_score(p.labels.numpy()[rows], p.answer.numpy()[rows]) for rows in kept]
    assert curve.accuracy.numpy() == pytest.approx(expected)
    assert (curve.coverage.dtype, curve.accuracy.dtype) == (torch.float64, torch.float64)
    assert (float(curve.coverage[-1]), float(curve.accuracy[-1])) == pytest.approx((1, right.mean()))


def test_order_of_rows_does_not_matter():
    p = CORNERS["random with ties"]
    shuffled = p[torch.randperm(len(p), generator=seeded(3))]
    assert accuracy_rejection(shuffled).accuracy.numpy() == pytest.approx(accuracy_rejection(p).accuracy.numpy())
    for interval in (aurc_interval, ks_interval):
        assert astuple(interval(shuffled)) == pytest.approx(astuple(interval(p)), abs=1e-6)


@pytest.mark.parametrize("digits", [None, 2])
def test_aurc_interval_is_that_of_a_jackknife(digits):
    p = half_confident(400, 0.05, seed=1, digits=digits)
    rows = torch.arange(400)
    left_out = np.array([aurc(p[rows != i]) for i in range(400)])
    spread = math.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    interval = aurc_interval(p)
    assert interval.value == aurc(p)
    assert (interval.n, interval.level) == (400, 0.95)
    freedom = 2 * 400 / (stats.kurtosis(left_out, fisher=False) - 1)  # of a variance of 400 values
    reach = stats.t.ppf(0.975, freedom) * spread / interval.value
    assert math.log(interval.high / interval.value) == pytest.approx(reach, rel=0.02)
    assert math.log(interval.value / interval.low) == pytest.approx(reach, rel=0.02)


def test_aurc_of_faultless_answers_may_be_as_high_as_the_share_of_errors():
    interval = aurc_interval(confident([0.9] * 30, [1] * 30), level=0.9)
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high == pytest.approx(stats.binomtest(0, 30).proportion_ci(0.9, "wilson").high)


def population(gap, points=200_000):
    """KS error and AURC of infinitely many `half_confident` answers, from their quantiles."""
    conf = 0.5 + 0.5 * stats.beta.ppf((np.arange(points) + 0.5) / points, 4, 1.5)
    risk = np.cumsum((1 - conf + gap)[::-1]) / np.arange(1, points + 1)
    return gap, risk.mean()


@pytest.mark.parametrize(("n", "gap"), [(500, 0.05), (2000, 0.02), (2000, 0.05)])
def test_intervals_hold_the_truth_where_a_percentile_less_its_bias_falls_short(n, gap):
    """At least 0.95 less 3 standard errors of 400 samples: 0.917. A KS interval without its high bound holds 0.90."""
    truths, held = population(gap), np.zeros(2)
    for seed in range(400):
        p = half_confident(n, gap, seed=seed)
        for i, (interval_of, truth) in enumerate(zip((ks_interval, aurc_interval), truths, strict=True)):
            interval = interval_of(p, n=100 if i else 300)
            held[i] += interval.low <= truth <= interval.high
    assert (held / 400 >= 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5).all(), held
