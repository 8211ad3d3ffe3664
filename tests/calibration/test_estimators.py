"""The table of estimators: each as its function gives it, with an interval that holds it, and shown as a table."""

import math
import re
from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest
import torch
from drawn_predictions import EXTREMES, sample
from refusals import each_refused, refuses
from seeding import seeded

from mixlab.calibration.calibration_error import calibration_error, classwise_error, overconfidence, underconfidence
from mixlab.calibration.estimators import ESTIMATORS, estimate, estimates
from mixlab.calibration.intervals import Interval
from mixlab.calibration.ks import ks_error, ks_interval
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.rejection import accuracy_rejection, aurc
from mixlab.calibration.reliability import METRICS, Reliability
from mixlab.calibration.scores import brier, murphy, nll
from mixlab.calibration.smooth import smooth_curve, smooth_error, smooth_interval

VALUES: dict[str, Callable[[Predictions], float]] = {
    "accuracy": lambda p: float(p.correct.double().mean()),
    "ece": calibration_error,
    "ece_mass": lambda p: calibration_error(p, bins="mass"),
    "ece_l2": lambda p: calibration_error(p, norm="l2"),
    "mce": lambda p: calibration_error(p, norm="max"),
    "debiased": lambda p: calibration_error(p, norm="l2", debiased=True),
    "debiased_l1": lambda p: calibration_error(p, debiased=True),
    "classwise": classwise_error,
    "smooth": smooth_error,
    "ks": ks_error,
    "overconfidence": overconfidence,
    "underconfidence": underconfidence,
    "nll": nll,
    "brier": brier,
    "reliability": lambda p: murphy(p).reliability,
    "resolution": lambda p: murphy(p).resolution,
    "aurc": aurc,
}


@pytest.mark.parametrize("case", EXTREMES)
def test_estimates_are_what_the_functions_give_within_intervals(case):
    hard = EXTREMES[case]
    table = estimates(hard, n=100)
    assert tuple(table) == tuple(ESTIMATORS) == tuple(VALUES)
    for name, interval in table.items():
        value = pytest.approx(VALUES[name](hard), nan_ok=True)
        assert interval.value == value == ESTIMATORS[name].value(hard, 15), name
        assert 0 <= interval.low <= interval.value <= interval.high, name
        assert interval.high <= 1 or name in ("nll", "brier")
        assert (interval.n, interval.level) == (len(hard), 0.95), name


def test_an_interval_is_the_same_alone_and_twice_and_wider_at_a_higher_level():
    p = sample(1000, 6, 1.5, 0, torch.float32)
    state, probs = torch.random.get_rng_state(), p.probs.clone()
    together, wide, narrow = (estimates(p, n=200, level=level) for level in (0.95, 0.99, 0.8))
    for name, interval in together.items():
        assert interval == estimate(p, name, n=200), name
        assert (
            wide[name].low <= interval.low <= narrow[name].low < narrow[name].high <= interval.high <= wide[name].high
        )
        assert (wide[name].low, wide[name].high) != (narrow[name].low, narrow[name].high), name
    drawn = [estimates(p, n=200, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    for name in ("ece", "classwise", "smooth", "ks"):
        assert drawn[0][name] != drawn[2][name], name
        assert drawn[0][name].value == drawn[2][name].value, name
    assert estimate(p, "ece", n_bins=3).value == calibration_error(p, n_bins=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(p.probs, probs)


def test_the_intervals_of_reliability_are_the_same():
    p = sample(2000, 4, 1.3, 0)
    rel = Reliability().update(p.probs, p.labels)
    for metric in METRICS:
        assert astuple(rel.interval(metric)) == pytest.approx(astuple(estimate(p, metric)), rel=1e-12), metric
        assert rel.interval(metric, level=0.8) == rel.interval(metric, level=0.8) != rel.interval(metric)
    assert rel.interval("ece", generator=seeded(1)) != rel.interval("ece")


@pytest.mark.parametrize(("classes", "sharpness"), [(2, 1.0), (2, 2.0), (8, 1.0), (8, 2.0)])
def test_intervals_of_the_classwise_error_hold_the_truth(classes, sharpness):
    """At least 0.95 less 4 standard errors of 60 samples of 1,000; the truth is that of two million rows."""
    edges = torch.arange(1, 15, dtype=torch.float64) / 15
    g = seeded()
    gaps = torch.zeros(classes * 15, dtype=torch.float64)
    for _ in range(10):
        logits = 2 * torch.randn(200_000 // classes, classes, generator=g, dtype=torch.float64)
        said, true = (sharpness * logits).softmax(1), logits.softmax(1)
        where = torch.bucketize(said, edges) + 15 * torch.arange(classes)
        gaps += torch.bincount(where.view(-1), (said - true).view(-1), 15 * classes)
    truth = float(gaps.abs().sum()) / (2_000_000 // classes) / classes
    intervals = [estimate(sample(1000, classes, sharpness, seed), "classwise", n=200) for seed in range(60)]
    held = np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in intervals])
    assert held >= 0.95 - 4 * (0.95 * 0.05 / 60) ** 0.5


def test_estimates_read_as_a_table():
    table = estimates(sample(1000, 4, 1.0, 0), ("ece", "nll"), level=0.9, n=100)
    one = table["ece"]
    caption, heads, first, _ = repr(table).split("\n")
    assert caption == "1,000 predictions, with 90% intervals"
    assert re.split("  +", heads) == ["estimate", "value", "interval", "what it is"]
    cells = ["ece", f"{one.value:.4f}", f"[{one.low:.4f}, {one.high:.4f}]", ESTIMATORS["ece"].about]
    assert re.split("  +", first) == cells
    page = table._repr_html_()
    assert f"<caption>{caption}</caption>" in page
    assert page.count('<th scope="col"') == 4
    assert page.count('<th scope="row"') == 2
    assert f">{one.value:.4f}</td>" in page
    assert ESTIMATORS["ece"].about in page


def test_an_infinite_nll_reads_as_such():
    p = Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0]))
    assert estimate(p, "nll") == Interval(math.inf, math.inf, math.inf, 2, 0.95)
    assert "inf  [inf, inf]  mean negative" in repr(estimates(p, ("nll",)))


GOOD = Predictions.from_probs(torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1]))


@pytest.mark.parametrize("call", [*list(VALUES.values())[1:], estimates, accuracy_rejection, smooth_curve])
def test_only_predictions_are_taken(call):
    refuses(lambda: call([0.5]), TypeError, "predictions", "Predictions", "[0.5]")


test_wrong_settings = each_refused(
    (lambda: estimate(GOOD, "debiassed"), ValueError, "name", *ESTIMATORS, "did you mean 'debiased'?"),
    (lambda: estimate(GOOD, np.array(["ece", "nll"])), ValueError, "name", *ESTIMATORS, "array(['ece', 'nll']"),
    (lambda: estimate("ece", GOOD), TypeError, "predictions", "Predictions", "'ece'"),
    (lambda: estimate(GOOD, "ece", n_bins=0), ValueError, "n_bins", "1 to 10000", "got 0"),
    (lambda: estimate(GOOD, "nll", n=99), ValueError, "n", "100 to 1000000", "got 99"),
    (lambda: estimate(GOOD, "nll", level="95%"), TypeError, "level", "0.5 to 0.999", "'95%'"),
    (lambda: estimates(GOOD, ("ece", "eec")), ValueError, "names", *ESTIMATORS, "'eec'", "'ece'?"),
    (lambda: estimates(GOOD, "ece"), TypeError, "names", "at least one", "'ece'"),
    (lambda: ks_interval(GOOD, level=0.4), ValueError, "level", "0.5 to 0.999", "0.4"),
    (lambda: smooth_interval(GOOD, generator=0), TypeError, "generator", "torch.Generator", "got 0"),
)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same():
    p = sample(3000, 10, 1.5, 0, torch.float32)
    there = Predictions.from_probs(p.probs.cuda(), p.labels.cuda())
    for name, interval in estimates(p).items():
        same = estimate(there, name)
        assert (same.value, same.low) == pytest.approx((interval.value, interval.low), abs=0.01), name
