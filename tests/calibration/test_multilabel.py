"""Calibration label by label, against scikit-learn, torchmetrics and plain loops; and how often intervals hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_predictions import sample
from refusals import each_refused, refuses
from seeding import seeded
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error

import mixlab as mx
from mixlab.calibration.calibration_error import calibration_error, classwise_error
from mixlab.calibration.estimators import estimate
from mixlab.calibration.multilabel import LabelPredictions

RARE = torch.tensor([0.0, -2.0, -4.0, -7.5])
NAMES = ["often", "at times", "seldom", "$rare$ <b>"]


def drawn(n: int, shift: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are too high by `shift`, of four labels that half to a thousandth of the rows have."""
    g = seeded(seed)
    logits = 1.5 * torch.randn(n, 4, generator=g) + torch.randn(n, 1, generator=g) + RARE
    return logits + shift, torch.rand(n, 4, generator=g) < logits.sigmoid()


LOGITS, Y = drawn(2000, 0.7, 0)
EACH = LabelPredictions.from_logits(LOGITS, Y.float(), NAMES)


def test_each_label_is_predictions_of_two_classes():
    assert (list(EACH), len(EACH)) == (NAMES, 4)
    assert repr(EACH) == f"LabelPredictions(2,000 of 4 labels, {int(Y.sum()):,} ones)"
    for k, p in enumerate(EACH.values()):
        said = LOGITS[:, k].double().sigmoid()
        assert estimate(p, "brier").value / 2 == pytest.approx(brier_score_loss(Y[:, k], said), rel=1e-5)
        assert estimate(p, "nll").value == pytest.approx(log_loss(Y[:, k], said), rel=1e-5)
        assert 0.6 < mx.fit_temperature(p).value < 3
    refuses(lambda: EACH["never"], ValueError, "name", "'seldom'", "'never'")


@pytest.mark.parametrize("n_bins", [5, 15])
def test_errors_are_those_of_the_probability_and_not_of_the_confidence(n_bins):
    errors = EACH.errors(n_bins, n=100)
    for k, (name, error) in enumerate(errors.items()):
        said = LOGITS[:, k].sigmoid()
        share, mean = calibration_curve(Y[:, k], said, n_bins=n_bins)
        size = np.histogram(said, np.linspace(0, 1, n_bins + 1))[0]
        assert error.value == pytest.approx(np.abs(share - mean) @ size[size > 0] / 2000, abs=1e-6)
        assert (errors.count[name], error.n) == (int(Y[:, k].sum()), 2000)
    assert errors.few == ("$rare$ <b>",)
    values = np.array([error.value for error in errors.values()])
    assert errors.macro.value == pytest.approx(values.mean())
    assert errors.weighted.value == pytest.approx(np.average(values, weights=Y.sum(0)))
    # 0.1 and 0.9 too high by 0.05 each: bins of the confidence hide it
    said = np.repeat([0.1, 0.9], 1000)[:, None]
    have = np.arange(2000)[:, None] % 1000 < np.where(said < 0.5, 50, 850)
    p = LabelPredictions.from_probs(said, have)
    assert p.errors().macro.value == pytest.approx(0.05)
    assert calibration_error(p["0"]) == pytest.approx(0, abs=1e-6)


def test_classes_of_unbalanced_data_against_the_rest():
    p = sample(1500, 6, 1.8, seed=2)
    p = replace(p, classes=tuple("abcdef"))[(p.labels < 3) | (torch.arange(1500) % 20 == 0)]  # three classes are rare
    errors = LabelPredictions.one_vs_rest(p).errors(n=200)
    count = torch.bincount(p.labels, minlength=6)
    assert list(errors.count.values()) == count.tolist()
    assert set(errors.few) == {"abcdef"[k] for k in range(6) if count[k] < 10}
    assert errors.macro.value == pytest.approx(classwise_error(p))
    same = estimate(p, "classwise", n=200, generator=seeded())
    assert (errors.macro.low, errors.macro.high) == pytest.approx((same.low, same.high), rel=0.05)
    gaps = [float(binary_calibration_error(p.probs[:, k], (p.labels == k).long(), 15)) for k in range(6)]
    assert errors.weighted.value == pytest.approx(np.average(gaps, weights=count), abs=1e-6)


def test_errors_read_as_a_table():
    errors = EACH.errors(n=100)
    caption, heads, first, *_, rare, macro, weighted = repr(errors).split("\n")
    often = errors["often"]
    assert heads.split() == ["label", "n", "ECE", "interval"]
    numbers = f"{errors.count['often']:,} {often.value:.4f} [{often.low:.4f}, {often.high:.4f}]"
    assert first.split() == ["often", *numbers.split()]
    assert (rare[:10], rare[-3:]) == ("$rare$ <b>", "few")
    assert (macro[:15], weighted[:19]) == ("mean of labels ", "mean weighted by n ")
    assert caption == "2,000 predictions, with 95% intervals"
    page = errors._repr_html_()
    assert f"<caption>{caption}</caption>" in page
    assert (page.count("<tr>"), page.count("$rare$ &lt;b&gt;")) == (7, 1)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_intervals_hold_the_error_of_rare_labels_and_the_means(shift):
    """At least 0.95 less 4 standard errors of 60 samples of 1,000; the truth is that of a million rows."""
    logits, _ = drawn(1_000_000, shift, 99)
    said, gap = logits.sigmoid(), (logits.sigmoid() - (logits - shift).sigmoid()).double()
    where = torch.bucketize(said, torch.arange(1, 15) / 15)
    truth = torch.tensor([float(torch.bincount(w, g).abs().sum()) / 1e6 for w, g in zip(where.T, gap.T, strict=True)])
    share = (logits - shift).sigmoid().mean(0)
    truths = np.array([*truth, truth.mean(), truth @ share / share.sum()])
    held = np.zeros(6)
    for seed in range(60):
        errors = LabelPredictions.from_logits(*drawn(1000, shift, seed)).errors(n=150)
        ends = np.array([(one.low, one.high) for one in (*errors.values(), errors.macro, errors.weighted)]).T
        held += (ends[0] - 1e-6 <= truths) & (truths <= ends[1] + 1e-6)
    assert (held / 60 >= 0.95 - 4 * (0.95 * 0.05 / 60) ** 0.5).all(), held


test_what_is_refused = each_refused(
    (lambda: LabelPredictions.from_logits(LOGITS[0], Y), ValueError, "logits", "[examples, labels]", "[4]"),
    (lambda: LabelPredictions.from_logits(Y, Y), TypeError, "logits", "floating-point", "bool"),
    (lambda: LabelPredictions.from_logits(LOGITS / 0, Y), ValueError, "logits", "finite", "2,000 rows"),
    (lambda: LabelPredictions.from_probs(LOGITS, Y), ValueError, "probs", "0 to 1", ".sigmoid()", "rows"),
    (lambda: LabelPredictions.from_logits(LOGITS, Y[:, 0]), ValueError, "labels", "[2000, 4]", "shape [2000]"),
    (lambda: LabelPredictions.from_logits(LOGITS, 2 * Y.int()), ValueError, "labels", "0 and 1", "other values"),
    (lambda: LabelPredictions.from_logits(LOGITS, 3), TypeError, "labels", "0 and 1", "got 3"),
    (lambda: LabelPredictions.from_logits(LOGITS, Y, list("aabc")), ValueError, "classes", "4 different names"),
    (lambda: LabelPredictions.from_logits(LOGITS, 0 * Y.int()).errors(), ValueError, "labels", "at least one 1"),
    (lambda: LabelPredictions.one_vs_rest(LOGITS), TypeError, "predictions", "Predictions", "[2000, 4]"),
    (lambda: EACH.errors(0), ValueError, "n_bins", "1 to 10000", "got 0"),
)
