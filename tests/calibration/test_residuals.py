"""Intervals of the smooth and the KS error: their law where it is known, and how often they hold the truth."""

import numpy as np
import pytest
from drawn_predictions import answers, confident, half_confident
from seeding import seeded

from mixlab.calibration.ks import ks_error, ks_interval
from mixlab.calibration.smooth import smooth_error, smooth_interval

both = pytest.mark.parametrize(("error", "interval_of"), [(smooth_error, smooth_interval), (ks_error, ks_interval)])


@both
def test_interval_of_one_sided_error_is_that_of_the_mean_residual(error, interval_of):
    p = half_confident(4000, 0.15, seed=5)
    conf, right = answers(p)
    residual = conf - right
    reach = 1.96 * residual.std() / 4000**0.5
    interval = interval_of(p)
    assert interval.value == error(p) == pytest.approx(residual.mean(), rel=1e-3)
    assert (interval.n, interval.level) == (4000, 0.95)
    assert interval.low == pytest.approx(residual.mean() - reach, abs=0.15 * reach)
    assert interval.high == pytest.approx(residual.mean() + reach, abs=0.15 * reach)


@both
def test_interval_holds_zero_for_the_calibrated(error, interval_of):
    """39 of 40 expected; 34 or fewer has a chance below 1e-3 at a coverage of 0.97."""
    calibrated = [half_confident(700, seed=seed) for seed in range(40)]
    assert sum(interval_of(p, n=200).low == 0 for p in calibrated) >= 35
    assert min(map(error, calibrated)) > 0.001


def test_smooth_interval_covers_an_error_that_changes_sign():
    """Accuracy is above the confidence at 0.6 and below it at 0.9, by 0.06: far apart, the error is 0.06."""
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        conf = rng.choice([0.6, 0.9], 1500)
        right = rng.random(1500) < np.where(conf == 0.6, 0.66, 0.84)
        interval = smooth_interval(confident(conf, right), n=200)
        held += interval.low <= 0.06 <= interval.high
    assert held >= 34


@both
def test_another_generator_moves_the_interval_a_little(error, interval_of):
    p = half_confident(2000, 0.05)
    interval, other = interval_of(p), interval_of(p, generator=seeded(1))
    assert interval != other
    assert other.value == error(p)
    assert other.high == pytest.approx(interval.high, abs=0.1 * (interval.high - interval.low))


def test_smooth_interval_of_an_error_of_zero_by_chance_has_a_width():
    interval = smooth_interval(confident([0.5] * 100, [0, 1] * 50))
    assert (interval.value, interval.low) == pytest.approx((0, 0), abs=1e-7)
    assert interval.high == pytest.approx(
        1.96 * 0.05, rel=0.01
    )  # the mean of 100 residuals of 0.5 has a spread of 0.05


@both
def test_interval_of_faultless_predictions(error, interval_of):
    p = confident([1.0] * 9, [1] * 9)
    interval = interval_of(p)
    assert (interval.value, interval.low, interval.high, interval.n) == (error(p), 0, 0, 9)
