"""A fitted temperature against scipy's brute force, netcal, and what must hold by construction; crossfit."""

import re

import numpy as np
import pytest
import torch
from drawn_predictions import drawn_at, mean_nll
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp, softmax

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
    found = fit_temperature(p)
    brute = minimize_scalar(lambda u: mean_nll(logits / np.exp(u), p.labels), (-3, 3), tol=1e-12)
    assert found.value == pytest.approx(np.exp(brute.x), rel=1e-6)  # a parabola's foot: scipy sees the root of its eps
    assert found.nll_after == pytest.approx(brute.fun, rel=1e-12)
    assert found.nll_before == pytest.approx(mean_nll(logits, p.labels), rel=1e-12)
    assert (found.n, found.level) == (n, 0.95)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 37.0, 1e12])
def test_the_temperature_scales_with_the_logits(factor):
    p = drawn_at(400)
    found, other = fit_temperature(p), fit_temperature(Predictions.from_logits(factor * p.logits, p.labels))
    for name in ("value", "low", "high"):
        assert getattr(other, name) == pytest.approx(factor * getattr(found, name), rel=1e-7)
    assert other.nll_after == pytest.approx(found.nll_after, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])  # the sandwich is the wider one in some of them
def test_the_interval_is_the_sandwich_by_finite_differences(seed):
    p = drawn_at(500, seed=seed)
    found = fit_temperature(p, level=0.9)
    logits, labels = p.logits.numpy(), p.labels.numpy()

    def each(u: float) -> np.ndarray:
        z = logits / np.exp(u)
        return logsumexp(z, axis=1) - z[np.arange(500), labels]

    u, h = np.log(found.value), 1e-4
    score = (each(u + h) - each(u - h)) / (2 * h)
    curvature = np.mean(each(u + h) - 2 * each(u) + each(u - h)) / h**2
    error = np.sqrt(max(np.mean(score**2), curvature) / 500) / curvature
    assert np.log(found.high / found.value) == pytest.approx(1.6448536 * error, rel=1e-5)
    assert found.low * found.high == pytest.approx(found.value**2)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """n = 600 sets of 500 rows: 95%, within 4.5 standard errors; labels follow the logits, or a tenth are random."""
    hits = [0, 0]
    stream = torch.Generator().manual_seed(1)
    wrong_true = None
    for run in range(-1, 600):
        p = drawn_at(200_000 if run < 0 else 500, seed=run + 1)
        random = torch.rand(len(p), generator=stream) < 0.1
        labels = torch.where(random, torch.randint(5, (len(p),), generator=stream), p.labels)
        noisy = fit_temperature(Predictions.from_logits(p.logits, labels))
        if wrong_true is None:  # the first, of 200,000, stands for the temperature that is best for all
            wrong_true = noisy.value
            continue
        clean = fit_temperature(p)
        hits[0] += clean.low <= 2.0 <= clean.high
        hits[1] += noisy.low <= wrong_true <= noisy.high
    for count in hits:
        assert abs(count / 600 - 0.95) < 4.5 * (0.95 * 0.05 / 600) ** 0.5


def test_rows_of_very_different_sizes_do_not_lead_newton_astray():
    """Logits over many orders of magnitude: scipy finds the root of the same slope, in brackets."""
    fitted = 0
    for seed in range(60):
        stream = torch.Generator().manual_seed(seed)
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
        fitted += 1
    assert fitted > 30


def test_one_row_gives_no_certainty():
    """Its slope is 0 at the best temperature, and the sandwich alone would have no width."""
    found = fit_temperature(Predictions.from_logits(torch.tensor([[1.0, 0.5, -9.0]]), torch.tensor([1])))
    assert found.high > 10 * found.value


def test_netcal_fits_the_same_temperature():
    from netcal.scaling import TemperatureScaling

    p = drawn_at(2000, spread=2.0)
    found = fit_temperature(p)
    scaling = TemperatureScaling()
    scaling.fit(p.probs.numpy(), p.labels.numpy())
    assert found(p).probs.numpy() == pytest.approx(scaling.transform(p.probs.numpy()), abs=2e-3)


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
    found = fit_temperature(three)
    for name in ("value", "low", "high", "nll_before", "nll_after"):
        assert getattr(found, name) == pytest.approx(getattr(t, name), rel=1e-9)
    torch.testing.assert_close(found(three).probs[:, :2], t(two).probs)
    assert found(three).probs[:, 2].eq(0).all()


def test_one_wrong_answer_is_enough_for_a_temperature():
    logits = torch.full((1000, 10), 0.0).index_fill_(1, torch.tensor([3]), 5.0)
    labels = torch.full((1000,), 3)
    labels[7] = 0
    found = fit_temperature(Predictions.from_logits(logits, labels))
    # 999 of 1,000 right means e^(5 beta) / (e^(5 beta) + 9) = 0.999
    assert found.value == pytest.approx(5 / np.log(9 * 999), rel=1e-9)


LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (
            Predictions.from_logits(LOGITS, torch.tensor([0, 1, 0])),
            (
                "predictions have no best temperature: its NLL falls as T shrinks to 0, as no class has a higher logit "
                "than the "
                "true one in any of 3 rows; fit on held-out ones, and on more, until some are wrong"
            ),
        ),
        (
            Predictions.from_logits(LOGITS, torch.tensor([1, 0, 0])),
            (
                "predictions have no best temperature: its NLL falls as T grows without end, as the logits are no "
                "better than chance for the true classes of 3 rows; check that logits and labels belong together"
            ),
        ),
        (
            Predictions.from_logits(torch.full((4, 3), 2.5), torch.tensor([0, 1, 2, 0])),
            "predictions must hold a row whose logits differ, got equal logits in each of 4 rows",
        ),
        (
            Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.3, 0.7]]), torch.tensor([1, 1])),
            (
                "predictions give probability 0 to the true class in 1 of 2 rows, so its NLL is infinite at every "
                "temperature; make them with Predictions.from_logits, whose logits do not round to 0"
            ),
        ),
        (
            LOGITS,
            (
                "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got a float32 "
                "tensor of "
                "shape [3, 2]"
            ),
        ),
    ],
)
def test_a_temperature_that_diverges_says_so(p, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        fit_temperature(p)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: fit_temperature(p, level=95), "level must be a number from 0.5 to 0.999, got 95"),
        (lambda p: at_temperature(p, 0), "temperature must be a number from 1e-30 to 1e+30, got 0"),
        (
            lambda p: fit_vector_scaling(p)(drawn_at(9, classes=4)),
            "predictions must be of 5 classes, as what was fitted, got 4",
        ),
        (
            lambda _: fit_vector_scaling(Predictions.from_probs(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))),
            (
                "predictions must have a finite logit for every class, got 1 of 1 rows with a probability of 0; "
                "make them with Predictions.from_logits"
            ),
        ),
        (
            lambda p: fit_isotonic(p.probs),
            (
                "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got a float64 "
                "tensor of "
                "shape [60, 5]"
            ),
        ),
        (
            lambda p: crossfit(p, "isotonic"),
            "fit must be a function of Predictions, such as fit_temperature, got 'isotonic'",
        ),
        (lambda p: crossfit(p, fit_temperature, folds=61), "folds must be an integer from 2 to 60, got 61"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call(drawn_at(60))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_crossfit_calibrates_each_row_by_a_fit_on_the_others(folds):
    p = drawn_at(100)
    p = Predictions.from_logits(p.logits, p.labels, ["a", "b", "c", "d", "e"])
    seen = []

    def fit(part):
        seen.append(part)
        return fit_temperature(part)

    found = crossfit(p, fit, folds, seed=3)
    assert torch.equal(found.labels, p.labels)
    assert found.classes == p.classes
    assert sorted(len(part) for part in seen) == sorted(
        100 - len(part) for part in torch.arange(100).tensor_split(folds)
    )
    times = torch.zeros(100, dtype=torch.int64)
    for part in seen:
        inside = (p.logits[:, None] == part.logits[None]).all(2).any(1)
        times += ~inside
        torch.testing.assert_close(found.logits[~inside], p.logits[~inside] / fit_temperature(part).value)
    assert times.eq(1).all()
    assert torch.equal(crossfit(p, fit_temperature, folds, seed=3).logits, found.logits)
    assert not torch.equal(crossfit(p, fit_temperature, folds, seed=4).logits, found.logits)


def test_crossfit_takes_every_fit():
    p = drawn_at(200)
    for fit in (fit_temperature, fit_vector_scaling, fit_isotonic):
        assert len(crossfit(p, fit)) == 200
    assert crossfit(p, fit_isotonic).given_logits is None


def test_nothing_given_is_changed():
    p = drawn_at(100)
    kept = p.logits.clone(), p.probs.clone(), p.labels.clone()
    for fit in (fit_temperature, fit_vector_scaling, fit_isotonic):
        fit(p)(p)
    assert all(torch.equal(now, then) for now, then in zip((p.logits, p.probs, p.labels), kept, strict=True))
