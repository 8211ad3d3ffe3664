"""Vector scaling and isotonic regression against scipy, autograd and scikit-learn."""

import numpy as np
import pytest
import torch
from drawn_predictions import drawn_at, mean_nll
from scipy.optimize import isotonic_regression, minimize
from seeding import seeded

from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration import fit_isotonic, fit_vector_scaling


def test_vector_scaling_is_the_minimum_that_scipy_finds():
    p = drawn_at(400, classes=4)
    logits, labels = p.logits.numpy(), p.labels
    size = np.sqrt(np.mean(logits**2))

    def total(theta: np.ndarray) -> float:
        scale, shift = theta.reshape(2, 4)
        prior = (np.sum((scale * size) ** 2) + np.sum(shift**2)) / 200
        return 400 * mean_nll(logits * scale + shift, labels) + float(prior)

    brute = minimize(total, np.concatenate([np.ones(4), np.zeros(4)]), method="BFGS", options={"gtol": 1e-7})
    fitted = fit_vector_scaling(p)
    assert fitted.scale.numpy() == pytest.approx(brute.x[:4], abs=1e-5)
    assert fitted.shift.numpy() == pytest.approx(brute.x[4:] - brute.x[4:].mean(), abs=1e-5)
    assert float(fitted.shift.sum()) == pytest.approx(0, abs=1e-12)
    assert fitted.nll_after == pytest.approx(mean_nll(fitted(p).logits.numpy(), labels), rel=1e-12)


def test_vector_scaling_undoes_what_was_done_to_each_class():
    p = drawn_at(100_000, classes=3, true=1.0)
    scale, shift = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([1.0, -1.0, 0.0])
    bent = Predictions.from_logits((p.logits - shift) / scale, p.labels, ["a", "b", "c"])
    fitted = fit_vector_scaling(bent)
    torch.testing.assert_close(fitted.scale, scale.double(), atol=0.03, rtol=0.03)
    torch.testing.assert_close(fitted.shift, shift.double(), atol=0.05, rtol=0)
    assert fitted(bent).classes == bent.classes
    assert repr(fitted).startswith("VectorScaling(3 classes, scales 0.")
    tiny = fit_vector_scaling(Predictions.from_logits(1e-6 * bent.logits, p.labels))
    torch.testing.assert_close(tiny.scale, 1e6 * fitted.scale, rtol=1e-6, atol=0)


def test_vector_scaling_reaches_a_point_without_slope_from_any_logits():
    """Logits over many orders of magnitude; the slope of NLL and prior, by autograd, is nothing against its parts."""
    for seed in range(20):
        stream = seeded(seed)
        logits = torch.randn(40, 5, generator=stream, dtype=torch.float64)
        logits *= torch.exp(5 * torch.randn(40, 1, generator=stream, dtype=torch.float64))
        labels = logits.argmax(1) if seed % 2 == 0 else torch.randint(5, (40,), generator=stream)
        fitted = fit_vector_scaling(Predictions.from_logits(logits, labels))
        size = logits.square().mean().sqrt()
        theta = torch.stack([fitted.scale * size, fitted.shift]).requires_grad_()
        likelihood = (logits / size * theta[0] + theta[1]).log_softmax(1).gather(1, labels[:, None]).sum()
        (theta.square().sum() / 200 - likelihood).backward()
        assert float(theta.grad.abs().max()) < 1e-4


def test_vector_scaling_stays_finite_where_a_class_is_absent_or_all_is_right():
    absent = drawn_at(300, classes=6)
    absent = Predictions.from_logits(absent.logits, absent.labels.clamp(max=4))
    absent = Predictions.from_logits(absent.logits, absent.labels.where(absent.labels != 2, 0))
    calibrated = fit_vector_scaling(absent)(absent).probs.mean(0)
    assert 0 < float(calibrated[2]) < 0.01
    assert 0 < float(calibrated[5]) < 0.01
    perfect = Predictions.from_logits(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert bool(fit_vector_scaling(perfect).scale.isfinite().all())
    flat = Predictions.from_logits(torch.zeros(10, 2), torch.tensor([0] * 7 + [1] * 3))
    torch.testing.assert_close(fit_vector_scaling(flat)(flat).probs[0], torch.tensor([0.7, 0.3]), atol=2e-3, rtol=0)


def test_isotonic_is_scipys_least_squares_and_keeps_the_answers():
    p = drawn_at(2000, spread=2.0)
    fitted = fit_isotonic(p)
    calibrated = fitted(p)
    order = p.confidence.argsort()
    wanted = isotonic_regression(p.correct[order].double().numpy()).x.clip(1 / 2002, 1 - 1 / 2002)
    rest = p.probs.scatter(1, p.answer[:, None], 0)
    runner_up = (rest.amax(1) / rest.sum(1))[order].numpy()
    wanted = np.maximum(wanted, runner_up / (1 + runner_up))
    assert calibrated.confidence[order].numpy() == pytest.approx(wanted, abs=1e-8)
    assert torch.equal(calibrated.answer, p.answer)
    assert fitted.nll_after == pytest.approx(-float(calibrated.logits.gather(1, p.labels[:, None]).mean()))
    # the other classes keep their proportions
    others = calibrated.probs.scatter(1, p.answer[:, None], 0)
    torch.testing.assert_close(others / others.sum(1, keepdim=True), rest / rest.sum(1, keepdim=True))
    assert repr(fitted).startswith(f"Isotonic({len(fitted.confidence)} corners, n = 2,000, NLL ")


def test_isotonic_maps_other_predictions_as_scikit_learn_does():
    from sklearn.isotonic import IsotonicRegression

    p, test = drawn_at(1000, classes=2, true=1.2), drawn_at(500, classes=2, seed=4)
    peer = IsotonicRegression(out_of_bounds="clip").fit(p.confidence.numpy(), p.correct.double().numpy())
    wanted = peer.predict(test.confidence.numpy()).clip(0.5, 1 - 1 / 1002)
    assert fit_isotonic(p)(test).confidence.numpy() == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize(("classes", "labels"), [(2, [1, 1, 0]), (4, [0, 3, 1])])
def test_isotonic_keeps_rows_whole_at_confidence_1_and_at_ties(classes, labels):
    """All wrong: the map is the least share everywhere, so that every answer is held just above the runner-up."""
    probs = torch.zeros(3, classes)
    probs[0, 0] = 1
    probs[1, :2] = 0.5
    probs[2, 1] = 1
    p = Predictions.from_probs(probs, torch.tensor(labels))
    assert not bool((p.correct).any()) or classes == 4
    calibrated = fit_isotonic(p)(p)
    assert torch.equal(calibrated.answer, p.answer)
    torch.testing.assert_close(calibrated.probs.sum(1), torch.ones(3, dtype=torch.float64))
    assert bool((calibrated.probs >= 0).all())
    if classes == 2:
        torch.testing.assert_close(calibrated.probs, torch.full((3, 2), 0.5, dtype=torch.float64), atol=1e-8, rtol=0)
        assert fit_isotonic(p[:1])(p).confidence.tolist() == pytest.approx([0.5] * 3)


def test_isotonic_does_not_cost_an_infinite_nll():
    right = Predictions.from_probs(torch.tensor([[1.0, 0.0]] * 8), torch.zeros(8, dtype=torch.int64))
    wrong = Predictions.from_probs(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    torch.testing.assert_close(fit_isotonic(right)(wrong).probs, torch.tensor([[0.9, 0.1]], dtype=torch.float64))
