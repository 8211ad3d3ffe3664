"""The reliability diagram: its bars, gaps, boxes and counts are those of numpy, and its words say the numbers."""

import re

import numpy as np
import pytest
import torch
from figures import COOLED, MODEST, OVER, numpy_of, sums
from matplotlib.colors import to_rgba

from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.plots import picture, plot_reliability
from mixlab.plots.style import GRAY


def parts(ax):
    """Bars of accuracy, hatched gaps and boxes of chance, from left to right, each as its left end, low end and top."""
    groups = {"bars": [], "gaps": [], "boxes": []}
    for bar in ax.patches:
        name = "gaps" if bar.get_hatch() else "boxes" if bar.get_facecolor()[:3] == to_rgba(GRAY)[:3] else "bars"
        groups[name].append((bar.get_x(), *sorted((bar.get_y(), bar.get_y() + bar.get_height())), bar.get_hatch()))
    return [sorted(group) for group in groups.values()]


@pytest.mark.parametrize("p", [OVER, MODEST], ids=["over", "under"])
@pytest.mark.parametrize("bins", ["width", "mass"])
def test_bars_gaps_counts_and_words(bins, p):
    ax = plot_reliability(p, n_bins=10, bins=bins, label="plain")
    confidence, correct = numpy_of(p)
    if bins == "width":
        cell = np.ceil(confidence * 10).astype(int) - 1
    else:
        cell = np.argsort(np.argsort(confidence, kind="stable")) // 200
    filled = np.unique(cell)
    says, right, count = (
        np.array([what(cell == i) for i in filled])
        for what in (lambda rows: confidence[rows].mean(), lambda rows: correct[rows].mean(), np.sum)
    )
    bars, gaps, boxes = parts(ax)
    np.testing.assert_allclose([top for _, _, top, _ in bars], right)
    np.testing.assert_allclose([gap[1:3] for gap in gaps], np.sort(np.stack([says, right], 1)))
    assert [hatch for *_, hatch in gaps] == ["////" if over else "...." for over in says > right]
    assert [bar.get_height() for bar in ax.child_axes[0].patches] == count.tolist()
    assert bars[0][0] == pytest.approx(0 if bins == "mass" else filled[0] / 10)
    noise = np.array([np.sqrt((confidence * (1 - confidence))[cell == i].sum()) for i in filled]) / count
    large = count > 50
    np.testing.assert_allclose(np.array([box[1:3] for box in boxes]).mean(1)[large], says[large], atol=0.02)
    np.testing.assert_allclose(
        np.array([high - low for _, low, high, _ in boxes])[large], 3.92 * noise[large], rtol=0.3, atol=0.01
    )
    beyond = sum(not low <= share <= high for (_, low, high, _), share in zip(boxes, right, strict=True))
    seen = estimate(p, "ece" if bins == "width" else "ece_mass", n_bins=10)
    lean = "over" if p is OVER else "under"
    assert picture(ax).alt == (
        f"Reliability diagram. plain: {lean}-confident: says {confidence.mean():.1%}, is right in "
        f"{correct.mean():.1%}; ECE {seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}], "
        f"{beyond} of {len(filled)} {'' if bins == 'width' else 'equal-count '}bins beyond chance; n = 2,000."
    )


@pytest.mark.parametrize("p", [OVER, COOLED, MODEST], ids=["over", "calibrated", "under"])
def test_sums_draw_the_diagram_of_their_predictions(p):
    of_rows, of_sums = (parts(plot_reliability(result)) for result in (p, sums(p)))
    for ours, theirs in zip(of_rows[:2], of_sums[:2], strict=True):
        np.testing.assert_allclose([part[:3] for part in theirs], [part[:3] for part in ours], atol=1e-6)
    counts = sums(p).bins().count
    apart = np.array([box[1:3] for box in of_sums[2]]) - [box[1:3] for box in of_rows[2]]
    assert np.abs(apart * counts[counts > 0, None].numpy()).max() <= 4  # answers; the boxes come from 1,000 draws
    lines = [plot_reliability(result).get_title(loc="left").rpartition("   ")[0] for result in (p, sums(p))]
    assert lines[0] == lines[1]


def test_a_calibrated_model_is_as_confident_as_right():
    assert plot_reliability(COOLED).get_title(loc="left").startswith("As confident as right, on the whole: says ")


def test_bins_of_few_are_pale_and_one_row_is_enough():
    ax = plot_reliability(Reliability().update(torch.tensor([[0.3, 0.7]]), torch.tensor([1])))
    assert [bar.get_alpha() for bar in ax.patches if bar.get_hatch()] == [0.2]
    assert picture(ax).alt.endswith("n = 1.")


def test_before_and_after():
    ax = plot_reliability(OVER, after=COOLED, label="plain")
    (marks,) = (line for line in ax.get_lines() if line.get_label() == "accuracy after")
    bins = sums(COOLED).bins()
    filled = bins.count > 0
    np.testing.assert_allclose(
        marks.get_xydata().T, torch.stack([bins.confidence, bins.accuracy])[:, filled], atol=1e-6
    )
    assert parts(ax) == parts(plot_reliability(OVER))
    outlines = [bar.get_height() for bar in ax.child_axes[0].patches if not bar.get_fill()]
    assert outlines == bins.count[filled].tolist()
    spans = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in (estimate(p, "ece") for p in (OVER, COOLED))]
    title = ax.get_title(loc="left").split("\n")
    says = [f"{numpy_of(p)[0].mean():.1%}" for p in (OVER, COOLED)]
    assert title[0] == f"plain: says {says[0]} before, {says[1]} after; is right in {numpy_of(OVER)[1].mean():.1%}"
    assert title[1] == f"ECE {spans[0]} before, {spans[1]} after"
    assert re.fullmatch(r"Bins beyond chance: (9|1\d) of 1\d before, [012] of 1\d after", title[2])
    other = Predictions.from_logits(-OVER.logits, OVER.labels)
    assert title[0].count("%") < plot_reliability(OVER, after=other).get_title(loc="left").split("\n")[0].count("%")


def test_a_row_of_a_half_type_may_exceed_1():
    probs = torch.tensor([[1.0078, 0.0], [0.4, 0.6]], dtype=torch.bfloat16)
    ax = plot_reliability(Predictions.from_probs(probs, torch.tensor([0, 0])))
    assert picture(ax).alt.endswith("n = 2.")
