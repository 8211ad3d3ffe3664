"""KS error, risk and coverage against loops over thresholds and over orders, a jackknife, and scikit-learn."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from drawn_predictions import CORNERS, answers, confident, half_confident
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
    shuffled = p[torch.randperm(len(p), generator=torch.Generator().manual_seed(3))]
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
    assert math.log(interval.high / interval.value) == pytest.approx(1.95996 * spread / interval.value, rel=0.02)
    assert math.log(interval.value / interval.low) == pytest.approx(1.95996 * spread / interval.value, rel=0.02)
