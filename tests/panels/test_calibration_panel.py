"""The calibration panel without a browser: its numbers, what it sends and answers, its words and its picture."""

from html import unescape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from drawn_predictions import HARD, drawn
from refusals import refuses
from scipy import special, stats
from textbook import means_of

import mixlab as mx
from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration import at_temperature, fit_temperature
from mixlab.calibration.scores import brier, nll
from mixlab.panels.calibration_panel.numbers import ESTIMATORS


def brute(conf: np.ndarray, right: np.ndarray, kind: str, n_bins: int) -> dict[str, float]:
    """Every estimator by a loop over the bins in float64, from confidences in float32."""
    values = dict.fromkeys(ESTIMATORS, 0.0)
    for share, c, a, size in means_of(conf, right, kind, n_bins):
        gap, var = abs(c - a), a * (1 - a)
        values["ece"] += share * gap
        values["ece_l2"] += share * gap**2
        values["mce"] = max(values["mce"], gap)
        values["debiased"] += share * (gap**2 - var / (size - 1)) if size > 1 else 0
        s = np.sqrt(var / size)
        folded = stats.foldnorm.mean(gap / s, scale=s) if s else gap
        values["debiased_l1"] += share * (2 * gap - folded)
        values["overconfidence"] += share * c * max(c - a, 0)
        values["underconfidence"] += share * c * max(a - c, 0)
        values["reliability"] += share * gap**2
    for name in ("debiased", "debiased_l1"):
        values[name] = max(values[name], 0)
    return values | {name: values[name] ** 0.5 for name in ("ece_l2", "debiased")}


@pytest.mark.parametrize("name", HARD)
def test_the_numbers_are_those_of_a_loop_in_float64(name: str) -> None:
    p = HARD[name]
    panel = mx.panels.calibration_panel(p)
    table = (p.probs.double().log() if p.given_logits is None else p.logits.double()).numpy()
    right = table.argmax(1) == p.labels.numpy()
    for panel.temperature, panel.n_bins, panel.bins in ((0.5, 5, "mass"), (3.0, 15, "width")):
        logits = table / panel.temperature
        log_probs = logits - special.logsumexp(logits, axis=1, keepdims=True)
        probs = np.exp(log_probs)
        conf = probs.max(1).astype(np.float32)
        expected = brute(conf, right, panel.bins, panel.n_bins)
        for panel.estimator in ESTIMATORS:
            before, after = panel.numbers()["predictions"]
            assert after.estimate.value == pytest.approx(expected[panel.estimator], abs=1e-9)
            assert after.estimate.low <= after.estimate.value <= after.estimate.high
        assert before.temperature == 1
        assert after.temperature == panel.temperature
        assert after.accuracy == before.accuracy == pytest.approx(right.mean())
        assert after.confidence == pytest.approx(conf.astype(float).mean(), abs=1e-9)
        truth = np.eye(p.num_classes)[p.labels.numpy()]
        assert after.nll == pytest.approx(-log_probs[truth == 1].mean(), rel=1e-9)
        assert after.brier == pytest.approx(((probs - truth) ** 2).sum(1).mean(), abs=1e-9)


def test_at_temperature_1_they_are_what_the_package_gives_for_the_same_predictions() -> None:
    p = HARD["as drawn"]
    panel = mx.panels.calibration_panel(p)
    for panel.estimator in ESTIMATORS:
        mine, theirs = panel.numbers()["predictions"][0].estimate, estimate(p, panel.estimator)
        assert (mine.value, mine.n, mine.level) == (pytest.approx(theirs.value, abs=1e-6), 1000, 0.95)
        assert (mine.low, mine.high) == (pytest.approx(theirs.low, abs=0.003), pytest.approx(theirs.high, abs=0.003))
    before, _ = panel.numbers()["predictions"]
    assert before.nll == pytest.approx(nll(p), rel=1e-6)
    assert before.brier == pytest.approx(brier(p), rel=1e-6)


def test_what_sets_the_temperature() -> None:
    runs = {"none": drawn(2000), "mixup": drawn(2000, factor=0.5, seed=1)}
    panel = mx.panels.calibration_panel(runs, other="mixup", temperature=1.3, alpha=0.4)
    assert [panel.temperature_of(name) for name in runs] == [1.3, 1.3]
    panel.scaling = "alpha"
    assert [panel.temperature_of(name) for name in runs] == [mx.lambda_moments(0.4).theta_bar] * 2
    panel.scaling = "fit"
    fitted = [fit_temperature(p).value for p in runs.values()]
    assert [panel.temperature_of(name) for name in runs] == fitted == pytest.approx([2, 0.5], rel=0.1)
    for (name, p), best in zip(runs.items(), fitted, strict=True):
        before, after = panel.numbers()[name]
        assert after.temperature == best
        assert after.nll == pytest.approx(nll(at_temperature(p, best)), rel=1e-6)
        assert after.nll < before.nll
        assert after.estimate.value < before.estimate.value / 2
    assert [one.lean for one in panel.numbers()["none"]] == ["over-confident", "as confident as right"]
    assert [one.lean for one in panel.numbers()["mixup"]] == ["under-confident", "as confident as right"]
    refuses(lambda: panel.temperature_of("mixip"), ValueError, "run", "'none', 'mixup'", "got 'mixip'")
    perfect = mx.panels.calibration_panel(Predictions.from_logits(torch.eye(4), torch.arange(4)), scaling="fit")
    assert perfect._runs[0]["fitted"] is None
    assert perfect.temperature_of("predictions") == 1  # where no temperature fits


def test_intervals_are_answered_at_release() -> None:
    panel = mx.panels.calibration_panel({"a": drawn(500), "b": drawn(500, seed=1)}, other="b")
    answers: list[dict[str, Any]] = []
    panel.observe(lambda change: answers.append(change["new"]), names="_answer")
    with panel.hold_trait_notifications():  # as when the browser sends several at once
        panel.temperature, panel.n_bins = 2.0, 20
    panel.overlaid = True
    assert len(answers) == 1
    assert answers[0]["wanted"] == {name: panel.state[name] for name in panel.asks}
    expected = [one.estimate for pair in panel.numbers().values() for one in pair]
    assert answers[0]["intervals"] == [[one.low, one.high] for one in expected]
    panel.other = "a"  # the run itself: one is shown
    assert len(panel._answer["intervals"]) == 2


def test_describe_and_the_picture_follow_the_state() -> None:
    panel = mx.panels.calibration_panel({"none": drawn(2000), "mixup": drawn(2000, factor=0.5, seed=1)}, run="mixup")
    panel.temperature, panel.n_bins, panel.bins, panel.estimator = 0.5, 12, "mass", "mce"
    before, after = panel.numbers()["mixup"]
    assert panel.describe() == (
        f"mixup: right in {before.accuracy:.2f}, says {before.confidence:.2f} (under-confident); at T = 0.50 it says "
        f"{after.confidence:.2f} (as confident as right). MCE, the largest gap: {before.estimate.value:.3f} → "
        f"{after.estimate.value:.3f}. In 12 bins of equal mass."
    )
    assert f'alt="{panel.describe()}"' in unescape(panel.still())
    left, right = panel.figure().axes
    assert left.get_title(loc="left") == f"mixup, before: T = 1.00\nMCE, the largest gap {before.estimate.value:.3f}"
    _, bins = panel._tables["mixup"].bins(0.5, "mass", 12)
    heights = [bar.get_height() for bar in right.containers[0]]
    assert heights == bins.accuracy[bins.count > 0].tolist()
    panel.other, panel.n_bins = "none", 1
    assert len(panel.figure().axes) == 4
    assert panel.describe().endswith("In one bin.")
    assert plt.get_fignums() == []
