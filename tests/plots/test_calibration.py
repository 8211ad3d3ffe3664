"""Figures of calibration: what is drawn equals a computation of its own, and the words say the estimators' numbers."""

import numpy as np
import pytest
import torch
from figures import COOLED, MODEST, OVER, kernel_weights, numpy_of, record, same
from matplotlib.collections import LineCollection

from mixlab import plots
from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.estimators import estimate
from mixlab.calibration.rejection import aurc
from mixlab.calibration.scores import murphy
from mixlab.calibration.smooth import smooth_curve, smooth_error
from mixlab.plots import picture


def test_smooth_curve_and_words():
    p = OVER[:400]
    curve = smooth_curve(p)
    ax = plots.plot_smooth(p, label="plain")
    (line,) = (part for part in ax.collections if isinstance(part, LineCollection))
    segments = np.stack(line.get_segments())
    drawn = np.concatenate([segments[:, 0], segments[-1:, 1]])
    confidence, correct = numpy_of(p)
    at = curve.confidence.numpy()
    at = at[(at > confidence.min() - 0.00505) & (at < confidence.max() + 0.00505)]
    weight = kernel_weights(at, confidence, curve.bandwidth)
    np.testing.assert_allclose(drawn[:, 1], weight @ correct, atol=1e-3)
    np.testing.assert_allclose(drawn[:, 0], weight @ confidence, atol=0.015)  # 200 draws
    widths = line.get_linewidths()
    assert max(widths) > 1.5 * min(widths)
    assert np.argmax(widths) == np.argmax(curve.density[torch.isin(curve.confidence, torch.tensor(at))].numpy()[1:])
    seen = estimate(p, "smooth")
    assert seen.value == pytest.approx(smooth_error(p))
    assert picture(ax).alt == (
        f"Smooth reliability diagram. plain: over-confident: says {confidence.mean():.1%}, is right in "
        f"{correct.mean():.1%}; smooth error {seen.value:.3f} (95%: {seen.low:.3f} to {seen.high:.3f}); "
        f"n = 400, accuracy {correct.mean():.1%}, bandwidth {curve.bandwidth:.3f}."
    )


def test_confidence_histogram_and_its_two_lines():
    ax = plots.plot_confidence(OVER, label="plain")
    confidence, correct = numpy_of(OVER)
    right, wrong = (np.histogram(confidence[rows], np.arange(26) / 25)[0].tolist() for rows in (correct, ~correct))
    lower, upper = ax.containers
    assert [bar.get_height() for bar in lower] == right
    assert [(bar.get_y(), bar.get_height()) for bar in upper] == list(zip(right, wrong, strict=True))
    assert [{bar.get_hatch() for bar in bars} for bars in (lower, upper)] == [{None}, {"////"}]
    says, share = (line.get_xdata()[0] for line in ax.get_lines())
    assert (says, share) == (pytest.approx(confidence.mean()), pytest.approx(correct.mean()))
    (arrow,) = ax.texts
    assert (arrow.xyann[0], arrow.xy[0]) == (share, says)
    means = confidence[correct].mean(), confidence[~correct].mean()
    assert picture(ax).alt.endswith(
        f"n = 2,000, mean confidence is {100 * (says - share):.1f} points over the accuracy; "
        f"mean confidence {means[0]:.1%} where right, {means[1]:.1%} where wrong."
    )
    assert not plots.plot_confidence(same(0.75, 30, 40)).texts  # nothing between two lines at one place


def test_rejection_curves_and_areas():
    runs = {"plain": OVER, "cooled": COOLED}
    ax = plots.plot_rejection(runs)
    for line, (name, p) in zip(ax.get_lines(), runs.items(), strict=True):
        confidence, correct = numpy_of(p)
        order = np.argsort(-confidence)
        last = np.append(np.diff(confidence[order]) != 0, True)  # equal confidences are given up together
        kept = np.arange(1, len(p) + 1)
        accuracy = correct[order].cumsum() / kept
        np.testing.assert_allclose(line.get_xdata(), (kept / len(p) * 100)[last])
        np.testing.assert_allclose(line.get_ydata(), 100 * accuracy[last])
        area = estimate(p, "aurc")
        assert area.value == pytest.approx(aurc(p))
        assert line.get_label() == f"{name}: AURC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
        assert line.get_label() in picture(ax).alt
        assert f"{name}: accuracy {correct.mean():.1%} on all, {accuracy[999]:.1%} on the surer half" in picture(ax).alt
    single = plots.plot_rejection(OVER)
    _, best, random = single.get_lines()
    kept, accuracy = best.get_xydata().T / 100
    share = float(OVER.correct.double().mean())
    np.testing.assert_allclose(accuracy, np.minimum(1, share / kept))
    assert set(random.get_ydata()) == {100 * share}
    assert picture(single).alt.startswith(f"Accuracy-rejection curve. Accuracy {share:.1%} on all, ")


def test_murphys_terms_of_predictions_and_records():
    steps = [OVER, COOLED, MODEST]
    terms = [murphy(p) for p in steps]
    first, _, last = terms
    for ax, at, axis in (
        (plots.plot_murphy(steps), [1, 2, 3], "step"),
        (plots.plot_murphy([record(e, p) for e, p in zip((0.5, 2, 4), steps, strict=True)]), [0.5, 2, 4], "epoch"),
        (plots.plot_murphy(iter(steps), labels=["plain", "scaled", "mixup"]), [1, 2, 3], "step"),
    ):
        assert ax.get_xlabel() == axis
        lines = {str(line.get_label()).split(" ")[0]: line for line in ax.get_lines()}
        assert list(lines) == ["uncertainty", "resolution", "reliability"]
        for name, line in lines.items():
            assert line.get_xdata().tolist() == at
            np.testing.assert_allclose(line.get_ydata(), [getattr(part, name) for part in terms], atol=1e-12)
        assert picture(ax).alt == (
            f"Murphy's terms. Reliability {first.reliability:.3f} to {last.reliability:.3f} (less is better); "
            f"resolution {first.resolution:.3f} to {last.resolution:.3f}, "
            f"uncertainty {first.uncertainty:.3f} to {last.uncertainty:.3f}."
        )
    assert [text.get_text() for text in ax.get_xticklabels()] == ["plain", "scaled", "mixup"]


def test_error_against_bins():
    counts = [1, 4, 30]
    ax = plots.plot_bins(OVER, bins=counts)
    *lines, flat = ax.get_lines()
    rulers = [("width", False), ("width", True), ("mass", False), ("mass", True)]
    seen = [[calibration_error(OVER, bins=bins, n_bins=k, debiased=off) for k in counts] for bins, off in rulers]
    np.testing.assert_allclose([line.get_ydata() for line in lines], seen)
    assert [line.get_xdata().tolist() for line in lines] == [counts] * 4
    assert ["debiased" in line.get_label() for line in lines] == [off for _, off in rulers]
    confidence, correct = numpy_of(OVER)
    assert lines[0].get_ydata()[0] == pytest.approx(abs(confidence.mean() - correct.mean()))
    smooth = smooth_error(OVER)
    assert set(flat.get_ydata()) == {smooth}
    span = f"{np.min(seen):.3f} to {np.max(seen):.3f} by the bins, smooth error {smooth:.3f}"
    assert picture(ax).alt == f"Calibration error against the number of bins. {span}."
    several = plots.plot_bins({"plain": OVER, "cooled": COOLED}, bins=counts)
    names = [line.get_label() for line in several.get_lines()]
    assert names == ["plain", "plain, smooth error", "cooled", "cooled, smooth error"]
