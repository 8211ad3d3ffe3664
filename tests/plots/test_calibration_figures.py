"""Diagrams of calibration: what is drawn equals a computation of its own, and the words say the estimators' numbers."""

import math
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from scipy.stats import binom

from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.chance import chance_bins, smooth_band
from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.rejection import aurc
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.scores import murphy
from mixlab.calibration.smooth import smooth_curve, smooth_error
from mixlab.plots import calibration as diagrams
from mixlab.plots import plot_reliability
from mixlab.plots.style import PictureAxes, picture
from mixlab.training.record import Record


def predictions(sharpness: float = 2.0, n: int = 2000, seed: int = 0) -> Predictions:
    g = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, 10, generator=g)
    return Predictions.from_logits(sharpness * z, torch.multinomial(z.softmax(1), 1, generator=g)[:, 0])


def same(confidence: float, right: int, n: int) -> Predictions:
    """n predictions of one confidence, `right` of them right."""
    probs = torch.tensor([confidence, 1 - confidence], dtype=torch.float64).expand(n, 2)
    return Predictions.from_probs(probs, (torch.arange(n) >= right).long())


def record(epoch: float, p: Predictions) -> Record:
    zeros = dict.fromkeys(Record.__dataclass_fields__, 0.0)
    reliability = Reliability().update(p.probs, p.labels)
    return Record(**(zeros | {"epoch": epoch, "reliability": reliability}))  # type: ignore[arg-type]


def numpy_of(p: Predictions) -> tuple[np.ndarray, np.ndarray]:
    probs = p.probs.numpy()
    return probs.max(1).astype(np.float64), probs.argmax(1) == p.labels.numpy()


OVER, COOLED = predictions(), predictions(1.0)
DRAW = {
    "calibration": lambda ax=None: plot_reliability(OVER, ax, after=COOLED),
    "smooth": lambda ax=None: diagrams.plot_smooth(OVER[:200], ax),
    "confidence": lambda ax=None: diagrams.plot_confidence(OVER, ax),
    "rejection": lambda ax=None: diagrams.plot_rejection(OVER, ax),
    "murphy": lambda ax=None: diagrams.plot_murphy([record(1, OVER), record(2, COOLED)], ax),
    "bins": lambda ax=None: diagrams.plot_bins({"plain": OVER, "cooled": COOLED}, ax, bins=(1, 5, 15)),
}
each_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


@each_plot
def test_own_axes_show_themselves_and_given_ones_are_drawn_in(draw):
    own = draw()
    assert isinstance(own, PictureAxes)
    words = picture(own).alt
    assert len(words) > 60
    assert f'alt="{words}"'.replace("'", "&#x27;") in own._repr_html_()
    figure = Figure(facecolor="#102030")
    left, right = figure.subplots(1, 2)
    place = left.get_position().bounds
    assert draw(left) is left
    assert picture(left).alt == words
    assert not right.has_data()
    assert figure.axes == [left, right]
    assert figure.get_facecolor() == to_rgba("#102030")
    assert left.get_position().bounds == place


@each_plot
def test_settings_are_left_alone_and_given_colors_are_kept(draw):
    before = dict(mpl.rcParams)
    plain = picture(draw()).png()
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"text.color": "white", "axes.labelcolor": "white", "axes.titlecolor": "white"}):
        assert picture(draw()).png() == plain
    figure = Figure(facecolor="black")
    ax = figure.add_subplot(facecolor="black")
    ax.xaxis.label.set_color("yellow")
    draw(ax)
    legend = ax.get_legend()
    assert {to_rgba(text.get_color()) for text in legend.get_texts()} == {to_rgba("yellow")}
    assert legend.get_frame().get_facecolor()[:3] == (0, 0, 0)
    assert ax.title.get_color() != "yellow"
    assert ax._left_title.get_color() == "yellow"
    assert all(to_rgba(strip.get_facecolor())[:3] == (0, 0, 0) for strip in ax.child_axes)
    fine_print = [text.get_fontsize() for text in [*legend.get_texts(), ax._left_title]]
    assert min(fine_print) >= 9


def test_pyplot_is_never_loaded():
    code = (
        "import sys, torch, mixlab as d; from mixlab.calibration import Predictions as P\n"
        "d.plot_reliability(P.from_logits(torch.eye(3), torch.arange(3)))._repr_html_()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_calibration_marks_and_counts(bins):
    ax = plot_reliability(OVER, n_bins=10, bins=bins)
    confidence, correct = numpy_of(OVER)
    if bins == "width":
        cell = np.ceil(confidence * 10).astype(int) - 1
    else:
        cell = np.argsort(np.argsort(confidence, kind="stable")) // 200
    filled = np.unique(cell)
    marks, within, line = ax.get_lines()[1:]
    full = [i for i in filled if (cell == i).sum() >= 10]
    np.testing.assert_allclose(line.get_xdata(), [confidence[cell == i].mean() for i in full])
    np.testing.assert_allclose(marks.get_xdata(), [confidence[cell == i].mean() for i in filled])
    np.testing.assert_allclose(marks.get_ydata(), [correct[cell == i].mean() for i in filled])
    assert len(filled) - len(within.get_xdata()) > 6
    assert within.get_markerfacecolor() == ax.get_facecolor()
    bars = ax.child_axes[0].patches
    assert [bar.get_height() for bar in bars] == [(cell == i).sum() for i in filled]
    assert bars[0].get_x() == pytest.approx(0 if bins == "mass" else filled[0] / 10)
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1)
    found = estimate(OVER, "ece" if bins == "width" else "ece_mass", n_bins=10)
    error = f"ECE {found.value:.3f} (95%: {found.low:.3f} to {found.high:.3f})"
    beyond = f"{len(filled) - len(within.get_xdata())} of {len(filled)}"
    which = "" if bins == "width" else "equal-count "
    assert picture(ax).alt == (
        f"Reliability diagram. Over-confident: says {confidence.mean():.1%}, is right in {correct.mean():.1%}; "
        f"n = 2,000, accuracy {correct.mean():.1%}, {error}; {which}bins beyond chance: {beyond}."
    )


@pytest.mark.parametrize(("confidence", "n"), [(0.9, 7), (0.7, 50), (0.6, 1000), (1.0, 30)])
def test_the_band_of_equal_confidences_is_the_binomial(confidence, n):
    seen = chance_bins(same(confidence, n // 2, n), "width", 15, torch.Generator().manual_seed(1))
    assert len(seen.low) == 1
    slack = max(1, 0.3 * math.sqrt(n * confidence * (1 - confidence)))  # of 1,000 draws
    for end, tail in ((seen.low, 0.025), (seen.high, 0.975)):
        assert abs(float(end) * n - binom.ppf(tail, n, confidence)) <= slack


def test_the_band_of_unequal_confidences_is_narrower_than_a_binomials():
    p = predictions(n=5000)
    confidence, _ = numpy_of(p)
    seen = chance_bins(p, "width", 1, torch.Generator().manual_seed(1))
    spread = math.sqrt((confidence * (1 - confidence)).sum()) / len(p)
    assert float(seen.confidence) == pytest.approx(confidence.mean())
    assert float(seen.high - seen.low) == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert float(seen.high + seen.low) / 2 == pytest.approx(confidence.mean(), abs=0.3 * spread)


def test_one_mark_in_twenty_of_a_calibrated_model_lies_beyond_the_band():
    apart = total = 0
    for seed in range(40):
        seen = chance_bins(predictions(1.0, seed=seed), "mass", 15, torch.Generator().manual_seed(seed))
        apart += int(((seen.accuracy < seen.low) | (seen.accuracy > seen.high)).sum())
        total += len(seen.low)
    assert 0.01 < apart / total < 0.08  # 600 marks; 5% or a little less, since counts are whole numbers


def test_before_and_after():
    ax = plot_reliability(OVER, after=COOLED, label="plain")
    marks = [line for line in ax.get_lines() if str(line.get_label()).startswith("accuracy in the bin")]
    assert [line.get_marker() for line in marks] == ["o", "D"]
    for line, p in zip(marks, (OVER, COOLED), strict=True):
        bins = Reliability().update(p.probs, p.labels).bins()
        filled = bins.count > 0
        np.testing.assert_allclose(line.get_xydata().T, torch.stack([bins.confidence, bins.accuracy])[:, filled])
    assert len(ax.child_axes[0].patches) == sum(len(line.get_xdata()) for line in marks)
    spans = [
        f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        for found in (estimate(p, "ece") for p in (OVER, COOLED))
    ]
    title = ax.get_title(loc="left").split("\n")
    says = [f"{float(p.confidence.mean()):.1%}" for p in (OVER, COOLED)]
    assert title[0] == f"plain: says {says[0]} before, {says[1]} after; is right in 54.0%"
    assert title[1] == f"ECE {spans[0]} before, {spans[1]} after"
    assert re.fullmatch(r"n = 2,000   bins beyond chance: 1\d of 1\d before, [012] of 1\d after", title[2])
    other = Predictions.from_logits(-OVER.logits, OVER.labels)
    assert " before, " in plot_reliability(OVER, after=other).get_title(loc="left").split("\n")[0][30:]


def direct_smooth(p: Predictions, at: np.ndarray, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean confidence and accuracy under the reflected kernel, example by example."""
    confidence, correct = numpy_of(p)
    weight = np.zeros((len(at), len(p)))
    for turn in range(-4, 5):
        for mirrored in (confidence, -confidence):
            weight += np.exp(-(((at[:, None] - mirrored - 2 * turn) / bandwidth) ** 2) / 2)
    return weight @ confidence / weight.sum(1), weight @ correct / weight.sum(1)


def test_smooth_curve_band_and_words():
    p = OVER[:400]
    curve = smooth_curve(p)
    ax = diagrams.plot_smooth(p, label="plain")
    (line,) = (part for part in ax.collections if isinstance(part, LineCollection))
    segments = np.stack(line.get_segments())
    drawn = np.concatenate([segments[:, 0], segments[-1:, 1]])
    confidence, correct = numpy_of(p)
    at = curve.confidence.numpy()
    at = at[(at > confidence.min() - 0.00505) & (at < confidence.max() + 0.00505)]
    x, y = direct_smooth(p, at, curve.bandwidth)
    np.testing.assert_allclose(drawn[:, 1], y, atol=1e-3)
    np.testing.assert_allclose(drawn[:, 0], x, atol=0.015)  # 200 draws
    widths = line.get_linewidths()
    assert max(widths) > 1.5 * min(widths)
    assert np.argmax(widths) == np.argmax(curve.density[torch.isin(curve.confidence, torch.tensor(at))].numpy()[1:])
    found = estimate(p, "smooth")
    assert found.value == pytest.approx(smooth_error(p))
    assert picture(ax).alt == (
        f"Smooth reliability diagram. plain: over-confident: says {confidence.mean():.1%}, is right in "
        f"{correct.mean():.1%}; smooth error {found.value:.3f} (95%: {found.low:.3f} to {found.high:.3f}); "
        f"n = 400, accuracy {correct.mean():.1%}, bandwidth {curve.bandwidth:.3f}."
    )


def test_smooth_band_is_that_of_weighted_coins():
    p = OVER[:400]
    middle, low, high = smooth_band(p, 0.1, torch.Generator().manual_seed(3))
    confidence, _ = numpy_of(p)
    at = np.array([0.4, 0.7, 1.0])
    weight = sum(
        np.exp(-(((at[:, None] - side - 2 * turn) / 0.1) ** 2) / 2)
        for turn in (-1, 0, 1)
        for side in (confidence, -confidence)
    )
    weight /= weight.sum(1, keepdims=True)
    spread = np.sqrt(weight**2 @ (confidence * (1 - confidence)))
    here = [80, 140, 200]
    np.testing.assert_allclose(middle[here], weight @ confidence, atol=0.3 * spread.max())
    np.testing.assert_allclose((high - low)[here], 3.92 * spread, rtol=0.25)


def test_no_line_leads_to_the_mark_of_a_few():
    confidence = torch.tensor([0.95] * 30 + [0.55] * 3 + [0.75] * 10)
    few = Predictions.from_probs(torch.stack([confidence, 1 - confidence], 1), torch.zeros(43, dtype=torch.int64))
    marks, _, line = plot_reliability(few, n_bins=10).get_lines()[1:]
    np.testing.assert_allclose(marks.get_xdata(), [0.55, 0.75, 0.95], rtol=1e-6)
    np.testing.assert_allclose(line.get_xdata(), [0.75, 0.95], rtol=1e-6)


def test_a_row_of_a_half_type_may_exceed_1():
    probs = torch.tensor([[1.0078, 0.0], [0.4, 0.6]], dtype=torch.bfloat16)
    ax = plot_reliability(Predictions.from_probs(probs, torch.tensor([0, 0])))
    assert "n = 2" in str(ax.get_label())


def test_confidence_histogram_and_its_two_lines():
    ax = diagrams.plot_confidence(OVER, label="plain")
    confidence, correct = numpy_of(OVER)
    edges = np.arange(26) / 25
    right, wrong = (np.histogram(confidence[rows], edges)[0] for rows in (correct, ~correct))
    lower, upper = ax.containers
    assert [bar.get_height() for bar in lower] == right.tolist()
    assert [bar.get_height() for bar in upper] == wrong.tolist()
    assert [bar.get_y() for bar in upper] == right.tolist()
    assert {bar.get_hatch() for bar in lower} == {None}
    assert {bar.get_hatch() for bar in upper} == {"////"}
    says, share = (line.get_xdata()[0] for line in ax.get_lines())
    assert (says, share) == (pytest.approx(confidence.mean()), pytest.approx(correct.mean()))
    (arrow,) = ax.texts
    assert (arrow.xyann[0], arrow.xy[0]) == (share, says)
    means = confidence[correct].mean(), confidence[~correct].mean()
    assert picture(ax).alt.endswith(
        f"n = 2,000, mean confidence is {100 * (says - share):.1f} points over the accuracy; "
        f"mean confidence {means[0]:.1%} where right, {means[1]:.1%} where wrong."
    )
    assert not diagrams.plot_confidence(same(0.75, 30, 40)).texts  # nothing between two lines at one place


def test_rejection_curves_and_areas():
    runs = {"plain": OVER, "cooled": COOLED}
    ax = diagrams.plot_rejection(runs)
    for line, (name, p) in zip(ax.get_lines(), runs.items(), strict=True):
        confidence, correct = numpy_of(p)
        order = np.argsort(-confidence)
        last = np.append(np.diff(confidence[order]) != 0, True)  # equal confidences are given up together
        kept = np.arange(1, len(p) + 1)
        accuracy = correct[order].cumsum() / kept
        np.testing.assert_allclose(line.get_xdata(), (kept / len(p) * 100)[last])
        np.testing.assert_allclose(line.get_ydata(), 100 * accuracy[last])
        found = estimate(p, "aurc")
        assert found.value == pytest.approx(aurc(p))
        assert line.get_label() == f"{name}: AURC {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        assert line.get_label() in picture(ax).alt
        half = accuracy[999]
        assert f"{name}: accuracy {correct.mean():.1%} on all, {half:.1%} on the surer half" in picture(ax).alt
    single = diagrams.plot_rejection(OVER)
    _, best, random = single.get_lines()
    kept, accuracy = best.get_xydata().T / 100
    share = float(OVER.correct.double().mean())
    np.testing.assert_allclose(accuracy, np.minimum(1, share / kept))
    assert set(random.get_ydata()) == {100 * share}
    assert picture(single).alt.startswith("Accuracy-rejection curve. Accuracy 54.0% on all, ")


def test_murphys_terms_of_predictions_and_records():
    steps = [OVER, COOLED, predictions(0.5)]
    terms = [murphy(p) for p in steps]
    for ax, at in (
        (diagrams.plot_murphy(steps), [1, 2, 3]),
        (diagrams.plot_murphy([record(e, p) for e, p in zip((0.5, 2, 4), steps, strict=True)]), [0.5, 2, 4]),
        (diagrams.plot_murphy(iter(steps), labels=["plain", "scaled", "mixup"]), [1, 2, 3]),
    ):
        lines = {str(line.get_label()).split(" ")[0]: line for line in ax.get_lines()}
        assert list(lines) == ["uncertainty", "resolution", "reliability"]
        for name, line in lines.items():
            assert line.get_xdata().tolist() == at
            np.testing.assert_allclose(line.get_ydata(), [getattr(part, name) for part in terms], atol=1e-12)
        assert picture(ax).alt == (
            f"Murphy's terms. Reliability {terms[0].reliability:.3f} to {terms[2].reliability:.3f} (less is better); "
            f"resolution {terms[0].resolution:.3f} to {terms[2].resolution:.3f}, "
            f"uncertainty {terms[0].uncertainty:.3f} to {terms[2].uncertainty:.3f}."
        )
    assert [text.get_text() for text in ax.get_xticklabels()] == ["plain", "scaled", "mixup"]
    assert diagrams.plot_murphy([record(1, OVER)]).get_xlabel() == "epoch"
    assert diagrams.plot_murphy(steps).get_xlabel() == "step"


def test_error_against_bins():
    counts = [1, 4, 30]
    ax = diagrams.plot_bins(OVER, bins=counts)
    *lines, flat = ax.get_lines()
    rulers = [("width", False), ("width", True), ("mass", False), ("mass", True)]
    seen = []
    for line, (bins, debiased) in zip(lines, rulers, strict=True):
        assert line.get_xdata().tolist() == counts
        expected = [calibration_error(OVER, bins=bins, n_bins=k, debiased=debiased) for k in counts]
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert ("debiased" in line.get_label()) == debiased
        seen += expected
    confidence, correct = numpy_of(OVER)
    assert lines[0].get_ydata()[0] == pytest.approx(abs(confidence.mean() - correct.mean()))
    smooth = smooth_error(OVER)
    assert set(flat.get_ydata()) == {smooth}
    span = f"{min(seen):.3f} to {max(seen):.3f} by the bins, smooth error {smooth:.3f}"
    assert picture(ax).alt == f"Calibration error against the number of bins. {span}."
    several = diagrams.plot_bins({"plain": OVER, "cooled": COOLED}, bins=counts)
    assert [line.get_label() for line in several.get_lines()] == [
        "plain",
        "plain, smooth error",
        "cooled",
        "cooled, smooth error",
    ]


@pytest.mark.parametrize(("confidence", "right"), [(0.5, 0), (0.8, 3), (1.0, 7)])
def test_the_smallest_and_most_extreme_can_be_drawn(confidence, right):
    p = same(confidence, right, 7)
    axes = [draw(p) for draw in (plot_reliability, diagrams.plot_confidence, diagrams.plot_rejection)]
    axes += [diagrams.plot_smooth(p[:1]), diagrams.plot_murphy([p]), diagrams.plot_bins(p, bins=[1, 50])]
    axes += [plot_reliability(p, n_bins=1), plot_reliability(p, n_bins=10_000, bins="mass")]
    for ax in axes:
        assert "nan" not in picture(ax).alt
        ax.figure.canvas.draw()


def test_drawing_twice_gives_the_same_and_leaves_the_state_of_torch():
    state = torch.get_rng_state()
    first, second = (picture(DRAW["smooth"]()).png() for _ in range(2))
    assert first == second
    DRAW["calibration"]()
    assert torch.equal(torch.get_rng_state(), state)


NO_P = "predictions must be Predictions, as mx.predict or Predictions.from_logits gives them, got 3"
NO_RUNS = "predictions must be Predictions, or several by name, got "
NO_STEPS = "steps must hold Records of mx.fit or Predictions, got "


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_reliability(3), TypeError, "result must be a Reliability or Predictions, got 3"),
        (lambda: diagrams.plot_smooth(3), TypeError, NO_P),
        (lambda: diagrams.plot_confidence(3), TypeError, NO_P),
        (lambda: plot_reliability(OVER, after=3), TypeError, NO_P.replace("predictions", "after", 1)),
        (
            lambda: plot_reliability(OVER, after=OVER[:5]),
            ValueError,
            (
                "after must hold the 2,000 labels of predictions in the same order, got Predictions(5 of 10 classes, "
                "accuracy 0.600)"
            ),
        ),
        (
            lambda: plot_reliability(OVER, n_bins=0),
            ValueError,
            "n_bins must be an integer from 1 to 10000, got 0",
        ),
        (
            lambda: plot_reliability(OVER, bins="with"),
            ValueError,
            "bins must be one of 'width', 'mass', got 'with'; did you mean 'width'?",
        ),
        (
            lambda: plot_reliability(OVER, "left"),
            TypeError,
            "ax must be a matplotlib Axes or None, got 'left'",
        ),
        (lambda: diagrams.plot_rejection(3), TypeError, NO_RUNS + "3"),
        (lambda: diagrams.plot_bins([OVER]), TypeError, NO_RUNS + f"[{OVER!r}]"),
        (lambda: diagrams.plot_rejection({"a": 3}), TypeError, NO_RUNS + "{'a': 3}"),
        (lambda: diagrams.plot_rejection({}), ValueError, NO_RUNS + "none"),
        (
            lambda: diagrams.plot_murphy([]),
            ValueError,
            "steps must hold at least one Record or Predictions, got none",
        ),
        (lambda: diagrams.plot_murphy(OVER), TypeError, NO_STEPS + repr(OVER)),
        (lambda: diagrams.plot_murphy([OVER, 3]), TypeError, NO_STEPS + "3"),
        (
            lambda: diagrams.plot_murphy([OVER], labels=["a", "b"]),
            ValueError,
            "labels must hold a name for each of the 1 steps, got ['a', 'b']",
        ),
        (
            lambda: diagrams.plot_bins(OVER, bins=15),
            TypeError,
            "bins must be rising numbers of bins, at least one, got 15",
        ),
        (
            lambda: diagrams.plot_bins(OVER, bins=(3, 3)),
            ValueError,
            "bins must be rising numbers of bins, at least one, got (3, 3)",
        ),
        (
            lambda: diagrams.plot_bins(OVER, bins=()),
            ValueError,
            "bins must be rising numbers of bins, at least one, got ()",
        ),
        (lambda: diagrams.plot_bins(OVER, bins=(0, 1)), ValueError, "bins must be an integer from 1 to 10000, got 0"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_nothing_is_drawn_in_given_axes_before_the_arguments_are_right():
    ax = Figure().add_subplot()
    for call in (
        lambda: plot_reliability(OVER, ax, bins="x"),
        lambda: diagrams.plot_murphy([OVER], ax, labels=[]),
        lambda: diagrams.plot_bins(OVER, ax, bins=[2, 1]),
        lambda: plot_reliability(OVER, ax, after=replace(OVER, labels=OVER.labels.flip(0))),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
        assert not ax.has_data()
        assert not ax.child_axes
