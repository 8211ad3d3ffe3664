"""A fitted temperature against scipy's brute force, netcal, and what must hold by construction; crossfit."""

import numpy as np
import pytest
import torch
from drawn_predictions import drawn_at, mean_nll
from refusals import each_refused
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp, softmax
from seeding import seeded

from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration import (
    Temperature,
    at_temperature,
    crossfit,
    fit_isotonic,
    fit_temperature,
    fit_vector_scaling,
)


@pytest.mark.parametrize(
    ("n", "classes", "spread", "true"),
    [(1000, 5, 3.0, 2.0), (300, 2, 1.0, 0.5), (50, 10, 20.0, 4.0), (200, 1000, 6.0, 1.3), (2000, 3, 0.1, 0.05)],
)
def test_the_temperature_is_the_minimum_that_scipy_finds(n, classes, spread, true):
    p = drawn_at(n, classes, spread, true)
    logits = p.logits.numpy()
    fitted = fit_temperature(p)
    brute = minimize_scalar(lambda u: mean_nll(logits / np.exp(u), p.labels), (-3, 3), tol=1e-12)
    assert fitted.value == pytest.approx(np.exp(brute.x), rel=1e-6)  # a parabola's foot: scipy sees the root of its eps
    assert fitted.nll_after == pytest.approx(brute.fun, rel=1e-12)
    assert fitted.nll_before == pytest.approx(mean_nll(logits, p.labels), rel=1e-12)
    assert (fitted.n, fitted.level) == (n, 0.95)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 37.0, 1e12])
def test_the_temperature_scales_with_the_logits(factor):
    p = drawn_at(400)
    fitted, other = fit_temperature(p), fit_temperature(Predictions.from_logits(factor * p.logits, p.labels))
    for name in ("value", "low", "high"):
        assert getattr(other, name) == pytest.approx(factor * getattr(fitted, name), rel=1e-7)
    assert other.nll_after == pytest.approx(fitted.nll_after, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])  # the sandwich is the wider one in some of them
def test_the_interval_is_the_sandwich_by_finite_differences(seed):
    p = drawn_at(500, seed=seed)
    fitted = fit_temperature(p, level=0.9)
    logits, labels = p.logits.numpy(), p.labels.numpy()

    def each(u: float) -> np.ndarray:
        z = logits / np.exp(u)
        return logsumexp(z, axis=1) - z[np.arange(500), labels]

    u, h = np.log(fitted.value), 1e-4
    score = (each(u + h) - each(u - h)) / (2 * h)
    curvature = np.mean(each(u + h) - 2 * each(u) + each(u - h)) / h**2
    error = np.sqrt(max(np.mean(score**2), curvature) / 500) / curvature
    assert np.log(fitted.high / fitted.value) == pytest.approx(1.6448536 * error, rel=1e-5)
    assert fitted.low * fitted.high == pytest.approx(fitted.value**2)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_interval_holds_the_truth_as_often_as_it_says(noise):
    """n = 300 sets of 500 rows: 95%, within 4.5 standard errors; labels follow the logits, or a tenth are random."""

    def fitted(rows: int, seed: int) -> Temperature:
        p, stream = drawn_at(rows, seed=seed), seeded(seed)
        random = torch.rand(rows, generator=stream) < noise
        labels = torch.where(random, torch.randint(5, (rows,), generator=stream), p.labels)
        return fit_temperature(Predictions.from_logits(p.logits, labels))

    truth = fitted(200_000, 0).value if noise else 2.0
    sets = [fitted(500, seed + 1) for seed in range(300)]
    held = np.mean([t.low <= truth <= t.high for t in sets])
    assert abs(held - 0.95) < 4.5 * (0.95 * 0.05 / 300) ** 0.5


def test_rows_of_very_different_sizes_do_not_lead_newton_astray():
    """Logits over many orders of magnitude: scipy finds the root of the same slope, in brackets."""
    fits = 0
    for seed in range(60):
        stream = seeded(seed)
        sizes = torch.exp(4 * torch.randn(30, 1, generator=stream, dtype=torch.float64))
        logits = sizes * torch.randn(30, 4, generator=stream, dtype=torch.float64)
        labels = torch.where(torch.rand(30, generator=stream) < 0.9, logits.argmax(1), 0)
        z = logits.numpy()
        gaps = z - z[np.arange(30), labels.numpy()][:, None]

        def slope(u: float, gaps: np.ndarray = gaps) -> float:
            return float(np.mean((softmax(gaps * np.exp(-u), axis=1) * gaps).sum(1)))

        if slope(30) >= 0 or gaps.max() <= 0:
            continue
        wanted = np.exp(brentq(slope, -30, 30, xtol=1e-13))
        assert fit_temperature(Predictions.from_logits(logits, labels)).value == pytest.approx(wanted, rel=1e-8)
        fits += 1
    assert fits > 30


def test_one_row_gives_no_certainty():
    """Its slope is 0 at the best temperature, and the sandwich alone would have no width."""
    fitted = fit_temperature(Predictions.from_logits(torch.tensor([[1.0, 0.5, -9.0]]), torch.tensor([1])))
    assert fitted.high > 10 * fitted.value


def test_netcal_fits_the_same_temperature():
    from netcal.scaling import TemperatureScaling

    p = drawn_at(2000, spread=2.0)
    fitted = fit_temperature(p)
    scaling = TemperatureScaling()
    scaling.fit(p.probs.numpy(), p.labels.numpy())
    assert fitted(p).probs.numpy() == pytest.approx(scaling.transform(p.probs.numpy()), abs=2e-3)


def test_a_temperature_applies_to_other_predictions_and_keeps_answers_and_classes():
    p, test = drawn_at(300), drawn_at(100, seed=9)
    test = Predictions.from_logits(test.logits, test.labels, ["a", "b", "c", "d", "e"])
    t = fit_temperature(p)
    calibrated = t(test)
    assert torch.equal(calibrated.logits, test.logits / t.value)
    assert torch.equal(calibrated.answer, test.answer)
    assert calibrated.classes == test.classes
    assert fit_temperature(t(p)).value == pytest.approx(1, rel=1e-9)


def test_a_temperature_reads_as_a_sentence():
    t = Temperature(0.75, 0.7, 0.8036, 10000, 0.95, 0.9, 0.81234)
    assert repr(t) == "Temperature(0.750 [0.700, 0.804] (95%, n = 10,000), NLL 0.9000 -> 0.8123)"


def test_probabilities_count_by_their_logarithms():
    p = drawn_at(400)
    table = Predictions.from_probs(p.probs, p.labels)
    t, of_table = fit_temperature(p), fit_temperature(table)
    assert of_table.value == pytest.approx(t.value, rel=1e-9)
    assert of_table(table).given_logits is None
    torch.testing.assert_close(of_table(table).probs, t(p).probs)


def test_a_probability_of_0_is_a_class_that_is_left_out():
    """A row of three classes with a 0 tells as much as the row of the other two."""
    two = drawn_at(200, classes=2, spread=2.0)
    three = Predictions.from_probs(torch.cat([two.probs, torch.zeros(200, 1, dtype=torch.float64)], 1), two.labels)
    t = fit_temperature(two)
    fitted = fit_temperature(three)
    for name in ("value", "low", "high", "nll_before", "nll_after"):
        assert getattr(fitted, name) == pytest.approx(getattr(t, name), rel=1e-9)
    torch.testing.assert_close(fitted(three).probs[:, :2], t(two).probs)
    assert fitted(three).probs[:, 2].eq(0).all()


def test_one_wrong_answer_is_enough_for_a_temperature():
    logits = torch.full((1000, 10), 0.0).index_fill_(1, torch.tensor([3]), 5.0)
    labels = torch.full((1000,), 3)
    labels[7] = 0
    fitted = fit_temperature(Predictions.from_logits(logits, labels))
    # 999 of 1,000 right means e^(5 beta) / (e^(5 beta) + 9) = 0.999
    assert fitted.value == pytest.approx(5 / np.log(9 * 999), rel=1e-9)


LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
RIGHT, WRONG = (Predictions.from_logits(LOGITS, torch.tensor(labels)) for labels in ([0, 1, 0], [1, 0, 0]))
FLAT = Predictions.from_logits(torch.full((4, 3), 2.5), torch.tensor([0, 1, 2, 0]))
IMPOSSIBLE = Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.3, 0.7]]), torch.tensor([1, 1]))
P = drawn_at(60)


test_what_cannot_be_fitted_says_why = each_refused(
    (lambda: fit_temperature(RIGHT), ValueError, "predictions", "shrinks to 0", "any of 3 rows", "held-out"),
    (lambda: fit_temperature(WRONG), ValueError, "predictions", "grows without end", "of 3 rows", "labels belong"),
    (lambda: fit_temperature(FLAT), ValueError, "predictions", "whose logits differ", "each of 4 rows"),
    (lambda: fit_temperature(IMPOSSIBLE), ValueError, "predictions", "1 of 2 rows", "infinite", "from_logits"),
    (lambda: fit_temperature(LOGITS), TypeError, "predictions", "Predictions", "[3, 2]"),
    (lambda: at_temperature(P, 0), ValueError, "temperature", "1e-30 to 1e+30", "got 0"),
    (lambda: fit_vector_scaling(P)(drawn_at(9, classes=4)), ValueError, "predictions", "5 classes", "got 4"),
    (lambda: fit_vector_scaling(IMPOSSIBLE), ValueError, "predictions", "finite", "1 of 2 rows", "from_logits"),
    (lambda: fit_isotonic(P.probs), TypeError, "predictions", "Predictions", "[60, 5]"),
    (lambda: crossfit(P, "isotonic"), TypeError, "fit", "fit_temperature", "'isotonic'"),
    (lambda: crossfit(P, fit_temperature, folds=61), ValueError, "folds", "2 to 60", "61"),
)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_crossfit_calibrates_each_row_by_a_fit_on_the_others(folds):
    p = drawn_at(100)
    p = Predictions.from_logits(p.logits, p.labels, ["a", "b", "c", "d", "e"])
    seen = []

    def fit(part):
        seen.append(part)
        return fit_temperature(part)

    fitted = crossfit(p, fit, folds, seed=3)
    assert torch.equal(fitted.labels, p.labels)
    assert fitted.classes == p.classes
    assert sorted(len(part) for part in seen) == sorted(
        100 - len(part) for part in torch.arange(100).tensor_split(folds)
    )
    times = torch.zeros(100, dtype=torch.int64)
    for part in seen:
        inside = (p.logits[:, None] == part.logits[None]).all(2).any(1)
        times += ~inside
        torch.testing.assert_close(fitted.logits[~inside], p.logits[~inside] / fit_temperature(part).value)
    assert times.eq(1).all()
    assert torch.equal(crossfit(p, fit_temperature, folds, seed=3).logits, fitted.logits)
    assert not torch.equal(crossfit(p, fit_temperature, folds, seed=4).logits, fitted.logits)


@pytest.mark.parametrize("fit", [fit_temperature, fit_vector_scaling, fit_isotonic])
def test_every_fit_crosses_and_changes_nothing_given(fit):
    p = drawn_at(200)
    kept = p.logits.clone(), p.probs.clone(), p.labels.clone()
    assert len(crossfit(p, fit)) == 200
    assert (crossfit(p, fit).given_logits is None) == (fit is fit_isotonic)
    assert all(torch.equal(now, then) for now, then in zip((p.logits, p.probs, p.labels), kept, strict=True))
