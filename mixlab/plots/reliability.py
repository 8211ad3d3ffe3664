"""The reliability diagram: accuracy against confidence, bin by bin."""

from typing import Any

import torch
from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.bins import FEW
from mixlab.calibration.calibration_error import BINS, MAX_BINS
from mixlab.calibration.chance import chance_bins
from mixlab.calibration.estimators import estimate
from mixlab.calibration.intervals import wilson
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.reliability import Reliability, ReliabilityBins
from mixlab.plots.style import (
    BLUE,
    GRAY,
    INK,
    OVER,
    PAPER,
    UNDER,
    VERMILION,
    axes_and_ink,
    describe,
    legend,
    paint,
    titled,
)


def plot_reliability(
    result: Reliability | Predictions,
    ax: Axes | None = None,
    *,
    after: Predictions | None = None,
    n_bins: int = 15,
    bins: str = "width",
    label: str = "",
) -> Axes:
    """Reliability diagram: accuracy against confidence in each bin, with the counts below.

    Of a `Reliability`, which holds sums only, it draws bars: the gap to the confidence is hatched, and whiskers are
    Wilson's 95% intervals of each bin's accuracy. Bins of fewer than 10 predictions are pale: their gaps say little.

    Of `Predictions` it also answers "could this gap be chance?": a band around the diagonal holds, bin by bin, 95% of
    the accuracies that a calibrated model with these very confidences would show (the consistency resampling of
    Broecker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", but with the confidences held fixed,
    as they are known). A filled mark lies beyond the band, a hollow one within; of a calibrated model's marks about one
    in twenty is filled.

    Args:
        result: what has been measured; not empty.
        ax: where to draw; by default a figure of its own.
        after: the same examples after a change, such as a temperature, drawn as diamonds; `result` is then "before".
        n_bins: 1 to 10,000. A Reliability has bins of its own.
        bins: "width" for bins of equal width, "mass" for equal counts.
        label: name of the model, put before the headline.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range, an `after` with other labels than `result`, or an
            `after` beside a Reliability.
    """
    if isinstance(result, Reliability):
        if (after, n_bins, bins) != (None, 15, "width"):
            raise ValueError(f"result must be Predictions where after, n_bins or bins are given, got {result!r}")
        return _bars(result, ax, label)
    if not isinstance(result, Predictions):
        raise TypeError(f"result must be a Reliability or Predictions, got {_check.shown(result)}")
    return _marks(result, ax, after, n_bins, bins, label)


def _bars(rel: Reliability, ax: Axes | None, label: str) -> Axes:
    """Bars of accuracy, their gaps to the confidence hatched, with Wilson's intervals as whiskers."""
    bins, ece = rel.bins(), rel.interval("ece")
    error = f"ECE {ece.value:.3f} (95%: {ece.low:.3f} to {ece.high:.3f})"
    headline = f"n = {rel.count:,}   accuracy {rel.accuracy():.1%}   {error}"
    words = verdict(rel, bins)
    title = f"{label}: {words[0].lower()}{words[1:]}" if label else words
    ax, ink = axes_and_ink(ax, (5.6, 5.8))

    filled = bins.count > 0
    left = bins.edges[:-1][filled].numpy()
    width = 1 / rel.n_bins
    conf, accuracy, count = (part[filled].numpy() for part in (bins.confidence, bins.accuracy, bins.count))
    for here, strength in ((count >= FEW, 1.0), (count < FEW, 0.2)):
        seen = here.any() and strength == 1  # only what is drawn at full strength enters the legend
        name = "accuracy in the bin" if seen else "_"
        ax.bar(left[here], accuracy[here], width, align="edge", color=BLUE, alpha=0.35 * strength, label=name)
        for color, hatch, side, name in (
            (OVER, "////", here & (conf > accuracy), "gap: over-confident"),
            (UNDER, "....", here & (conf < accuracy), "gap: under-confident"),
        ):
            gap = (conf - accuracy)[side]
            shapes = ax.bar(left[side], gap, width, accuracy[side], align="edge", fill=False, edgecolor=color)
            shapes.set_label(name if seen and side.any() else "_")
            for shape in shapes:
                shape.set(hatch=hatch, linewidth=1.2, alpha=strength)
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    lower, upper = wilson(bins.accuracy[filled], bins.count[filled])
    whiskers = (bins.accuracy[filled] - lower, upper - bins.accuracy[filled])
    reach = torch.stack(whiskers).clamp(min=0).numpy()
    ax.errorbar(left + width / 2, accuracy, reach, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")
    ax.set_title(f"{title}\n{headline}", loc="left", fontsize=10.5, color=ink)
    legend(ax, ink, loc="lower right", framealpha=0.9)

    strip = ax.inset_axes((0, -0.24, 1, 0.17), facecolor=ax.get_facecolor())
    strip.bar(left, count, width, align="edge", color=GRAY, edgecolor=PAPER)
    strip.set(xlim=(0, 1), xlabel="confidence", ylabel="count", yticks=[0, int(count.max())])
    strip.set_yticklabels(["0", f"{int(count.max()):,}"])
    paint(strip, ink)
    ax.tick_params(labelbottom=False)

    most = int(bins.count.argmax())
    lean = f"the fullest bin is {float(bins.edges[most]):.2f} to {float(bins.edges[most + 1]):.2f}"
    return describe(ax, f"Reliability diagram. {title[0].upper()}{title[1:]}. {headline.replace('   ', ', ')}; {lean}.")


def _marks(
    predictions: Predictions, ax: Axes | None, after: Predictions | None, n_bins: int, bins: str, label: str
) -> Axes:
    """Marks at mean confidence and accuracy, filled where they lie beyond the band of chance."""
    runs = {"": predictions.cpu()}
    if after is not None:
        runs = {"before": runs[""], "after": check_predictions(after, "after").cpu()}
        if not torch.equal(runs["before"].labels, runs["after"].labels):
            raise ValueError(
                f"after must hold the {len(predictions):,} labels of predictions in the same order, got {after!r}"
            )
    _check.choice("bins", bins, BINS)
    n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
    ax, ink = axes_and_ink(ax, (5.6, 5.8))
    strip = ax.inset_axes((0, -0.24, 1, 0.17), facecolor=ax.get_facecolor())
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    errors, beyond, tallest = [], [], 0
    for (name, run), color, marker, dash in zip(runs.items(), (BLUE, VERMILION), "oD", ("-", ":"), strict=False):
        seen, which = chance_bins(run, bins, n_bins, fixed_seed()), f", {name}" if name else ""
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
    legend(
        ax, ink, loc="upper left" if float(predictions.confidence.mean()) > accuracy_of(predictions) else "lower right"
    )
    counted = f"{'' if bins == 'width' else 'equal-count '}bins beyond chance: "
    if after is None:
        error = f"ECE {errors[0].value:.3f} (95%: {errors[0].low:.3f} to {errors[0].high:.3f})"
        numbers = f"n = {len(predictions):,}   accuracy {accuracy_of(predictions):.1%}   {error}"
        title = [verdict_of(predictions), numbers, counted + beyond[0]]
    else:
        says, right = zip(*((float(run.confidence.mean()), accuracy_of(run)) for run in runs.values()), strict=True)
        share = f"{right[0]:.1%}" + (f" before, {right[1]:.1%} after" if right[0] != right[1] else "")
        spans = [f"{part.value:.3f} [{part.low:.3f}, {part.high:.3f}]" for part in errors]
        title = [
            f"Says {says[0]:.1%} before, {says[1]:.1%} after; is right in {share}",
            f"ECE {spans[0]} before, {spans[1]} after",
            f"n = {len(predictions):,}   {counted}{beyond[0]} before, {beyond[1]} after",
        ]
    return titled(ax, ink, "Reliability diagram", label, title)


def verdict(rel: Reliability, bins: ReliabilityBins) -> str:
    """Over- or under-confidence on the whole, in words."""
    confidence, lean = bins.mean_confidence_and_lean()
    whole = ", on the whole" if lean.startswith("as") else ""
    return f"{lean[0].upper()}{lean[1:]}{whole}: says {confidence:.1%}, is right in {rel.accuracy():.1%}"


def verdict_of(p: Predictions) -> str:
    """Over- or under-confidence on the whole, in words."""
    rel = reliability_of(p)
    return verdict(rel, rel.bins())


def accuracy_of(p: Predictions) -> float:
    """Share of right answers."""
    return float(p.correct.double().mean())


def reliability_of(p: Predictions) -> Reliability:
    """The same predictions as a streaming state."""
    return Reliability().update(p.probs.to(p.given_dtype), p.labels)


def fixed_seed() -> torch.Generator:
    """A generator that draws the same chance band each time."""
    return torch.Generator().manual_seed(0)
