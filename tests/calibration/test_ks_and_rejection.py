"""KS error, risk and coverage against loops over thresholds and over orders, a jackknife, and scikit-learn."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from mixlab.calibration.ks import ks_error, ks_interval
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.rejection import accuracy_rejection, aurc, aurc_interval


def made(conf, right):
    """Predictions with these confidences, in 51 classes so that even 0.02 is the largest; label 0 is right."""
    top = torch.as_tensor(np.asarray(conf), dtype=torch.float64)[:, None]
    rest = ((1 - top) / 50).expand(-1, 50)
    return Predictions.from_probs(torch.cat([top, rest], 1), 1 - torch.as_tensor(np.asarray(right)).long())


def drawn(n, gap=0.0, seed=0, digits=None):
    """Confidences from 0.5 to 1, rounded for ties, right answers at a share of the confidence less `gap`."""
    rng = np.random.default_rng(seed)
    conf = 0.5 + 0.5 * rng.beta(4, 1.5, n)
    conf = conf if digits is None else conf.round(digits)
    return made(conf, rng.random(n) < conf - gap)


def arrays(p):
    return p.confidence.numpy(), p.correct.numpy().astype(float)


HARD = {
    "one right": made([0.7], [1]),
    "one wrong": made([0.7], [0]),
    "all equal": made([0.8] * 5, [1, 1, 0, 1, 0]),
    "ends": made([1.0, 1.0, 1.0, 0.02, 0.02, 0.6], [1, 0, 0, 1, 0, 0]),
    "ties": made([0.25, 0.25, 0.5, 0.5, 0.5, 0.75, 1.0], [1, 0, 1, 1, 0, 0, 1]),
    "all wrong": made([0.3, 0.9, 0.9], [0, 0, 0]),
    "random": drawn(300, 0.05),
    "random with ties": drawn(300, 0.05, digits=2),
}


@pytest.mark.parametrize("case", HARD)
def test_ks_error_is_the_largest_over_thresholds(case):
    conf, right = arrays(HARD[case])
    gaps = [abs(math.fsum((right - conf)[conf <= t])) / len(conf) for t in conf]
    assert ks_error(HARD[case]) == pytest.approx(max(gaps), abs=1e-14)


@pytest.mark.parametrize("case", [case for case, p in HARD.items() if len(p) < 10])
def test_aurc_is_the_mean_over_the_orders_of_ties(case):
    conf, right = arrays(HARD[case])
    areas = []
    for order in itertools.permutations(range(len(conf))):
        if all(conf[a] >= conf[b] for a, b in itertools.pairwise(order)):
            wrong = 1 - right[list(order)]
            areas.append(np.mean([wrong[:k].mean() for k in range(1, len(wrong) + 1)]))
    assert aurc(HARD[case]) == pytest.approx(np.mean(areas), abs=1e-14)


def test_aurc_without_ties_is_the_mean_risk():
    p = drawn(300, 0.05)
    conf, right = arrays(p)
    wrong = 1 - right[np.argsort(-conf)]
    assert aurc(p) == pytest.approx(np.mean(np.cumsum(wrong) / np.arange(1, 301)), abs=1e-14)


def test_aurc_of_the_best_and_the_worst_order():
    assert aurc(made([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1])) == 0
    assert aurc(made([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0])) == 1
    assert aurc(made([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 0])) == pytest.approx(1 / 16)
    assert aurc(made([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1])) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("case", HARD)
def test_accuracy_of_the_most_confident_share(case):
    p = HARD[case]
    conf, right = arrays(p)
    curve = accuracy_rejection(p)
    levels = np.unique(conf)[::-1]
    assert curve.coverage.numpy() == pytest.approx([np.mean(conf >= level) for level in levels])
    kept = [conf >= level for level in levels]
    expected = [accuracy_score(p.labels.numpy()[rows], p.answer.numpy()[rows]) for rows in kept]
    assert curve.accuracy.numpy() == pytest.approx(expected)
    assert (curve.coverage.dtype, curve.accuracy.dtype) == (torch.float64, torch.float64)
    assert (float(curve.coverage[-1]), float(curve.accuracy[-1])) == pytest.approx((1, right.mean()))


def test_order_of_rows_does_not_matter():
    p = HARD["random with ties"]
    shuffled = p[torch.randperm(300, generator=torch.Generator().manual_seed(3))]
    assert ks_error(shuffled) == pytest.approx(ks_error(p), abs=1e-14)
    assert aurc(shuffled) == pytest.approx(aurc(p), abs=1e-14)
    assert accuracy_rejection(shuffled).accuracy.numpy() == pytest.approx(accuracy_rejection(p).accuracy.numpy())
    one, other = aurc_interval(p), aurc_interval(shuffled)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    one, other = ks_interval(p), ks_interval(shuffled)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)


@pytest.mark.parametrize("digits", [None, 2])
def test_aurc_interval_is_that_of_a_jackknife(digits):
    p = drawn(400, 0.05, seed=1, digits=digits)
    rows = torch.arange(400)
    left_out = np.array([aurc(p[rows != i]) for i in range(400)])
    spread = math.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    found = aurc_interval(p)
    assert found.value == aurc(p)
    assert (found.n, found.level) == (400, 0.95)
    assert math.log(found.high / found.value) == pytest.approx(1.95996 * spread / found.value, rel=0.02)
    assert math.log(found.value / found.low) == pytest.approx(1.95996 * spread / found.value, rel=0.02)


def test_ks_interval_of_one_sided_error_is_that_of_the_mean_residual():
    p = drawn(4000, 0.15, seed=5)
    conf, right = arrays(p)
    residual = conf - right
    reach = 1.96 * residual.std() / 4000**0.5
    found = ks_interval(p)
    assert found.value == ks_error(p) == pytest.approx(residual.mean(), rel=1e-4)
    assert found.low == pytest.approx(residual.mean() - reach, abs=0.15 * reach)
    assert found.high == pytest.approx(residual.mean() + reach, abs=0.15 * reach)


def test_ks_interval_holds_zero_for_the_calibrated_where_a_plain_bootstrap_does_not():
    held = plain = 0
    for seed in range(40):
        p = drawn(700, seed=seed)
        held += ks_interval(p, n=200).low == 0
        rows = torch.randint(700, (10, 700), generator=torch.Generator().manual_seed(seed))
        plain += min(ks_error(p[each]) for each in rows) == 0
    assert held >= 35
    assert plain == 0


@pytest.mark.parametrize("given", [ks_interval, aurc_interval])
def test_intervals_are_the_same_twice_and_wider_at_a_higher_level(given):
    p = drawn(2000, 0.05)
    before = torch.get_rng_state()
    found = given(p)
    assert found == given(p)
    assert torch.equal(before, torch.get_rng_state())
    wide, narrow = given(p, level=0.99), given(p, level=0.8)
    assert wide.low < found.low < narrow.low < found.value < narrow.high < found.high < wide.high


def test_ks_interval_takes_a_generator():
    p = drawn(2000, 0.05)
    found, other = ks_interval(p), ks_interval(p, generator=torch.Generator().manual_seed(1))
    assert found != other
    assert other.high == pytest.approx(found.high, abs=0.1 * (found.high - found.low))


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("given", [ks_interval, aurc_interval])
def test_intervals_of_hard_cases_are_ordered(given, case):
    found = given(HARD[case], n=100)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_intervals_of_faultless_predictions():
    p = made([1.0] * 9, [1] * 9)
    for found in (ks_interval(p), aurc_interval(p)):
        assert (found.value, found.low, found.high, found.n) == (0, 0, 0, 9)


P = drawn(10)
CALLS = (ks_error, aurc, accuracy_rejection, ks_interval, aurc_interval)


@pytest.mark.parametrize("call", CALLS)
def test_only_predictions_are_taken(call):
    message = "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got [0.5]"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        call([0.5])


WRONG = [
    ({"n": 99}, ValueError, "n must be an integer from 100 to 1000000, got 99"),
    ({"level": 0.4}, ValueError, "level must be a number from 0.5 to 0.999, got 0.4"),
    ({"generator": 0}, TypeError, "generator must be a torch.Generator or None, got 0"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG)
@pytest.mark.parametrize("call", [ks_interval, aurc_interval])
def test_wrong_arguments_are_named(call, given, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(P, **given)
