"""The calibration panel without a browser: its numbers, its traits, its errors, the picture that stands in for it."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from drawn_predictions import HARD, KINDS, drawn
from scipy import special, stats

import mixlab as mx
from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration import at_temperature, fit_temperature
from mixlab.calibration.scores import brier, nll
from mixlab.panels.calibration_panel.calibration_panel import CalibrationPanel
from mixlab.panels.calibration_panel.numbers import ESTIMATORS


def brute(conf: np.ndarray, right: np.ndarray, kind: str, n_bins: int) -> dict[str, float]:
    """Every estimator by a loop over the bins in float64, from confidences in float32."""
    if kind == "width":
        edges = [float(np.float32(i / n_bins)) for i in range(1, n_bins)]
    else:
        ordered = np.sort(conf)
        edges = [float(ordered[-(-i * len(conf) // n_bins) - 1]) for i in range(1, n_bins)]
    bounds = list(zip([-1.0, *edges], [*edges, 2.0], strict=True))
    inside = [(conf.astype(float) > low) & (conf.astype(float) <= high) for low, high in bounds]
    found = dict.fromkeys(ESTIMATORS, 0.0)
    for share, c, a, size in (
        (some.mean(), conf[some].astype(float).mean(), right[some].mean(), some.sum()) for some in inside if some.any()
    ):
        gap, var = abs(c - a), a * (1 - a)
        found["ece"] += share * gap
        found["ece_l2"] += share * gap**2
        found["mce"] = max(found["mce"], gap)
        found["debiased"] += share * (gap**2 - var / (size - 1)) if size > 1 else 0
        s = np.sqrt(var / size)
        folded = stats.foldnorm.mean(gap / s, scale=s) if s else gap
        found["debiased_l1"] += share * (2 * gap - folded)
        found["overconfidence"] += share * c * max(c - a, 0)
        found["underconfidence"] += share * c * max(a - c, 0)
        found["reliability"] += share * gap**2
    for name in ("debiased", "debiased_l1"):
        found[name] = max(found[name], 0)
    return found | {name: found[name] ** 0.5 for name in ("ece_l2", "debiased")}


def test_the_panel_is_reached_from_the_package() -> None:
    assert isinstance(mx.panels.calibration_panel(HARD["one row"]), CalibrationPanel)
    assert "calibration_panel" in mx.panels.__all__


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
    for panel.bins in KINDS:
        for panel.estimator, (norm, debiased) in {
            "ece": ("l1", False),
            "ece_l2": ("l2", False),
            "mce": ("max", False),
            "debiased": ("l2", True),
            "debiased_l1": ("l1", True),
        }.items():
            whole = calibration_error(p, norm=norm, bins=panel.bins, debiased=debiased)
            assert panel.numbers()["predictions"][0].estimate.value == pytest.approx(whole, abs=1e-6)
    panel.bins = "width"
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
    with pytest.raises(ValueError, match=r"^run must be one of 'none', 'mixup', got 'mixip'; did you mean 'mixup'\?$"):
        panel.temperature_of("mixip")


def test_where_no_temperature_fits_the_panel_leaves_it_at_1() -> None:
    panel = mx.panels.calibration_panel(Predictions.from_logits(torch.eye(4), torch.arange(4)), scaling="fit")
    assert panel._runs[0]["fitted"] is None
    assert panel.temperature_of("predictions") == 1


def test_what_is_sent_to_the_browser() -> None:
    logits, probs = drawn(5, 3), HARD["on the edges"]
    wide = Predictions.from_logits(logits.logits.double(), logits.labels)
    panel = mx.panels.calibration_panel({"a": logits, "b": probs, "c": wide})
    assert panel._logits == b"".join(table.numpy().tobytes() for table in (logits.logits, probs.probs, logits.logits))
    labels = torch.cat([logits.labels, probs.labels, logits.labels])
    assert panel._labels == labels.numpy().astype("int32").tobytes()
    assert [(run["name"], run["rows"], run["classes"], run["probs"]) for run in panel._runs] == [
        ("a", 5, 3, False),
        ("b", 100, 3, True),
        ("c", 5, 3, False),
    ]


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


def test_predictions_are_left_as_they_are() -> None:
    p = drawn(50)
    logits, labels = p.logits.clone(), p.labels.clone()
    panel = mx.panels.calibration_panel(p, temperature=2)
    panel.bins = "mass"
    assert torch.equal(p.logits, logits)
    assert torch.equal(p.labels, labels)


ONE = HARD["one row"]
NAMES = "'ece', 'ece_l2', 'mce', 'debiased', 'debiased_l1', 'overconfidence', 'underconfidence', 'reliability'"
LARGE = Predictions.from_logits(torch.zeros(20_001, 2), torch.zeros(20_001, dtype=torch.int64))
BROAD = Predictions.from_logits(torch.zeros(1500, 1000), torch.zeros(1500, dtype=torch.int64))
BAD: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: mx.panels.calibration_panel(torch.zeros(3, 2)),
        "runs must be Predictions, or a mapping of names to Predictions, got a float32 tensor of shape [3, 2]",
    ),
    (lambda: mx.panels.calibration_panel({}), "runs must hold 1 to 6 prediction sets, got 0"),
    (
        lambda: mx.panels.calibration_panel({str(i): ONE for i in range(7)}),
        "runs must hold 1 to 6 prediction sets, got 7",
    ),
    (lambda: mx.panels.calibration_panel({0: ONE}), "runs must have words as names, got 0"),
    (lambda: mx.panels.calibration_panel({"": ONE}), "runs must have words as names, got ''"),
    (
        lambda: mx.panels.calibration_panel({"none": "p"}),
        "runs['none'] must be Predictions, as mx.predict or Predictions.from_logits gives them, got 'p'",
    ),
    (
        lambda: mx.panels.calibration_panel({"none": LARGE}),
        (
            "runs must hold at most 20,000 predictions each, to follow a drag in the browser, got 20,001 in 'none'; "
            "take some of the rows, as p[:20000] does"
        ),
    ),
    (
        lambda: mx.panels.calibration_panel({"a": BROAD, "b": BROAD, "c": BROAD}),
        (
            "runs must hold at most 4,000,000 numbers (rows times classes, all runs), to follow a drag in the browser, "
            "got 4,500,000; take some of the rows of each, as p[:1333] does"
        ),
    ),
    (lambda: mx.panels.calibration_panel({"a": ONE}, run="b"), "run must be one of 'a', got 'b'"),
    (lambda: mx.panels.calibration_panel({"a": ONE}, other=3), "other must be one of 'a', got 3"),
    (lambda: mx.panels.calibration_panel(ONE, overlaid=1), "overlaid must be True or False, got 1"),
    (lambda: mx.panels.calibration_panel(ONE, n_bins=0), "n_bins must be an integer from 1 to 100, got 0"),
    (lambda: mx.panels.calibration_panel(ONE, n_bins=1.5), "n_bins must be an integer from 1 to 100, got 1.5"),
    (
        lambda: mx.panels.calibration_panel(ONE, bins="mas"),
        "bins must be one of 'width', 'mass', got 'mas'; did you mean 'mass'?",
    ),
    (
        lambda: mx.panels.calibration_panel(ONE, estimator="eec"),
        f"estimator must be one of {NAMES}, got 'eec'; did you mean 'ece'?",
    ),
    (
        lambda: mx.panels.calibration_panel(ONE, scaling="alhpa"),
        "scaling must be one of 'temperature', 'fit', 'alpha', got 'alhpa'; did you mean 'alpha'?",
    ),
    (lambda: mx.panels.calibration_panel(ONE, temperature=0), "temperature must be a number from 0.25 to 4, got 0"),
    (lambda: mx.panels.calibration_panel(ONE, temperature="1"), "temperature must be a number from 0.25 to 4, got '1'"),
    (lambda: mx.panels.calibration_panel(ONE, alpha=0), "alpha must be a number from 0.01 to 100, got 0"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_wrong_input_names_the_argument(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call()


def test_a_wrong_value_leaves_the_state() -> None:
    panel = mx.panels.calibration_panel({"a": ONE, "b": ONE})
    before = panel.state
    for name, value in (
        ("run", "c"),
        ("run", None),
        ("other", "c"),
        ("n_bins", 101),
        ("temperature", 5),
        ("alpha", -1),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be "):
            setattr(panel, name, value)
        assert panel.state == before
