"""Every estimator against the textbook in plain float64 loops, and against other libraries where they are right."""

import math
from collections.abc import Callable
from importlib.metadata import version

import netcal.metrics
import netcal.presentation
import numpy as np
import pytest
import relplot.metrics
import torch
from matplotlib import pyplot as plt
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from mixlab.calibration.calibration_error import calibration_error, classwise_error, overconfidence, underconfidence
from mixlab.calibration.estimators import ESTIMATORS, estimate, estimates
from mixlab.calibration.intervals import Interval
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.scores import brier, murphy, nll

NORMS = ("l1", "l2", "max")


def sample(n: int, classes: int, sharpness: float, seed: int, dtype: torch.dtype = torch.float64) -> Predictions:
    """Labels are drawn at sharpness 1: sharper predictions are over-confident, others under-confident."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=g, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    return Predictions.from_probs((sharpness * logits).softmax(1).to(dtype), labels)


def top(conf: list[float], right: list[int], dtype: torch.dtype = torch.float64, rest: int = 20) -> Predictions:
    """Predictions whose first class has the given confidence, and all others share what is left."""
    first = torch.tensor(conf, dtype=dtype)[:, None]
    others = ((1 - first.double()) / rest).to(dtype).expand(-1, rest)
    return Predictions.from_probs(torch.cat([first, others], 1), 1 - torch.tensor(right))


HARD = {
    "confidence 1, right and wrong": lambda: top([1.0, 1.0, 0.95, 0.3], [1, 0, 1, 0]),
    "all certain and wrong": lambda: top([1.0] * 5, [0] * 5),
    "all certain and right": lambda: top([1.0] * 5, [1] * 5),
    "ties on edges": lambda: top([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 1, 0, 1]),
    "ties on edges, float32": lambda: top([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 0, 1], torch.float32),
    "all in one bin": lambda: top([0.71, 0.72, 0.73, 0.715], [1, 0, 1, 1]),
    "one prediction": lambda: top([0.7], [0]),
    "fewer than bins": lambda: sample(6, 10, 1.5, 0),
    "two classes, all tied": lambda: Predictions.from_probs(torch.full((6, 2), 0.5), torch.tensor([0, 1, 0, 0, 1, 1])),
    "two classes": lambda: sample(300, 2, 2.0, 1),
    "1,000 classes": lambda: sample(200, 1000, 1.0, 2),
    "1,000 classes, float32": lambda: sample(200, 1000, 3.0, 3, torch.float32),
    "exact zeros and ones": lambda: sample(200, 5, 400.0, 4),
    "random": lambda: sample(1500, 10, 1.5, 5),
    "random, float32": lambda: sample(1500, 3, 0.5, 6, torch.float32),
}


@pytest.fixture(params=HARD, scope="module")
def hard(request: pytest.FixtureRequest) -> Predictions:
    return HARD[request.param]()


def bins_of(values: np.ndarray, bins: str, n_bins: int) -> list[np.ndarray]:
    """Rows of each filled bin, (low, high], by the definition; the edges are in the dtype of the values."""
    if bins == "width":
        edges = [values.dtype.type(i / n_bins) for i in range(1, n_bins)]
    else:
        ordered = sorted(values)
        edges = [ordered[max(math.ceil(i * len(values) / n_bins) - 1, 0)] for i in range(1, n_bins)]
    where = np.array([sum(bool(value > edge) for edge in edges) for value in values])
    return [np.flatnonzero(where == i) for i in range(n_bins) if (where == i).any()]


def tables(p: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence in the dtype of the probabilities, correct, probabilities in float64."""
    probs = p.probs.numpy()
    answer = [int(row.argmax()) for row in probs]
    return probs.max(1), (np.array(answer) == p.labels.numpy()).astype(float), probs.astype(np.float64)


def norm_of(gaps: list[float], shares: list[float], norm: str) -> float:
    if norm == "max":
        return max(gaps)
    power = int(norm[1])
    return sum(s * g**power for s, g in zip(shares, gaps, strict=True)) ** (1 / power)


def mean_of(values: np.ndarray) -> float:
    return math.fsum(values.tolist()) / len(values)


@pytest.mark.parametrize("n_bins", [1, 5, 15])
@pytest.mark.parametrize("bins", ["width", "mass"])
def test_calibration_error_is_the_textbooks(hard, bins, n_bins):
    conf, right, _ = tables(hard)
    groups = bins_of(conf, bins, n_bins)
    gaps = [abs(mean_of(conf[rows].astype(float)) - mean_of(right[rows])) for rows in groups]
    shares = [len(rows) / len(conf) for rows in groups]
    for norm in NORMS:
        found = calibration_error(hard, norm=norm, bins=bins, n_bins=n_bins)
        assert found == pytest.approx(norm_of(gaps, shares, norm), rel=1e-9, abs=1e-9), norm


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_debiased_errors_are_the_textbooks(hard, bins):
    conf, right, _ = tables(hard)
    squares = plain = 0.0
    for rows in bins_of(conf, bins, 15):
        share, acc, count = len(rows) / len(conf), mean_of(right[rows]), len(rows)
        gap = abs(mean_of(conf[rows].astype(float)) - acc)
        if count > 1:
            squares += share * (gap**2 - acc * (1 - acc) / (count - 1))
        spread = (acc * (1 - acc) / count) ** 0.5
        noisy = stats.foldnorm(gap / spread, scale=spread).mean() if spread else gap
        plain += share * (2 * gap - noisy)
    found = [calibration_error(hard, norm=norm, bins=bins, debiased=True) for norm in ("l2", "l1")]
    # a root near 0 magnifies rounding
    assert found[0] ** 2 == pytest.approx(max(squares, 0), rel=1e-9, abs=1e-12)
    assert found[1] == pytest.approx(max(plain, 0), rel=1e-9, abs=1e-9)


def test_the_closed_form_of_debiased_l1_is_what_drawing_tends_to():
    """As the library uncertainty-calibration draws it, with 20,000 draws: within 5 standard errors."""
    p = sample(400, 5, 1.3, 0)
    conf, right, _ = tables(p)
    draw, drawn = np.random.default_rng(0), np.zeros(20_000)
    for rows in bins_of(conf, "width", 15):
        acc = right[rows].mean()
        noise = draw.normal(acc, (acc * (1 - acc) / len(rows)) ** 0.5, len(drawn))
        drawn += len(rows) / len(conf) * np.abs(noise - conf[rows].mean())
    expected = 2 * calibration_error(p) - drawn.mean()
    assert expected > 0.005
    found = calibration_error(p, debiased=True)
    assert found == pytest.approx(expected, abs=5 * drawn.std() / len(drawn) ** 0.5)


@pytest.mark.parametrize("name", ["debiased", "debiased_l1"])
def test_debiasing_takes_most_of_the_noise_of_a_calibrated_model_away(name):
    plain, norm = ("ece_l2", "l2") if name == "debiased" else ("ece", "l1")
    found = [
        (calibration_error(p, norm=norm), calibration_error(p, norm=norm, debiased=True))
        for p in (sample(1000, 5, 1.0, seed) for seed in range(20))
    ]
    raw, mended = np.mean(found, axis=0)
    assert mended < 0.75 * raw, plain


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_classwise_error_is_the_textbooks(hard, bins):
    probs, labels = hard.probs.numpy(), hard.labels.numpy()
    some = probs.shape[1] if probs.shape[1] < 100 else 40  # the first classes stand for all thousand
    if some < probs.shape[1]:  # the rest in one class; the labels of the rest too
        rest = probs[:, some:].astype(np.float64).sum(1, keepdims=True)
        probs = np.concatenate([probs[:, :some], rest.astype(probs.dtype)], 1)
        labels = np.minimum(labels, some)
        hard = Predictions.from_probs(torch.from_numpy(probs), torch.from_numpy(labels))
    expected = dict.fromkeys(NORMS, 0.0)
    for k in range(probs.shape[1]):
        groups = bins_of(probs[:, k], bins, 7)
        gaps = [abs(mean_of(probs[rows, k].astype(float)) - mean_of(labels[rows] == k)) for rows in groups]
        for norm in NORMS:
            shares = [len(rows) / len(labels) for rows in groups]
            expected[norm] += norm_of(gaps, shares, norm) / probs.shape[1]
    for norm in NORMS:
        found = classwise_error(hard, norm=norm, bins=bins, n_bins=7)
        assert found == pytest.approx(expected[norm], rel=1e-9, abs=1e-9), norm


def test_a_thousand_classes_are_taken_in_parts(monkeypatch):
    p = sample(300, 1000, 1.0, 0)
    whole = classwise_error(p, norm="l2"), classwise_error(p)
    monkeypatch.setattr("mixlab.calibration.classwise.CHUNK", 300 * 7)
    assert (classwise_error(p, norm="l2"), classwise_error(p)) == pytest.approx(whole, rel=1e-12)


def test_sides_nll_and_brier_are_those_of_reliability_and_the_textbook(hard):
    conf, right, probs = tables(hard)
    rel = Reliability().update(hard.probs, hard.labels)
    over = under = 0.0
    for rows in bins_of(conf, "width", 15):
        c, acc, share = mean_of(conf[rows].astype(float)), mean_of(right[rows]), len(rows) / len(conf)
        over, under = over + share * c * max(c - acc, 0), under + share * c * max(acc - c, 0)
    assert (overconfidence(hard), underconfidence(hard)) == pytest.approx((over, under), rel=1e-9, abs=1e-9)
    assert (overconfidence(hard), underconfidence(hard)) == pytest.approx((rel.overconfidence(), rel.underconfidence()))
    rows, labels = np.arange(len(conf)), hard.labels.numpy()
    with np.errstate(divide="ignore"):
        assert nll(hard) == pytest.approx(float(-np.log(probs[rows, labels]).mean()), rel=1e-9)
    assert brier(hard) == pytest.approx(
        ((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(1).mean(), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("bins", ["width", "mass"])
@pytest.mark.parametrize("n_bins", [1, 15])
def test_murphys_terms_add_up_and_are_the_textbooks(hard, bins, n_bins):
    conf, right, _ = tables(hard)
    conf = conf.astype(float) if bins == "mass" else conf
    reliability = resolution = within = 0.0
    for rows in bins_of(conf, bins, n_bins):
        c, acc, share = mean_of(conf[rows].astype(float)), mean_of(right[rows]), len(rows) / len(conf)
        reliability, resolution = reliability + share * (c - acc) ** 2, resolution + share * (acc - right.mean()) ** 2
        inner = conf[rows].astype(float) - c
        within += share * (inner**2 - 2 * inner * (right[rows] - acc)).mean()
    found = murphy(hard, bins=bins, n_bins=n_bins)
    expected = (reliability, resolution, right.mean() * (1 - right.mean()), within)
    got = (found.reliability, found.resolution, found.uncertainty, found.within)
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.brier == pytest.approx(float(((conf.astype(float) - right) ** 2).mean()), abs=1e-12)
    assert found.brier == found.reliability - found.resolution + found.uncertainty + found.within


# Beside other libraries, where all agree


@pytest.mark.parametrize(
    ("classes", "sharpness", "n_bins"), [(10, 1.0, 10), (10, 2.0, 15), (2, 1.5, 5), (100, 0.5, 15)]
)
def test_agrees_with_netcal_and_torchmetrics_away_from_edges(classes, sharpness, n_bins):
    p = sample(1500, classes, sharpness, seed=n_bins)
    probs, labels = p.probs.numpy(), p.labels.numpy()
    if classes == 2:  # netcal takes two classes as one probability, of class 1, not as an answer
        conf, right = p.confidence.numpy(), p.correct.numpy()
    else:
        conf, right = probs, labels
    close = {"abs": 1e-9}
    assert calibration_error(p, n_bins=n_bins) == pytest.approx(
        netcal.metrics.ECE(n_bins).measure(conf, right), **close
    )
    assert calibration_error(p, norm="max", n_bins=n_bins) == pytest.approx(
        netcal.metrics.MCE(n_bins).measure(conf, right), **close
    )
    equal = netcal.metrics.ECE(n_bins, equal_intervals=False).measure(conf, right)
    assert calibration_error(p, bins="mass", n_bins=n_bins) == pytest.approx(equal, **close)
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
    from sklearn.metrics import brier_score_loss

    assert brier(binary) == pytest.approx(2 * brier_score_loss(binary.labels, binary.probs[:, 1]), rel=1e-9)


# Where others are wrong: each of these fails with a word of its own when they mend it


def differs(ours: float, theirs: float, right: float, recorded: float, package: str) -> None:
    """Ours is right, theirs what was recorded; if theirs has become right, say so."""
    assert ours == pytest.approx(right, abs=1e-6)
    mended = (
        f"{package} {version(package)} now gives {theirs:.4f}, and no longer {recorded}: take this defect off the list"
    )
    assert theirs == pytest.approx(recorded, abs=1e-3), mended


def test_confidence_one_is_in_the_last_bin_and_not_in_one_behind_it():
    p = Predictions.from_probs(torch.tensor([[0.05, 0.95], [0.0, 1.0]]), torch.tensor([1, 0]))
    ours = calibration_error(p, n_bins=10)
    theirs = float(multiclass_calibration_error(p.probs, p.labels, 2, n_bins=10))
    differs(ours, theirs, 0.475, 0.525, "torchmetrics")
    conf, right = p.confidence.numpy(), p.correct.numpy().astype(float)
    differs(ours, float(relplot.metrics.binnedECE(conf, right, 10)), 0.475, 0.525, "relplot")
    assert netcal.metrics.ECE(10).measure(conf, right) == pytest.approx(ours)


def test_one_row_of_nan_is_refused_and_does_not_change_all_others():
    p = sample(200, 5, 1.0, 0, torch.float32)
    broken = p.probs.clone()
    broken[0] = float("nan")
    with pytest.raises(ValueError, match=r"got 1 wrong rows: 1 with NaN or infinity$"):
        Predictions.from_probs(broken, p.labels)
    without = calibration_error(p[1:])
    theirs = float(multiclass_calibration_error(broken, p.labels, 5))
    mended = (
        f"torchmetrics {version('torchmetrics')} no longer squashes all rows where one is NaN: take this off the list"
    )
    assert abs(theirs - without) > 0.1, mended


def test_logits_between_0_and_1_are_refused_and_not_read_as_probabilities():
    g = torch.Generator().manual_seed(0)
    logits = torch.rand(200, 5, generator=g)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    with pytest.raises(ValueError, match="for logits call"):
        Predictions.from_probs(logits, labels)
    ours = calibration_error(Predictions.from_logits(logits, labels))
    theirs = float(multiclass_calibration_error(logits, labels, 5))
    mended = f"torchmetrics {version('torchmetrics')} no longer reads logits as probabilities: take this off the list"
    assert ours < 0.2, "softmax comes first"
    assert theirs > 0.4, mended


def test_an_empty_bin_has_no_accuracy_where_netcal_draws_its_middle():
    p = Predictions.from_probs(
        torch.tensor([[0.05, 0.95], [0.45, 0.55], [0.02, 0.98]]).double(), torch.tensor([1, 0, 1])
    )
    drawn = netcal.presentation.ReliabilityDiagram(5).plot(p.confidence.numpy(), p.correct.numpy()).axes[1].patches
    plt.close("all")  # which netcal opens, and other tests find none open
    ours = Reliability(5).update(p.probs, p.labels).bins().accuracy
    assert ours[:2].isnan().all()
    mended = f"netcal {version('netcal')} no longer draws bars for empty bins: take this defect off the list"
    assert [bar.get_height() for bar in drawn[:2]] == pytest.approx([0.1, 0.3]), mended


# Intervals and tables


def test_every_estimate_has_an_interval_that_holds_it():
    p = sample(1000, 6, 1.5, 0, torch.float32)
    found = estimates(p)
    assert tuple(found) == tuple(ESTIMATORS)
    assert len(found) == len(ESTIMATORS)
    for name, interval in found.items():
        assert isinstance(interval, Interval), name
        assert interval.low <= interval.value <= interval.high, name
        assert interval.low < interval.high, name
        assert (interval.n, interval.level) == (1000, 0.95), name


VALUES: dict[str, Callable[[Predictions], float]] = {
    "ece": calibration_error,
    "ece_mass": lambda p: calibration_error(p, bins="mass"),
    "ece_l2": lambda p: calibration_error(p, norm="l2"),
    "mce": lambda p: calibration_error(p, norm="max"),
    "debiased": lambda p: calibration_error(p, norm="l2", debiased=True),
    "debiased_l1": lambda p: calibration_error(p, debiased=True),
    "classwise": classwise_error,
    "overconfidence": overconfidence,
    "underconfidence": underconfidence,
    "nll": nll,
    "brier": brier,
    "reliability": lambda p: murphy(p).reliability,
    "resolution": lambda p: murphy(p).resolution,
    "accuracy": lambda p: float(p.correct.double().mean()),
}


def test_estimates_are_what_the_functions_give(hard):
    found = estimates(hard, tuple(VALUES), n=100)
    for name, interval in found.items():
        assert interval.value == pytest.approx(VALUES[name](hard), nan_ok=True), name
        assert interval.low <= interval.value <= interval.high, name


def test_asking_twice_or_alone_gives_the_same_and_a_generator_another():
    p = sample(500, 4, 1.5, 0)
    assert estimate(p, "ece") == estimates(p, ("ece",))["ece"] == estimate(p, "ece")
    seeded = [estimate(p, "ece", generator=torch.Generator().manual_seed(seed)).low for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]
    wide, narrow = (estimate(p, "ece", level=level) for level in (0.95, 0.5))
    assert narrow.high - narrow.low < wide.high - wide.low
    assert estimate(p, "ece", n_bins=3).value == calibration_error(p, n_bins=3)


def test_the_interval_of_ece_is_that_of_reliability():
    p = sample(2000, 4, 1.3, 0)
    found = estimate(p, "ece")
    assert found == Reliability().update(p.probs, p.labels).interval("ece")


@pytest.mark.parametrize(("classes", "sharpness"), [(2, 1.0), (2, 2.0), (8, 1.0), (8, 2.0)])
def test_intervals_of_the_classwise_error_hold_the_truth(classes, sharpness):
    """At least 0.95 less 4 standard errors of 60 samples of 1,000; the truth is that of two million rows."""
    edges = torch.arange(1, 15, dtype=torch.float64) / 15
    g = torch.Generator().manual_seed(0)
    gaps = torch.zeros(classes * 15, dtype=torch.float64)
    for _ in range(10):
        logits = 2 * torch.randn(200_000 // classes, classes, generator=g, dtype=torch.float64)
        said, true = (sharpness * logits).softmax(1), logits.softmax(1)
        where = torch.bucketize(said, edges) + 15 * torch.arange(classes)
        gaps += torch.bincount(where.view(-1), (said - true).view(-1), 15 * classes)
    truth = float(gaps.abs().sum()) / (2_000_000 // classes) / classes
    found = [estimate(sample(1000, classes, sharpness, seed), "classwise", n=200) for seed in range(60)]
    held = np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in found])
    assert held >= 0.95 - 4 * (0.95 * 0.05 / 60) ** 0.5


def test_nothing_global_is_drawn_from_and_nothing_is_changed():
    p = sample(300, 4, 1.0, 0)
    state, probs = torch.random.get_rng_state(), p.probs.clone()
    estimates(p, n=100)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(p.probs, probs)


def test_estimates_read_as_a_table():
    found = estimates(sample(1000, 4, 1.0, 0), ("ece", "nll"), level=0.9, n=100)
    one = found["ece"]
    lines = repr(found).split("\n")
    assert lines[0] == "1,000 predictions, with 90% intervals"
    assert lines[1] == f"ece  {one.value:.4f}  [{one.low:.4f}, {one.high:.4f}]  {ESTIMATORS['ece'].about}"
    page = found._repr_html_()
    assert "<caption>1,000 predictions, with 90% intervals</caption>" in page
    assert page.count('<th scope="col"') == 4
    assert page.count('<th scope="row"') == 2
    assert f">{one.value:.4f}</td>" in page
    assert "mean |accuracy - confidence| over bins of equal width (Guo et al. 2017)" in page


def test_an_infinite_nll_reads_as_such():
    p = Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0]))
    assert estimate(p, "nll") == Interval(math.inf, math.inf, math.inf, 2, 0.95)
    assert "nll  inf  [inf, inf]" in repr(estimates(p, ("nll",)))


GOOD = Predictions.from_probs(torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1]))
NAMES = ", ".join(map(repr, ESTIMATORS))
WANTED = "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got 3"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: calibration_error(3), TypeError, WANTED),
        (lambda: classwise_error(3), TypeError, WANTED),
        (lambda: overconfidence(3), TypeError, WANTED),
        (lambda: underconfidence(3), TypeError, WANTED),
        (lambda: nll(3), TypeError, WANTED),
        (lambda: brier(3), TypeError, WANTED),
        (lambda: murphy(3), TypeError, WANTED),
        (lambda: estimates(3), TypeError, WANTED),
        (
            lambda: calibration_error(GOOD, norm="l3"),
            ValueError,
            "norm must be one of 'l1', 'l2', 'max', got 'l3'; did you mean 'l2'?",
        ),
        (
            lambda: calibration_error(GOOD, bins="masss"),
            ValueError,
            "bins must be one of 'width', 'mass', got 'masss'; did you mean 'mass'?",
        ),
        (
            lambda: classwise_error(GOOD, bins="equal"),
            ValueError,
            "bins must be one of 'width', 'mass', got 'equal'",
        ),
        (
            lambda: calibration_error(GOOD, norm="max", debiased=True),
            ValueError,
            "norm must be 'l1' or 'l2' where debiased is True, got 'max'",
        ),
        (lambda: calibration_error(GOOD, debiased=1), TypeError, "debiased must be True or False, got 1"),
        (lambda: calibration_error(GOOD, n_bins=0), ValueError, "n_bins must be an integer from 1 to 10000, got 0"),
        (lambda: classwise_error(GOOD, n_bins=2.5), TypeError, "n_bins must be an integer from 1 to 10000, got 2.5"),
        (lambda: murphy(GOOD, n_bins=10_001), ValueError, "n_bins must be an integer from 1 to 10000, got 10001"),
        (lambda: overconfidence(GOOD, 0), ValueError, "n_bins must be an integer from 1 to 10000, got 0"),
        (
            lambda: estimate(GOOD, "debiassed"),
            ValueError,
            f"name must be one of {NAMES}, got 'debiassed'; did you mean 'debiased'?",
        ),
        (
            lambda: estimates(GOOD, ("ece", "eec")),
            ValueError,
            f"names must be one of {NAMES}, got 'eec'; did you mean 'ece'?",
        ),
        (
            lambda: estimates(GOOD, "ece"),
            TypeError,
            "names must be a sequence of at least one name of an estimator, got 'ece'",
        ),
        (
            lambda: estimates(GOOD, ()),
            TypeError,
            "names must be a sequence of at least one name of an estimator, got ()",
        ),
        (lambda: estimates(GOOD, n=99), ValueError, "n must be an integer from 100 to 1000000, got 99"),
        (lambda: estimates(GOOD, level=95), ValueError, "level must be a number from 0.5 to 0.999, got 95"),
        (lambda: estimates(GOOD, generator=0), TypeError, "generator must be a torch.Generator or None, got 0"),
        (lambda: estimate(GOOD, "ece", n_bins=0), ValueError, "n_bins must be an integer from 1 to 10000, got 0"),
    ],
)
def test_wrong_settings(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same() -> None:
    p = sample(3000, 10, 1.5, 0, torch.float32)
    moved: Tensor = p.probs.cuda()
    there = Predictions.from_probs(moved, p.labels.cuda())
    for name, interval in estimates(p).items():
        found = estimate(there, name)
        assert (found.value, found.low) == pytest.approx((interval.value, interval.low), abs=0.01), name


def test_an_interval_does_not_depend_on_what_else_is_asked_for():
    p = drawn_for_streams()
    together = estimates(p, n=200)
    for name in ESTIMATORS:
        assert together[name] == estimate(p, name, n=200), name


def test_a_given_generator_moves_all_intervals_and_no_estimate():
    p = drawn_for_streams()
    one, other = (estimate(p, "ece", n=200, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert one.value == other.value
    assert one != other


def drawn_for_streams():
    draw = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(300, 4, generator=draw)
    return Predictions.from_logits(logits, torch.multinomial((logits / 2).softmax(1), 1, generator=draw)[:, 0])


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
