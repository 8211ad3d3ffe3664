"""Smooth calibration error against direct sums in float64, and against relplot where it is right."""

import math

import numpy as np
import pytest
import relplot
import torch
from drawn_predictions import CORNERS, answers, confident, half_confident
from refusals import refuses
from scipy import optimize
from seeding import seeded

from mixlab.calibration.predictions import Predictions
from mixlab.calibration.smooth import smooth_curve, smooth_error


def images(t, conf, mass, sigma):
    """sum_i mass_i K_sigma(t, conf_i) at each t, by the images of the reflected kernel that are not negligible."""
    total = np.zeros_like(t)
    for place, m in zip(conf, mass, strict=True):
        for k in range(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1):
            for image in (2 * k + place, 2 * k - place):
                total += m * np.exp(-(((t - image) / sigma) ** 2) / 2)
    return total / (sigma * math.sqrt(2 * math.pi))


def direct(p, sigma, points=20_000):
    """smECE at sigma by its definition: direct sum and the midpoint rule."""
    conf, right = answers(p)
    t = (np.arange(points) + 0.5) / points
    return np.abs(images(t, conf, (right - conf) / len(p), sigma)).mean()


@pytest.mark.parametrize("sigma", [0.004, 0.02, 0.1, 1.0])
@pytest.mark.parametrize("case", CORNERS)
def test_error_at_a_bandwidth_is_the_integral(case, sigma):
    p = CORNERS[case]
    value, right = smooth_error(p, bandwidth=sigma), direct(p, sigma)
    assert abs(value - right) <= 4 * right / (8 * sigma**2 * 4096**2) + 2e-8


def test_the_narrowest_bandwidth_is_within_its_stated_error():
    p = half_confident(20, 0.05)
    right = direct(p, 0.001, points=100_000)
    assert abs(smooth_error(p, bandwidth=0.001) - right) <= 0.008 * right


@pytest.mark.parametrize("case", CORNERS)
def test_error_is_the_bandwidth_that_equals_its_error(case):
    p = CORNERS[case]
    fixed = optimize.brentq(lambda sigma: direct(p, sigma, 4000) - sigma, 0.004, 1.0, xtol=1e-9)
    assert smooth_error(p) == pytest.approx(fixed, abs=1e-5)


def test_values_that_are_known():
    assert smooth_error(confident([0.8] * 5, [1, 1, 1, 1, 0])) == pytest.approx(0, abs=1e-7)
    assert smooth_error(confident([0.8] * 5, [0] * 5)) == pytest.approx(0.8, abs=1e-7)
    assert smooth_error(confident([1.0] * 5, [1] * 5)) == 0
    assert smooth_error(confident([1.0] * 5, [0] * 5)) == 1
    assert smooth_error(confident([1.0], [1]), bandwidth=0.1) == 0


@pytest.mark.parametrize("gap", [0.0, 0.03, -0.05])
@pytest.mark.parametrize("n", [300, 5000])
def test_error_is_relplots_on_its_mesh(n, gap):
    p = half_confident(n, gap, seed=n)
    conf, right = answers(p)
    assert smooth_error(p) == pytest.approx(relplot.smECE(conf, right), abs=5e-4)
    assert smooth_error(p, bandwidth=0.05) == pytest.approx(relplot.smECE_sigma(conf, right, 0.05), abs=5e-4)


@pytest.mark.parametrize(("top", "weight"), [(1.0, 0.5), (0.9995, 0.75), (0.999, 1.0), (0.998, 1.0)])
def test_relplot_counts_a_confidence_within_a_mesh_step_of_one_by_half_to_one(top, weight):
    p = confident([top, top, 0.6, 0.6], [0, 0, 1, 1])
    conf, right = answers(p)
    exact = direct(p, 0.05)
    assert exact == pytest.approx((2 * top + 2 * 0.4) / 4, abs=1e-4)
    assert smooth_error(p, bandwidth=0.05) == pytest.approx(exact, abs=1e-4)
    expected = (2 * weight * top + 2 * 0.4) / (2 * weight + 2)
    assert relplot.smECE_sigma(conf, right, 0.05) == pytest.approx(expected, abs=0.01)


def test_error_never_grows_with_the_bandwidth():
    p = half_confident(200, 0.02)
    sizes = [smooth_error(p, bandwidth=b) for b in np.geomspace(0.001, 1, 30)]
    assert np.all(np.diff(sizes) <= 1e-12)
    conf, right = answers(p)
    assert sizes[-1] == pytest.approx(abs((right - conf).mean()), abs=1e-6)


def test_order_of_rows_and_number_type_do_not_matter():
    p = half_confident(500, 0.04)
    shuffled = p[torch.randperm(500, generator=seeded(3))]
    assert smooth_error(shuffled) == pytest.approx(smooth_error(p), abs=2e-7)
    coarse = Predictions.from_probs(p.probs.float(), p.labels)
    assert smooth_error(coarse) == pytest.approx(smooth_error(p), abs=1e-6)


def test_a_row_that_sums_to_a_little_more_than_one():
    p = Predictions.from_probs(torch.tensor([[1.00005, 0.0], [0.7, 0.3]]), torch.tensor([0, 0]))
    assert smooth_error(p) == pytest.approx(0.15, abs=1e-4)
    assert smooth_curve(p).accuracy[-1] == 1


def test_curve_is_kernel_regression():
    p = half_confident(120, 0.1)
    conf, right = answers(p)
    curve = smooth_curve(p, bandwidth=0.03, points=51)
    t = np.linspace(0, 1, 51)
    density = images(t, conf, np.full(120, 1 / 120), 0.03)
    hits = images(t, conf, right / 120, 0.03)
    near = density * 120 * 0.03 * math.sqrt(2 * math.pi) > 1e-3
    assert curve.confidence.numpy() == pytest.approx(t)
    assert curve.density.numpy() == pytest.approx(density, abs=1e-3)
    assert curve.accuracy.isfinite().numpy().tolist() == near.tolist()
    assert 5 < near.sum() < 45
    assert curve.accuracy.numpy()[near] == pytest.approx((hits / np.where(near, density, 1))[near], abs=1e-3)
    assert curve.bandwidth == 0.03
    assert curve.error == smooth_error(p, bandwidth=0.03)
    assert {table.dtype for table in (curve.confidence, curve.accuracy, curve.density)} == {torch.float64}


def test_curve_takes_the_bandwidth_that_equals_its_error():
    p = half_confident(2000, 0.05)
    curve = smooth_curve(p, points=4001)
    assert curve.bandwidth == smooth_error(p)
    assert curve.error == pytest.approx(curve.bandwidth, abs=2e-7)
    assert float(torch.trapezoid(curve.density, curve.confidence)) == pytest.approx(1, abs=1e-6)
    gap = (curve.accuracy - curve.confidence).nan_to_num(0)
    assert float(torch.trapezoid(gap.abs() * curve.density, curve.confidence)) == pytest.approx(curve.error, abs=0.01)


def test_curve_of_faultless_predictions():
    curve = smooth_curve(confident([1.0] * 3, [1] * 3), points=3)
    assert (curve.bandwidth, curve.error) == (0.001, 0)
    assert curve.accuracy[:2].isnan().all()
    assert curve.accuracy[2] == 1


def test_wrong_arguments_are_named():
    p = half_confident(10)
    for call in (smooth_error, smooth_curve):
        refuses(lambda call=call: call(p, bandwidth=0), ValueError, "bandwidth", "0.001 to 1, or None", "got 0")
    refuses(lambda: smooth_curve(p, points=1), ValueError, "points", "2 to 10000", "got 1")
