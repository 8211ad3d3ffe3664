"""Smooth calibration error against direct sums in float64, and against relplot where it is right."""

import math
import re

import numpy as np
import pytest
import relplot
import torch
from scipy import optimize

from mixlab.calibration.predictions import Predictions
from mixlab.calibration.smooth import smooth_curve, smooth_error, smooth_interval


def made(conf, right, dtype=torch.float64):
    """Predictions with these confidences, in 51 classes so that even 0.02 is the largest; label 0 is right."""
    top = torch.as_tensor(np.asarray(conf), dtype=dtype)[:, None]
    rest = ((1 - top) / 50).expand(-1, 50)
    return Predictions.from_probs(torch.cat([top, rest], 1), 1 - torch.as_tensor(np.asarray(right)).long())


def drawn(n, gap=0.0, seed=0):
    """Two classes, confidences from 0.5 to 1, right answers at a share of the confidence less `gap`."""
    rng = np.random.default_rng(seed)
    conf = 0.5 + 0.5 * rng.beta(4, 1.5, n)
    right = rng.random(n) < conf - gap
    probs = torch.from_numpy(np.stack([conf, 1 - conf], 1))
    return Predictions.from_probs(probs, torch.from_numpy(1 - right.astype(np.int64)))


def arrays(p):
    return p.confidence.numpy(), p.correct.numpy().astype(float)


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
    conf, right = arrays(p)
    t = (np.arange(points) + 0.5) / points
    return np.abs(images(t, conf, (right - conf) / len(p), sigma)).mean()


HARD = {
    "two classes": drawn(40, 0.1),
    "one": made([0.7], [1]),
    "all equal": made([0.8] * 5, [1, 1, 0, 1, 0]),
    "ends": made([1.0, 1.0, 1.0, 0.02, 0.02, 0.6], [1, 0, 0, 1, 0, 0]),
    "few, far apart": made([0.1, 0.5, 0.9], [1, 0, 1]),
    "two that cancel": made([0.4, 0.6], [1, 0]),
    "ties": made([0.25, 0.25, 0.5, 0.5, 0.5, 0.75, 1.0], [1, 0, 1, 1, 0, 0, 1]),
}


@pytest.mark.parametrize("sigma", [0.004, 0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("case", HARD)
def test_error_at_a_bandwidth_is_the_integral(case, sigma):
    p = HARD[case]
    value, right = smooth_error(p, bandwidth=sigma), direct(p, sigma)
    assert abs(value - right) <= 4 * right / (8 * sigma**2 * 4096**2) + 2e-8


def test_the_narrowest_bandwidth_is_within_its_stated_error():
    p = drawn(60, 0.05)
    right = direct(p, 0.001, points=200_000)
    assert abs(smooth_error(p, bandwidth=0.001) - right) <= 0.008 * right


@pytest.mark.parametrize("case", HARD)
def test_error_is_the_bandwidth_that_equals_its_error(case):
    p = HARD[case]
    fixed = optimize.brentq(lambda sigma: direct(p, sigma, 4000) - sigma, 0.004, 1.0, xtol=1e-9)
    assert smooth_error(p) == pytest.approx(fixed, abs=1e-5)


def test_values_that_are_known():
    assert smooth_error(made([0.7], [1])) == pytest.approx(0.3, abs=1e-7)
    assert smooth_error(made([0.7], [0])) == pytest.approx(0.7, abs=1e-7)
    assert smooth_error(made([0.8] * 5, [1, 1, 1, 1, 0])) == pytest.approx(0, abs=1e-7)
    assert smooth_error(made([0.8] * 5, [0] * 5)) == pytest.approx(0.8, abs=1e-7)
    assert smooth_error(made([1.0] * 5, [1] * 5)) == 0
    assert smooth_error(made([1.0] * 5, [0] * 5)) == 1
    assert smooth_error(made([1.0], [1]), bandwidth=0.1) == 0


@pytest.mark.parametrize("gap", [0.0, 0.03, -0.05])
@pytest.mark.parametrize("n", [300, 5000])
def test_error_is_relplots_on_its_mesh(n, gap):
    p = drawn(n, gap, seed=n)
    conf, right = arrays(p)
    assert smooth_error(p) == pytest.approx(relplot.smECE(conf, right), abs=5e-4)
    assert smooth_error(p, bandwidth=0.05) == pytest.approx(relplot.smECE_sigma(conf, right, 0.05), abs=5e-4)


def test_relplot_counts_a_confidence_of_one_by_half():
    p = made([1.0, 1.0, 0.6, 0.6], [0, 0, 1, 1])
    conf, right = arrays(p)
    exact = direct(p, 0.05)
    assert exact == pytest.approx((2 * 1 + 2 * 0.4) / 4, abs=1e-4)
    assert smooth_error(p, bandwidth=0.05) == pytest.approx(exact, abs=1e-4)
    assert relplot.smECE_sigma(conf, right, 0.05) == pytest.approx((1 * 1 + 2 * 0.4) / 3, abs=0.01)


def test_error_never_grows_with_the_bandwidth():
    p = drawn(200, 0.02)
    sizes = [smooth_error(p, bandwidth=b) for b in np.geomspace(0.001, 1, 30)]
    assert np.all(np.diff(sizes) <= 1e-12)
    conf, right = arrays(p)
    assert sizes[-1] == pytest.approx(abs((right - conf).mean()), abs=1e-6)


def test_order_of_rows_and_number_type_do_not_matter():
    p = drawn(500, 0.04)
    shuffled = p[torch.randperm(500, generator=torch.Generator().manual_seed(3))]
    assert smooth_error(shuffled) == pytest.approx(smooth_error(p), abs=2e-7)
    coarse = Predictions.from_probs(p.probs.float(), p.labels)
    assert smooth_error(coarse) == pytest.approx(smooth_error(p), abs=1e-6)


def test_a_row_that_sums_to_a_little_more_than_one():
    p = Predictions.from_probs(torch.tensor([[1.00005, 0.0], [0.7, 0.3]]), torch.tensor([0, 0]))
    assert smooth_error(p) == pytest.approx(0.15, abs=1e-4)
    assert smooth_curve(p).accuracy[-1] == 1


def test_curve_is_kernel_regression():
    p = drawn(120, 0.1)
    conf, right = arrays(p)
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
    p = drawn(2000, 0.05)
    curve = smooth_curve(p, points=4001)
    assert curve.bandwidth == smooth_error(p)
    assert curve.error == pytest.approx(curve.bandwidth, abs=2e-7)
    assert float(torch.trapezoid(curve.density, curve.confidence)) == pytest.approx(1, abs=1e-6)
    gap = (curve.accuracy - curve.confidence).nan_to_num(0)
    assert float(torch.trapezoid(gap.abs() * curve.density, curve.confidence)) == pytest.approx(curve.error, abs=0.01)


def test_curve_of_faultless_predictions():
    curve = smooth_curve(made([1.0] * 3, [1] * 3), points=3)
    assert (curve.bandwidth, curve.error) == (0.001, 0)
    assert curve.accuracy[:2].isnan().all()
    assert curve.accuracy[2] == 1


def test_interval_of_one_sided_error_is_that_of_the_mean_residual():
    p = drawn(4000, 0.15, seed=5)
    conf, right = arrays(p)
    residual = conf - right
    reach = 1.96 * residual.std() / 4000**0.5
    found = smooth_interval(p)
    assert found.value == smooth_error(p)
    assert (found.n, found.level) == (4000, 0.95)
    assert found.low == pytest.approx(residual.mean() - reach, abs=0.15 * reach)
    assert found.high == pytest.approx(residual.mean() + reach, abs=0.15 * reach)


def test_interval_holds_zero_for_the_calibrated_where_a_plain_bootstrap_does_not():
    held = plain = 0
    for seed in range(40):
        p = drawn(400, seed=seed)
        held += smooth_interval(p, n=200).low == 0
        rows = torch.randint(400, (10, 400), generator=torch.Generator().manual_seed(seed))
        plain += min(smooth_error(p[each]) for each in rows) == 0
    assert held >= 35  # 39 expected; 34 or fewer has a chance below 1e-3 at a coverage of 0.97
    assert plain == 0


def test_interval_covers_an_error_that_changes_sign():
    """Accuracy is above the confidence at 0.6 and below it at 0.9, by 0.06: far apart, the error is 0.06."""
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        conf = rng.choice([0.6, 0.9], 1500)
        right = rng.random(1500) < np.where(conf == 0.6, 0.66, 0.84)
        found = smooth_interval(made(conf, right), n=200)
        held += found.low <= 0.06 <= found.high
    assert held >= 34


def test_interval_is_wider_at_a_higher_level_and_the_same_twice():
    p = drawn(1000, 0.05)
    before = torch.get_rng_state()
    found = smooth_interval(p)
    assert found == smooth_interval(p)
    assert torch.equal(before, torch.get_rng_state())
    wide, narrow = smooth_interval(p, level=0.99), smooth_interval(p, level=0.8)
    assert wide.low < found.low < narrow.low < found.value < narrow.high < found.high < wide.high
    other = smooth_interval(p, generator=torch.Generator().manual_seed(1))
    assert other != found
    assert other.high == pytest.approx(found.high, abs=0.1 * (found.high - found.low))


@pytest.mark.parametrize("case", HARD)
def test_interval_of_hard_cases_is_ordered(case):
    found = smooth_interval(HARD[case], n=100)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_interval_of_an_error_of_zero_by_chance_has_a_width():
    found = smooth_interval(made([0.5] * 100, [0, 1] * 50))
    assert (found.value, found.low) == pytest.approx((0, 0), abs=1e-7)
    mean, tail = 0.05 * math.sqrt(2 / math.pi), 0.05 * 2.2414  # of the absolute value of a normal one of spread 0.05
    assert found.high == pytest.approx(tail - mean, rel=0.2)


def test_interval_of_faultless_predictions():
    found = smooth_interval(made([1.0] * 9, [1] * 9))
    assert (found.value, found.low, found.high, found.n) == (0, 0, 0, 9)


P = drawn(10)
NO_PREDICTIONS = "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got None"
BANDWIDTH = "bandwidth must be a number from 0.001 to 1, or None, got "
WRONG = [
    (lambda: smooth_error(None), TypeError, NO_PREDICTIONS),
    (lambda: smooth_curve(None), TypeError, NO_PREDICTIONS),
    (lambda: smooth_interval(None), TypeError, NO_PREDICTIONS),
    (lambda: smooth_error(P, bandwidth=0), ValueError, BANDWIDTH + "0"),
    (lambda: smooth_error(P, bandwidth=-0.1), ValueError, BANDWIDTH + "-0.1"),
    (lambda: smooth_error(P, bandwidth=2), ValueError, BANDWIDTH + "2"),
    (lambda: smooth_error(P, bandwidth=math.nan), ValueError, BANDWIDTH + "nan"),
    (lambda: smooth_error(P, bandwidth="x"), TypeError, BANDWIDTH + "'x'"),
    (lambda: smooth_curve(P, bandwidth=0), ValueError, BANDWIDTH + "0"),
    (lambda: smooth_curve(P, points=1), ValueError, "points must be an integer from 2 to 10000, got 1"),
    (lambda: smooth_curve(P, points=2.5), TypeError, "points must be an integer from 2 to 10000, got 2.5"),
    (lambda: smooth_interval(P, n=99), ValueError, "n must be an integer from 100 to 1000000, got 99"),
    (lambda: smooth_interval(P, level=1), ValueError, "level must be a number from 0.5 to 0.999, got 1"),
    (lambda: smooth_interval(P, generator=0), TypeError, "generator must be a torch.Generator or None, got 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
