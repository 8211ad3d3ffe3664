"""Errors and scores against the textbook in plain float64 loops, and against other libraries where they are right."""

from dataclasses import astuple
from importlib.metadata import version

import netcal.metrics
import numpy as np
import pytest
import relplot.metrics
import torch
from drawn_predictions import EXTREMES, sample
from refusals import each_refused
from scipy import stats
from seeding import seeded
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from textbook import error_of, means_of, textbook, top
from torchmetrics.functional.classification import multiclass_calibration_error

from mixlab.calibration.calibration_error import calibration_error, classwise_error, overconfidence, underconfidence
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.scores import brier, murphy, nll

NORMS = ("l1", "l2", "max")


@pytest.fixture(params=EXTREMES, scope="module")
def hard(request):
    return EXTREMES[request.param]


@pytest.mark.parametrize("n_bins", [1, 5, 15])
@pytest.mark.parametrize("bins", ["width", "mass"])
def test_calibration_error_is_the_textbooks(hard, bins, n_bins):
    means = means_of(*top(hard), bins, n_bins)
    for norm in NORMS:
        ours = calibration_error(hard, norm=norm, bins=bins, n_bins=n_bins)
        assert ours == pytest.approx(error_of(means, norm), rel=1e-9, abs=1e-9), norm


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_debiased_errors_are_the_textbooks(hard, bins):
    squares = plain = 0.0
    for share, conf, acc, count in means_of(*top(hard), bins, 15):
        gap = abs(conf - acc)
        if count > 1:
            squares += share * (gap**2 - acc * (1 - acc) / (count - 1))
        spread = (acc * (1 - acc) / count) ** 0.5
        noisy = stats.foldnorm(gap / spread, scale=spread).mean() if spread else gap
        plain += share * (2 * gap - noisy)
    ours = [calibration_error(hard, norm=norm, bins=bins, debiased=True) for norm in ("l2", "l1")]
    # a root near 0 magnifies rounding
    assert ours[0] ** 2 == pytest.approx(max(squares, 0), rel=1e-9, abs=1e-12)
    assert ours[1] == pytest.approx(max(plain, 0), rel=1e-9, abs=1e-9)


def test_the_closed_form_of_debiased_l1_is_what_drawing_tends_to():
    """As `normal_debiased_ce` of Kumar et al. draws it, with 20,000 draws: within 5 standard errors."""
    p = sample(400, 5, 1.3, 0)
    draw, drawn = np.random.default_rng(0), np.zeros(20_000)
    for share, conf, acc, count in means_of(*top(p), "width", 15):
        drawn += share * np.abs(draw.normal(acc, (acc * (1 - acc) / count) ** 0.5, len(drawn)) - conf)
    expected = 2 * calibration_error(p) - drawn.mean()
    assert expected > 0.005
    ours = calibration_error(p, debiased=True)
    assert ours == pytest.approx(expected, abs=5 * drawn.std() / len(drawn) ** 0.5)


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_classwise_error_is_the_textbooks(hard, bins):
    probs, labels = hard.probs.numpy(), hard.labels.numpy()
    means = [means_of(column, labels == k, bins, 7) for k, column in enumerate(probs.T)]
    for norm in NORMS:
        ours = classwise_error(hard, norm=norm, bins=bins, n_bins=7)
        assert ours == pytest.approx(np.mean([error_of(one, norm) for one in means]), rel=1e-9, abs=1e-9), norm


def test_a_thousand_classes_are_taken_in_parts(monkeypatch):
    p = sample(300, 1000, 1.0, 0)
    whole = classwise_error(p, norm="l2"), classwise_error(p)
    monkeypatch.setattr("mixlab.calibration.classwise.CHUNK", 300 * 7)
    assert (classwise_error(p, norm="l2"), classwise_error(p)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("score", [overconfidence, underconfidence, nll, brier])
def test_sides_nll_and_brier_are_the_textbooks(hard, score):
    assert score(hard) == pytest.approx(textbook(hard, 15)[score.__name__], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("bins", ["width", "mass"])
@pytest.mark.parametrize("n_bins", [1, 15])
def test_murphys_terms_add_up_and_are_the_textbooks(hard, bins, n_bins):
    conf, right = top(hard)
    brier, base = ((conf.astype(float) - right) ** 2).mean(), right.mean()
    means = means_of(conf, right, bins, n_bins)
    reliability = sum(share * (conf - acc) ** 2 for share, conf, acc, _ in means)
    resolution = sum(share * (acc - base) ** 2 for share, _, acc, _ in means)
    within = brier - sum(share * ((conf - acc) ** 2 + acc * (1 - acc)) for share, conf, acc, _ in means)
    ours = murphy(hard, bins=bins, n_bins=n_bins)
    assert astuple(ours) == pytest.approx((reliability, resolution, base * (1 - base), within), rel=1e-9, abs=1e-12)
    assert ours.brier == pytest.approx(brier, abs=1e-12)
    assert ours.brier == ours.reliability - ours.resolution + ours.uncertainty + ours.within


@pytest.mark.parametrize(
    ("classes", "sharpness", "n_bins"), [(10, 1.0, 10), (10, 2.0, 15), (2, 1.5, 5), (100, 0.5, 15)]
)
def test_agrees_with_netcal_and_torchmetrics_away_from_edges(classes, sharpness, n_bins):
    p = sample(1500, classes, sharpness, seed=n_bins)
    # netcal takes two classes as one probability, of class 1, not as an answer
    two = p.confidence.numpy(), p.correct.numpy()
    given = two if classes == 2 else (p.probs.numpy(), p.labels.numpy())
    for ours, theirs in (
        (calibration_error(p, n_bins=n_bins), netcal.metrics.ECE(n_bins)),
        (calibration_error(p, norm="max", n_bins=n_bins), netcal.metrics.MCE(n_bins)),
        (calibration_error(p, bins="mass", n_bins=n_bins), netcal.metrics.ECE(n_bins, equal_intervals=False)),
    ):
        assert ours == pytest.approx(theirs.measure(*given), abs=1e-9)
    for norm in NORMS:
        theirs = multiclass_calibration_error(p.probs, p.labels, classes, n_bins=n_bins, norm=norm)
        assert calibration_error(p, norm=norm, n_bins=n_bins) == pytest.approx(float(theirs), abs=1e-6)


def test_agrees_with_scikit_learn():
    p = sample(2000, 6, 1.5, 0)
    for bins, strategy in (("width", "uniform"), ("mass", "quantile")):
        accuracy, conf = calibration_curve(p.correct, p.confidence, n_bins=10, strategy=strategy)
        gap = np.abs(accuracy - conf)
        assert calibration_error(p, norm="max", bins=bins, n_bins=10) == pytest.approx(gap.max(), abs=1e-9)
        if bins == "mass":
            assert calibration_error(p, bins=bins, n_bins=10) == pytest.approx(gap.mean(), abs=1e-9)
    assert nll(p) == pytest.approx(log_loss(p.labels, p.probs, labels=range(6)), rel=1e-9)
    binary = sample(500, 2, 1.5, 0)
    assert brier(binary) == pytest.approx(2 * brier_score_loss(binary.labels, binary.probs[:, 1]), rel=1e-9)


# Where others are wrong: each of these fails with a word of its own when they mend it


def still(package: str, defect: str, seen: bool) -> None:
    """The other package still has a defect; once it has not, say so."""
    assert seen, f"{package} {version(package)} no longer {defect}: take this off the list"


def test_confidence_one_is_in_the_last_bin_and_not_in_one_behind_it():
    p = Predictions.from_probs(torch.tensor([[0.05, 0.95], [0.0, 1.0]]), torch.tensor([1, 0]))
    conf, right = p.confidence.numpy(), p.correct.numpy().astype(float)
    assert calibration_error(p, n_bins=10) == pytest.approx(0.475)
    assert netcal.metrics.ECE(10).measure(conf, right) == pytest.approx(0.475)
    for package, theirs in (
        ("torchmetrics", float(multiclass_calibration_error(p.probs, p.labels, 2, n_bins=10))),
        ("relplot", float(relplot.metrics.binnedECE(conf, right, 10))),
    ):
        still(package, "puts confidence 1 behind the last bin", theirs == pytest.approx(0.525, abs=1e-3))


def test_one_row_of_nan_is_refused_and_does_not_change_all_others():
    p = sample(200, 5, 1.0, 0, torch.float32)
    broken = p.probs.clone()
    broken[0] = float("nan")
    with pytest.raises(ValueError, match=r"got 1 wrong rows: 1 with NaN or infinity$"):
        Predictions.from_probs(broken, p.labels)
    theirs = float(multiclass_calibration_error(broken, p.labels, 5))
    still("torchmetrics", "squashes all rows where one is NaN", abs(theirs - calibration_error(p[1:])) > 0.1)


def test_logits_between_0_and_1_are_refused_and_not_read_as_probabilities():
    g = seeded()
    logits = torch.rand(200, 5, generator=g)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    with pytest.raises(ValueError, match="for logits call"):
        Predictions.from_probs(logits, labels)
    assert calibration_error(Predictions.from_logits(logits, labels)) < 0.2, "softmax comes first"
    theirs = float(multiclass_calibration_error(logits, labels, 5))
    still("torchmetrics", "reads logits as probabilities", theirs > 0.4)


def test_the_nll_of_logits_is_finite_where_a_probability_rounds_to_0():
    p = Predictions.from_logits(torch.tensor([[200.0, 0.0]]), torch.tensor([1]))
    assert float(p.probs[0, 1]) == 0
    assert nll(p) == 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_edges_are_those_of_the_type_that_was_given(dtype):
    probs = torch.tensor([[0.2, 0.2, 0.2, 0.2, 0.2], [0.9, 0.1, 0.0, 0.0, 0.0]]).to(dtype)
    labels = torch.tensor([0, 0])
    p = Predictions.from_probs(probs, labels)
    streamed = Reliability(5).update(probs, labels)
    assert calibration_error(p, n_bins=5) == pytest.approx(streamed.ece(), abs=1e-12)
    assert calibration_error(p, norm="max", n_bins=5) == pytest.approx(streamed.mce(), abs=1e-12)
    assert int(streamed.bins().count[0]) == 1


GOOD = Predictions.from_probs(torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1]))


test_wrong_settings = each_refused(
    (lambda: calibration_error(GOOD, norm="l3"), ValueError, "norm", "'l1', 'l2', 'max'", "'l3'"),
    (lambda: calibration_error(GOOD, bins="masss"), ValueError, "bins", "'width', 'mass'", "'masss'"),
    (lambda: calibration_error(GOOD, norm="max", debiased=True), ValueError, "norm", "'l1' or 'l2'", "'max'"),
    (lambda: classwise_error(GOOD, n_bins=2.5), TypeError, "n_bins", "1 to 10000", "2.5"),
)
