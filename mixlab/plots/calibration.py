"""Figures of calibration: `plot_...(predictions, ax=None) -> ax`, in the manner of plots.py.

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
from mixlab.calibration.bins import FEW, binned, fill_cells, width_edges
from mixlab.calibration.calibration_error import BINS, MAX_BINS, calibration_error
from mixlab.calibration.chance import chance_bins, smooth_band
from mixlab.calibration.estimators import estimate
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.rejection import accuracy_rejection
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.smooth import smooth_curve, smooth_error
from mixlab.plots.figures import verdict
from mixlab.plots.style import BLUE, GRAY, GREEN, PAPER, SERIES, VERMILION, axes_and_ink, describe, legend, paint

if TYPE_CHECKING:  # the records only, not the training they come from
    from mixlab.training.record import Record

CELLS = 25  # of the histogram of confidence


def plot_calibration(
    p: Predictions,
    ax: Axes | None = None,
    *,
    after: Predictions | None = None,
    n_bins: int = 15,
    bins: str = "width",
    label: str = "",
) -> Axes:
    """Reliability diagram: accuracy against mean confidence in each bin, what chance allows as a band, counts below.

    The band answers "could this gap be chance?": around the diagonal it holds, bin by bin, 95% of the accuracies that
    a calibrated model with these very confidences would show (the consistency resampling of Broecker and Smith 2007,
    "Increasing the Reliability of Reliability Diagrams", but with the confidences held fixed, as they are known). A
    band around the accuracies, as relplot draws it, tells how well each accuracy is known; but in a small bin whose
    answers are all right, a bootstrap gives it no width at all. A filled mark lies beyond the band, a hollow one
    within; of a calibrated model's marks about one in twenty is filled.

    Args:
        p: predictions.
        ax: where to draw; by default a figure of its own.
        after: the same examples after a change, such as a temperature; drawn as diamonds, and `p` is then "before".
        n_bins: 1 to 10,000.
        bins: "width" for bins of equal width, "mass" for equal counts.
        label: name of the model, put before the headline.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range, or an `after` with other labels than `p`.
    """
    runs = {"": check_predictions(p, "p").cpu()}
    if after is not None:
        runs = {"before": runs[""], "after": check_predictions(after, "after").cpu()}
        if not torch.equal(runs["before"].labels, runs["after"].labels):
            raise ValueError(f"after must hold the {len(p):,} labels of p in the same order, got {after!r}")
    _check.choice("bins", bins, BINS)
    n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
    ax, ink = axes_and_ink(ax, (5.6, 5.8))
    strip = ax.inset_axes((0, -0.24, 1, 0.17), facecolor=ax.get_facecolor())
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    errors, beyond, tallest = [], [], 0
    for (name, run), color, marker, dash in zip(runs.items(), (BLUE, VERMILION), "oD", ("-", ":"), strict=False):
        seen, which = chance_bins(run, bins, n_bins, _fixed_seed()), f", {name}" if name else ""
        x, y, low, high = (part.numpy() for part in (seen.confidence, seen.accuracy, seen.low, seen.high))
        apart = (y < low) | (y > high)
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        ax.vlines(x, low, high, color=color, alpha=0.4, linewidth=4, label=f"95% of calibrated models{which}")
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 6.5, "clip_on": False}
        filled = seen.count > 0
        ax.plot(x, y, linestyle="", label=f"accuracy in the bin{which}", **style)
        ax.plot(x[~apart], y[~apart], linestyle="", markerfacecolor=ax.get_facecolor(), **style)
        enough = (seen.count[filled] >= FEW).numpy()
        ax.plot(x[enough], y[enough], linestyle=dash, linewidth=1.3, color=color, zorder=1.9)
        left, count, width = (part[filled].numpy() for part in (seen.edges[:-1], seen.count, seen.edges.diff()))
        looks: dict[str, Any] = {"facecolor": color, "edgecolor": ax.get_facecolor(), "alpha": 0.45}
        if name == "after":
            looks = {"edgecolor": color, "fill": False}
        strip.bar(left, count, width, align="edge", linewidth=1.2, **looks)
        tallest = max(tallest, int(seen.count.max()))
        errors.append(estimate(run, "ece" if bins == "width" else "ece_mass", n_bins=n_bins))
        beyond.append(f"{int(apart.sum())} of {len(apart)}")
    strip.set(xlim=(0, 1), ylim=(0, 1.05 * tallest), xlabel="confidence", ylabel="count", yticks=[0, tallest])
    strip.set_yticklabels(["0", f"{tallest:,}"])
    paint(strip, ink)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")
    ax.tick_params(labelbottom=False)
    legend(ax, ink, loc="upper left" if float(p.confidence.mean()) > _accuracy(p) else "lower right")
    counted = f"{'' if bins == 'width' else 'equal-count '}bins beyond chance: "
    if after is None:
        error = f"ECE {errors[0].value:.3f} (95%: {errors[0].low:.3f} to {errors[0].high:.3f})"
        numbers = f"n = {len(p):,}   accuracy {_accuracy(p):.1%}   {error}"
        title = [_verdict(p), numbers, counted + beyond[0]]
    else:
        says, right = zip(*((float(run.confidence.mean()), _accuracy(run)) for run in runs.values()), strict=True)
        share = f"{right[0]:.1%}" + (f" before, {right[1]:.1%} after" if right[0] != right[1] else "")
        spans = [f"{part.value:.3f} [{part.low:.3f}, {part.high:.3f}]" for part in errors]
        title = [
            f"Says {says[0]:.1%} before, {says[1]:.1%} after; is right in {share}",
            f"ECE {spans[0]} before, {spans[1]} after",
            f"n = {len(p):,}   {counted}{beyond[0]} before, {beyond[1]} after",
        ]
    return _title(ax, ink, "Reliability diagram", label, title)


def plot_smooth(p: Predictions, ax: Axes | None = None, *, label: str = "") -> Axes:
    """Smooth reliability diagram: accuracy against confidence without bins, drawn thick where the examples are.

    Each point is a mean weighted by the kernel of `smooth_error`: of the right answers upwards, of the confidences to
    the right, so that a calibrated model lies on the diagonal however wide the kernel. The band holds, point by point,
    95% of the curves that a calibrated model with these very confidences would show, from 200 draws of the labels.

    Args:
        p: predictions.
        ax: where to draw; by default a figure of its own.
        label: name of the model, put before the headline.

    Raises TypeError if p is no Predictions.
    """
    p = check_predictions(p, "p").cpu()
    curve = smooth_curve(p)
    # Points of the kernel without examples on both sides are left out, but for the nearest ones.
    step = 1.01 / (len(curve.confidence) - 1)
    seen = (curve.confidence > p.confidence.min() - step) & (curve.confidence < p.confidence.max() + step)
    x, low, high = (part[seen] for part in smooth_band(p, curve.bandwidth, _fixed_seed()))
    y, share = curve.accuracy[seen], curve.density[seen]
    found = estimate(p, "smooth")
    ax, ink = axes_and_ink(ax, (5.6, 5.4))
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    ax.fill_between(
        x.numpy(), low.numpy(), high.numpy(), color=GRAY, alpha=0.4, linewidth=0, label="95% of calibrated models"
    )
    points = torch.stack([x, y], 1)
    pieces = torch.stack([points[:-1], points[1:]], 1).numpy()
    widths = 1 + 6 * ((share[:-1] + share[1:]) / 2 / share.max()).sqrt()
    line = LineCollection(list(pieces), linewidths=widths.tolist(), colors=BLUE, capstyle="round", clip_on=False)
    ax.add_collection(line)
    ax.plot([], [], color=BLUE, linewidth=4, label="accuracy, thick where examples are many")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of right answers")
    legend(ax, ink, loc="upper left" if float(p.confidence.mean()) > _accuracy(p) else "lower right")
    error = f"smooth error {found.value:.3f} (95%: {found.low:.3f} to {found.high:.3f})"
    numbers = f"n = {len(p):,}   accuracy {_accuracy(p):.1%}   bandwidth {curve.bandwidth:.3f}"
    return _title(ax, ink, "Smooth reliability diagram", label, [_verdict(p), error, numbers])


def plot_confidence(p: Predictions, ax: Axes | None = None, *, label: str = "") -> Axes:
    """Histogram of confidence, right answers below and wrong ones hatched on top, with mean confidence and accuracy.

    The distance of the two lines is the over-confidence (or, the other way round, the under-confidence).

    Args:
        p: predictions.
        ax: where to draw; by default a figure of its own.
        label: name of the model, put before the headline.

    Raises TypeError if p is no Predictions.
    """
    p = check_predictions(p, "p").cpu()
    ax, ink = axes_and_ink(ax, (6.0, 3.8))
    cells = fill_cells(p.confidence, p.correct, width_edges(CELLS, p.given_dtype))[..., 0]
    wrong, right = cells.T.numpy()
    left = [i / CELLS for i in range(CELLS)]
    ax.bar(left, right, 1 / CELLS, align="edge", color=BLUE, alpha=0.6, edgecolor=PAPER, linewidth=0.5, label="right")
    ax.bar(
        left,
        wrong,
        1 / CELLS,
        right,
        align="edge",
        facecolor="#F6D5BF",
        edgecolor=VERMILION,
        hatch="////",
        label="wrong",
    )
    says, share, top = float(p.confidence.mean()), _accuracy(p), 1.45 * float((wrong + right).max())
    ax.axvline(says, ymax=0.8, color=ink, linestyle="--", linewidth=1.8, label=f"mean confidence {says:.1%}")
    ax.axvline(share, ymax=0.8, color=ink, linewidth=1.8, label=f"accuracy {share:.1%}")
    points = 100 * (says - share)
    if abs(points) >= 1:
        ax.annotate("", (says, 0.76 * top), (share, 0.76 * top), arrowprops={"arrowstyle": "->", "color": ink})
    ax.set(xlim=(0, 1), ylim=(0, top), xlabel="confidence", ylabel="number of examples")
    legend(ax, ink, loc="upper left", ncols=2)
    lean = "over" if points >= 0 else "under"
    lines = [_verdict(p), f"n = {len(p):,}   mean confidence is {abs(points):.1f} points {lean} the accuracy"]
    if p.correct.any() and not p.correct.all():
        where = [f"{float(p.confidence[rows].mean()):.1%}" for rows in (p.correct, ~p.correct)]
        lines.append(f"mean confidence {where[0]} where right, {where[1]} where wrong")
    return _title(ax, ink, "Histogram of confidence", label, lines)


def plot_rejection(p: Predictions | Mapping[str, Predictions], ax: Axes | None = None) -> Axes:
    """Accuracy-rejection curves: the accuracy that remains when the least confident answers are given up.

    The legend has the area under the risk-coverage curve (AURC, lower is better) with its 95% interval. For a single
    set of predictions the best possible order (all right answers first) is dotted; a random order keeps the accuracy.

    Args:
        p: predictions, or several by name.
        ax: where to draw; by default a figure of its own.

    Raises:
        TypeError, ValueError: no predictions, or something else among them.
    """
    runs = _named(p)
    ax, ink = axes_and_ink(ax, (6.0, 4.0))
    told, areas, lowest = [], [], 100.0
    for row, (name, run) in enumerate(runs.items()):
        curve, area = accuracy_rejection(run), estimate(run, "aurc")
        prefix = f"{name}: " if name else ""
        areas.append(f"{prefix}AURC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]")
        ax.plot(100 * curve.coverage, 100 * curve.accuracy, label=areas[-1], **_style(row))
        half = float(curve.accuracy[torch.searchsorted(curve.coverage, 0.5)])
        shares = f"accuracy {_accuracy(run):.1%} on all, {half:.1%} on the surer half"
        told.append(prefix + shares if prefix else shares.capitalize())
        lowest = min(lowest, 100 * float(curve.accuracy.min()))
    if len(runs) == 1:
        share = 100 * _accuracy(run)
        kept = torch.linspace(0.1, 100, 1000, dtype=torch.float64)
        ax.plot(kept, (100 * share / kept).clamp(max=100), color=GRAY, linestyle=":", linewidth=2, label="best order")
        ax.axhline(share, color=GRAY, linestyle="--", linewidth=1, label="random order")
    ax.set(
        xlim=(0, 100),
        ylim=(max(lowest - 8, 0), 102),
        xlabel="share of examples answered, surest first (%)",
        ylabel="accuracy on these (%)",
    )
    legend(ax, ink, loc="lower left")
    return _title(ax, ink, "Accuracy-rejection curve", "", told, areas)


def plot_murphy(
    steps: "Sequence[Predictions | Record]", ax: Axes | None = None, *, labels: Sequence[str] | None = None
) -> Axes:
    """Murphy's terms of the answers' Brier score, step by step: uncertainty - resolution + reliability.

    Over 15 bins of equal width (`estimators.murphy`): reliability is what miscalibration costs, and what scaling can
    mend; resolution what telling right answers from wrong ones gains; uncertainty what would be left without either.

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
    found = [_terms(step) for step in steps]
    if labels is not None and (not isinstance(labels, (list, tuple)) or len(labels) != len(steps)):
        raise ValueError(f"labels must hold a name for each of the {len(steps)} steps, got {_check.shown(labels)}")
    at: list[float] = list(range(1, len(steps) + 1))
    what = "step"
    if labels is None and not any(isinstance(step, Predictions) for step in steps):
        at, what = [step.epoch for step in steps if not isinstance(step, Predictions)], "epoch"
    ax, ink = axes_and_ink(ax, (6.0, 4.0))
    names = ("uncertainty", "resolution (more is better)", "reliability (less is better)")
    told = []
    for name, values, color, dash, marker in zip(
        names, zip(*found, strict=True), (GRAY, GREEN, VERMILION), ("--", "-.", "-"), "sDo", strict=True
    ):
        ax.plot(at, values, color=color, linestyle=dash, marker=marker, markersize=5, linewidth=2, label=name)
        change = f"{values[0]:.3f} to {values[-1]:.3f}" if len(values) > 1 else f"{values[0]:.3f}"
        told.append(f"{name.split(' ')[0]} {change}")
    ax.set(xlabel=what, ylabel="part of the answers' Brier score")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if labels is not None:
        ax.set_xticks(at, labels)
    legend(ax, ink, loc="best")
    return _title(ax, ink, "Murphy's terms", "", [f"{told[2].capitalize()} (less is better)", ", ".join(told[1::-1])])


def plot_bins(
    p: Predictions | Mapping[str, Predictions], ax: Axes | None = None, *, bins: Sequence[int] = range(1, 101)
) -> Axes:
    """The calibration error (L1) against the number of bins: the number read depends on the ruler.

    For a single set of predictions equal width and equal counts, each plain and with the noise of its bins taken off
    (`calibration_error(debiased=True)`); for several, equal width alone. The smooth error needs no bins: it is flat.

    Args:
        p: predictions, or several by name.
        ax: where to draw; by default a figure of its own.
        bins: numbers of bins, rising, each from 1 to 10,000.

    Raises:
        TypeError, ValueError: no predictions or something else among them; bins that do not rise, or none.
    """
    runs = _named(p)
    rising = f"bins must be rising numbers of bins, at least one, got {_check.shown(bins)}"
    if not isinstance(bins, Iterable):
        raise TypeError(rising)
    counts = [_check.integer("bins", count, 1, MAX_BINS) for count in bins]
    if not counts or any(b <= a for a, b in pairwise(counts)):
        raise ValueError(rising)
    ax, ink = axes_and_ink(ax, (6.0, 4.2))
    told, highest = [], 0.0
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
            ax.plot(counts, line, color=shade, linestyle="--" if debiased else "-", linewidth=1.8, label=words)
            values += line
        prefix = f"{name}: " if name else ""
        ax.axhline(
            flat,
            color=color,
            linestyle=":",
            linewidth=2.5,
            label=f"{name}, smooth error" if name else "smooth error, no bins",
        )
        told.append(f"{prefix}{min(values):.3f} to {max(values):.3f} by the bins, smooth error {flat:.3f}")
        highest = max(highest, flat, *values)
    ax.set(xlabel="number of bins", ylabel="calibration error (L1, 0 to 1)", ylim=(0, 1.45 * highest or 1))
    ax.margins(x=0.02)
    legend(ax, ink, loc="upper left", ncols=2)
    return _title(ax, ink, "Calibration error against the number of bins", "", told)


def _terms(step: object) -> tuple[float, float, float]:
    """Murphy's uncertainty, resolution and reliability."""
    rel = _reliability(step) if isinstance(step, Predictions) else getattr(step, "reliability", None)
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
        raise TypeError(f"p must be Predictions, or several by name, got {_check.shown(p)}")
    if not p:
        raise ValueError("p must be Predictions, or several by name, got none")
    return {str(name): run.cpu() for name, run in p.items()}


def _accuracy(p: Predictions) -> float:
    return float(p.correct.double().mean())


def _reliability(p: Predictions) -> Reliability:
    return Reliability().update(p.probs.to(p.given_dtype), p.labels)


def _verdict(p: Predictions) -> str:
    rel = _reliability(p)
    return verdict(rel, rel.bins())


def _style(row: int) -> dict[str, Any]:
    dashes = ("-", "--", "-.", ":")
    return {"color": SERIES[row % len(SERIES)], "linestyle": dashes[row % len(dashes)], "linewidth": 2}


def _fixed_seed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _title(ax: Axes, ink: Any, kind: str, label: str, lines: Sequence[str], unsaid: Sequence[str] = ()) -> Axes:
    """Write `lines` over the axes, and keep them as its words, with what stands elsewhere in the picture."""
    first = f"{label}: {lines[0][0].lower()}{lines[0][1:]}" if label else lines[0]
    ax.set_title("\n".join([first, *lines[1:]]), loc="left", fontsize=10.5, color=ink)
    return describe(ax, f"{kind}. {'; '.join([first, *lines[1:], *unsaid]).replace('   ', ', ')}.")
