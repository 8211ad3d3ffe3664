"""Figures of calibration besides the reliability diagram: `plot_...(predictions, ax=None) -> ax`.

What chance alone would show is drawn as a band: labels are drawn anew from the stated confidences, with the same seed
each time, and the band holds 95% of what comes out.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from mixlab import _check
from mixlab.calibration.bins import MAX_BINS, binned, fill_cells, width_edges
from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.chance import smooth_band
from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.rejection import accuracy_rejection
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.scores import accuracy
from mixlab.calibration.smooth import smooth_curve, smooth_error
from mixlab.plots.reliability_diagram import fixed_seed, reliability_of, verdict
from mixlab.plots.style import (
    BLUE,
    GRAY,
    GREEN,
    PALE_VERMILION,
    PAPER,
    SERIES,
    VERMILION,
    axes_and_ink,
    legend,
    plain,
    titled,
)

if TYPE_CHECKING:  # the records only, not the training they come from
    from mixlab.training.record import Record

CELLS = 25  # of the histogram of confidence


def plot_smooth(predictions: Predictions, ax: Axes | None = None, *, label: str = "") -> Axes:
    """Smooth reliability diagram: accuracy against confidence without bins, drawn thick where the examples are.

    Each point is a mean weighted by the kernel of `smooth_error`: of the right answers upwards, of the confidences to
    the right, so that a calibrated model lies on the diagonal, however wide the kernel. The band has, point by point,
    95% of the curves that a calibrated model with these confidences would show, from 200 draws of the labels.

    Args:
        predictions: what the model says, and the labels.
        ax: where to draw; by default a figure of its own.
        label: name of the model, put before the headline.

    Raises TypeError if predictions is no Predictions.
    """
    predictions = check_predictions(predictions).cpu()
    curve = smooth_curve(predictions)
    # Points of the kernel without examples on both sides are left out, but for the nearest ones.
    step = 1.01 / (len(curve.confidence) - 1)
    least, most = predictions.confidence.min() - step, predictions.confidence.max() + step
    drawn = (curve.confidence > least) & (curve.confidence < most)
    x, low, high = (part[drawn] for part in smooth_band(predictions, curve.bandwidth, fixed_seed()))
    y, share = curve.accuracy[drawn], curve.density[drawn]
    smooth = estimate(predictions, "smooth")
    ax, ink = axes_and_ink(ax, (5.6, 5.4))
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    band: dict[str, Any] = {"color": GRAY, "alpha": 0.4, "linewidth": 0, "label": "95% of calibrated models"}
    ax.fill_between(x.numpy(), low.numpy(), high.numpy(), **band)
    points = torch.stack([x, y], 1)
    pieces = torch.stack([points[:-1], points[1:]], 1).numpy()
    widths = 1 + 6 * ((share[:-1] + share[1:]) / 2 / share.max()).sqrt()
    line = LineCollection(list(pieces), linewidths=widths.tolist(), colors=BLUE, capstyle="round", clip_on=False)
    ax.add_collection(line)
    ax.plot([], [], color=BLUE, linewidth=4, label="accuracy, thick where examples are many")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of right answers")
    right = accuracy(predictions)
    legend(ax, ink, loc="upper left" if float(predictions.confidence.mean()) > right else "lower right")
    error = f"smooth error {smooth.value:.3f} (95%: {smooth.low:.3f} to {smooth.high:.3f})"
    numbers = f"n = {len(predictions):,}   accuracy {right:.1%}   bandwidth {curve.bandwidth:.3f}"
    return titled(ax, ink, "Smooth reliability diagram", label, [verdict(reliability_of(predictions)), error, numbers])


def plot_confidence(predictions: Predictions, ax: Axes | None = None, *, label: str = "") -> Axes:
    """Histogram of confidence: right answers below, wrong ones hatched above, lines at mean confidence and accuracy.

    The distance between the two lines is the over-confidence, or the under-confidence if accuracy is the larger.

    Args:
        predictions: what the model says, and the labels.
        ax: where to draw; by default a figure of its own.
        label: name of the model, put before the headline.

    Raises TypeError if predictions is no Predictions.
    """
    predictions = check_predictions(predictions).cpu()
    ax, ink = axes_and_ink(ax, (6.0, 3.8))
    cells = fill_cells(predictions.confidence, predictions.correct, width_edges(CELLS, predictions.given_dtype))[..., 0]
    wrong, right = cells.T.numpy()
    left = [i / CELLS for i in range(CELLS)]
    ax.bar(left, right, 1 / CELLS, align="edge", color=BLUE, alpha=0.6, edgecolor=PAPER, linewidth=0.5, label="right")
    looks: dict[str, Any] = {"facecolor": PALE_VERMILION, "edgecolor": VERMILION, "hatch": "////"}
    ax.bar(left, wrong, 1 / CELLS, right, align="edge", label="wrong", **looks)
    says, share = float(predictions.confidence.mean()), accuracy(predictions)
    top = 1.45 * float((wrong + right).max())
    ax.axvline(says, ymax=0.8, color=ink, linewidth=1.8, label=f"mean confidence {says:.1%}")
    ax.axvline(share, ymax=0.8, color=ink, linestyle="--", linewidth=1.8, label=f"accuracy {share:.1%}")
    points = 100 * (says - share)
    if abs(points) >= 1:
        ax.annotate("", (says, 0.76 * top), (share, 0.76 * top), arrowprops={"arrowstyle": "->", "color": ink})
    ax.set(xlim=(0, 1), ylim=(0, top), xlabel="confidence", ylabel="number of examples")
    legend(ax, ink, loc="upper left", ncols=2)
    lean = "over" if points >= 0 else "under"
    lines = [
        verdict(reliability_of(predictions)),
        f"n = {len(predictions):,}   mean confidence is {abs(points):.1f} points {lean} the accuracy",
    ]
    if predictions.correct.any() and not predictions.correct.all():
        means = (float(predictions.confidence[rows].mean()) for rows in (predictions.correct, ~predictions.correct))
        lines.append("mean confidence {:.1%} where right, {:.1%} where wrong".format(*means))
    return titled(ax, ink, "Histogram of confidence", label, lines)


def plot_rejection(predictions: Predictions | Mapping[str, Predictions], ax: Axes | None = None) -> Axes:
    """Accuracy-rejection curves: the accuracy that remains when the least confident answers are given up.

    The legend has the area under the risk-coverage curve (AURC, lower is better) with its 95% interval. For a single
    set of predictions the best possible order (all right answers first) is dotted; a random order keeps the accuracy.

    Args:
        predictions: those of one model, or of several by name.
        ax: where to draw; by default a figure of its own.

    Raises:
        TypeError, ValueError: no predictions, or something else among them.
    """
    runs = _named(predictions)
    ax, ink = axes_and_ink(ax, (6.0, 4.0))
    lines, areas, lowest = [], [], 100.0
    for row, (name, run) in enumerate(runs.items()):
        curve, area = accuracy_rejection(run), estimate(run, "aurc")
        prefix = f"{name}: " if name else ""
        areas.append(f"{prefix}AURC {area:.3f}")
        ax.plot(100 * curve.coverage, 100 * curve.accuracy, label=plain(areas[-1]), **_style(row))
        half = float(curve.accuracy[torch.searchsorted(curve.coverage, 0.5)])
        shares = f"accuracy {accuracy(run):.1%} on all, {half:.1%} on the surer half"
        lines.append(prefix + shares if prefix else shares.capitalize())
        lowest = min(lowest, 100 * float(curve.accuracy.min()))
    if len(runs) == 1:
        share = 100 * accuracy(run)
        kept = torch.linspace(0.1, 100, 1000, dtype=torch.float64)
        ax.plot(kept, (100 * share / kept).clamp(max=100), color=GRAY, linestyle=":", linewidth=2, label="best order")
        ax.axhline(share, color=GRAY, linestyle="--", linewidth=1, label="random order")
    ax.set(xlim=(0, 100), ylim=(max(lowest - 8, 0), 102))
    ax.set(xlabel="share of examples answered, surest first (%)", ylabel="accuracy on these (%)")
    legend(ax, ink, loc="lower left")
    return titled(ax, ink, "Accuracy-rejection curve", "", lines, areas)


def plot_murphy(
    steps: "Sequence[Predictions | Record]", ax: Axes | None = None, *, labels: Sequence[str] | None = None
) -> Axes:
    """Murphy's terms of the answers' Brier score, step by step: uncertainty - resolution + reliability.

    Over 15 bins of equal width, as in `mixlab.calibration.murphy`. Reliability is what miscalibration costs, and what
    scaling can mend; resolution is the gain of telling right answers from wrong ones; uncertainty is the rest.

    Args:
        steps: Records as `fit` gives them (drawn against their epochs), or Predictions (drawn in their order).
        ax: where to draw; by default a figure of its own.
        labels: a name for each step, written in place of its epoch or number.

    Raises:
        TypeError, ValueError: no steps, other things among them, or another number of labels.

    Source: Murphy 1973, "A new vector partition of the probability score".
    """
    if not isinstance(steps, Iterable):
        raise TypeError(f"steps must hold Records of mx.fit or Predictions, got {_check.shown(steps)}")
    steps = list(steps)
    if not steps:
        raise ValueError("steps must hold at least one Record or Predictions, got none")
    terms = [_terms(step) for step in steps]
    if labels is not None and (not isinstance(labels, (list, tuple)) or len(labels) != len(steps)):
        raise ValueError(f"labels must hold a name for each of the {len(steps)} steps, got {_check.shown(labels)}")
    at: list[float] = list(range(1, len(steps) + 1))
    what = "step"
    if labels is None and not any(isinstance(step, Predictions) for step in steps):
        at, what = [step.epoch for step in steps if not isinstance(step, Predictions)], "epoch"
    ax, ink = axes_and_ink(ax, (6.0, 4.0))
    names = ("uncertainty", "resolution (more is better)", "reliability (less is better)")
    changes = []
    for name, values, color, dash, marker in zip(
        names, zip(*terms, strict=True), (GRAY, GREEN, VERMILION), ("--", "-.", "-"), "sDo", strict=True
    ):
        ax.plot(at, values, color=color, linestyle=dash, marker=marker, markersize=5, linewidth=2, label=name)
        change = f"{values[0]:.3f} to {values[-1]:.3f}" if len(values) > 1 else f"{values[0]:.3f}"
        changes.append(f"{name.split(' ')[0]} {change}")
    ax.set(xlabel=what, ylabel="part of the answers' Brier score")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if labels is not None:
        ax.set_xticks(at, [plain(str(label)) for label in labels])
    legend(ax, ink, loc="best")
    return titled(
        ax, ink, "Murphy's terms", "", [f"{changes[2].capitalize()} (less is better)", ", ".join(changes[1::-1])]
    )


def plot_bins(
    predictions: Predictions | Mapping[str, Predictions], ax: Axes | None = None, *, bins: Sequence[int] = range(1, 101)
) -> Axes:
    """Calibration error (L1) against the number of bins: what you read depends on the ruler.

    For a single set of predictions equal width and equal counts, each plain and with the noise of its bins taken off
    (`calibration_error(debiased=True)`); for several, equal width alone. The smooth error needs no bins: it is flat.

    Args:
        predictions: those of one model, or of several by name.
        ax: where to draw; by default a figure of its own.
        bins: numbers of bins, rising, each from 1 to 10,000.

    Raises:
        TypeError, ValueError: no predictions or something else among them; bins that do not rise, or none.
    """
    runs = _named(predictions)
    rising = f"bins must be rising numbers of bins, at least one, got {_check.shown(bins)}"
    if not isinstance(bins, Iterable):
        raise TypeError(rising)
    counts = [_check.integer("bins", count, 1, MAX_BINS) for count in bins]
    if not counts or any(b <= a for a, b in pairwise(counts)):
        raise ValueError(rising)
    ax, ink = axes_and_ink(ax, (6.0, 4.2))
    lines, highest = [], 0.0
    for row, (name, run) in enumerate(runs.items()):
        color, flat = _style(row)["color"], smooth_error(run)
        rulers = [(name, "width", False, color)]
        if len(runs) == 1:
            rulers = [
                (f"{words}{', debiased' if debiased else ''}", kind, debiased, shade)
                for words, kind, shade in (("equal width", "width", BLUE), ("equal counts", "mass", VERMILION))
                for debiased in (False, True)
            ]
            color = GREEN
        values: list[float] = []
        for words, kind, debiased, shade in rulers:
            line = [calibration_error(run, bins=kind, n_bins=count, debiased=debiased) for count in counts]
            ax.plot(counts, line, color=shade, linestyle="--" if debiased else "-", linewidth=1.8, label=plain(words))
            values += line
        prefix = f"{name}: " if name else ""
        words = plain(f"{name}, smooth error") if name else "smooth error, no bins"
        ax.axhline(flat, color=color, linestyle=":", linewidth=2.5, label=words)
        lines.append(f"{prefix}{min(values):.3f} to {max(values):.3f} by the bins, smooth error {flat:.3f}")
        highest = max(highest, flat, *values)
    ax.set(xlabel="number of bins", ylabel="calibration error (L1, 0 to 1)", ylim=(0, 1.45 * highest or 1))
    ax.margins(x=0.02)
    legend(ax, ink, loc="upper left", ncols=2)
    return titled(ax, ink, "Calibration error against the number of bins", "", lines)


def _terms(step: object) -> tuple[float, float, float]:
    """Murphy's uncertainty, resolution and reliability."""
    rel = reliability_of(step) if isinstance(step, Predictions) else getattr(step, "reliability", None)
    if not isinstance(rel, Reliability):
        raise TypeError(f"steps must hold Records of mx.fit or Predictions, got {_check.shown(step)}")
    bins = rel.bins()
    count = bins.count.double()
    conf, right = (count * bins.confidence).nan_to_num(), (count * bins.accuracy).nan_to_num()
    resolution, reliability = (float(binned(name, count, conf, right)) for name in ("resolution", "reliability"))
    return rel.accuracy() * (1 - rel.accuracy()), resolution, reliability


def _named(p: object) -> dict[str, Predictions]:
    if isinstance(p, Predictions):
        return {"": p.cpu()}
    if not isinstance(p, Mapping) or not all(isinstance(run, Predictions) for run in p.values()):
        raise TypeError(f"predictions must be Predictions, or several by name, got {_check.shown(p)}")
    if not p:
        raise ValueError("predictions must be Predictions, or several by name, got none")
    return {str(name): run.cpu() for name, run in p.items()}


def _style(row: int) -> dict[str, Any]:
    dashes = ("-", "--", "-.", ":")
    return {"color": SERIES[row % len(SERIES)], "linestyle": dashes[row % len(dashes)], "linewidth": 2}
