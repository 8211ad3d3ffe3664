"""The reliability diagram: accuracy against confidence, bin by bin."""

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.bins import FEW, MAX_BINS
from mixlab.calibration.calibration_error import BINS
from mixlab.calibration.chance import ChanceBins, chance_bins, chance_of_sums
from mixlab.calibration.estimators import estimate
from mixlab.calibration.intervals import Interval
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.reliability import Reliability, ReliabilityBins
from mixlab.plots.style import GRAY, OVER, PALE_BLUE, PAPER, UNDER, axes_and_ink, legend, paint, titled


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

    Bars are the share of right answers, and their gap to the mean confidence is hatched. Bars of fewer than 10 answers
    are pale: their gaps say little. Gray boxes answer "could this gap be chance?": in each lie 95% of the accuracies
    that a calibrated model with these confidences would show (the consistency resampling of Broecker and Smith 2007,
    "Increasing the Reliability of Reliability Diagrams", but with the confidences held fixed, as they are known). Of a
    calibrated model's bars, about one in twenty ends beyond its box. The brackets in the headline are 95% intervals.

    Args:
        result: what has been measured; not empty. A Reliability holds sums only, so its boxes are a little wider.
        ax: where to draw; by default a figure of its own.
        after: the same examples after a change, such as a temperature, drawn as diamonds, which are hollow where chance
            could have put them; `result` is then "before".
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
    elif not isinstance(result, Predictions):
        raise TypeError(f"result must be a Reliability or Predictions, got {_check.shown(result)}")
    elif after is not None and not torch.equal(result.labels.cpu(), check_predictions(after, "after").labels.cpu()):
        raise ValueError(f"after must hold the {len(result):,} labels of result in the same order, got {after!r}")
    _check.choice("bins", bins, BINS)
    n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
    before = _measured(result, bins, n_bins)
    then = None if after is None else _measured(after, bins, n_bins)

    ax, ink = axes_and_ink(ax, (5.6, 5.8))
    strip = ax.inset_axes((0, -0.24, 1, 0.17), facecolor=ax.get_facecolor())
    draw_bins(ax, before.chance.bins, ink)
    _draw_boxes(ax, before)
    _draw_counts(strip, before.chance.bins, facecolor=GRAY, edgecolor=PAPER)
    if then is not None:
        _draw_diamonds(ax, then, ink)
        _draw_counts(strip, then.chance.bins, fill=False, edgecolor=ink)
    tallest = max(int(measured.chance.bins.count.max()) for measured in (before, then or before))
    strip.set(xlim=(0, 1), ylim=(0, 1.05 * tallest), ylabel="count", yticks=[0, tallest])
    strip.set_xlabel(f"confidence of {before.rel.count:,} answers")
    strip.set_yticklabels(["0", f"{tallest:,}"])
    paint(strip, ink)
    ax.tick_params(labelbottom=False)
    legend(ax, ink, loc="lower right", framealpha=0.9, handlelength=1.5)
    kind = "bins" if bins == "width" else "equal-count bins"
    if then is None:
        lines = [verdict(before.rel), f"ECE {before.error}   {before.beyond} {kind} beyond chance"]
    else:
        right = before.accuracy + (f" before, {then.accuracy} after" if before.accuracy != then.accuracy else "")
        lines = [
            f"Says {before.confidence} before, {then.confidence} after; is right in {right}",
            f"ECE {before.error} before, {then.error} after",
            f"{kind[0].upper()}{kind[1:]} beyond chance: {before.beyond} before, {then.beyond} after",
        ]
    return titled(ax, ink, "Reliability diagram", label, lines, [f"n = {before.rel.count:,}"])


def draw_bins(ax: Axes, bins: ReliabilityBins, ink: Any) -> None:
    """Bars of accuracy, their gaps to the mean confidence hatched, and the diagonal."""
    filled = bins.count > 0
    left, width = (part[filled].numpy() for part in (bins.edges[:-1], bins.edges.diff()))
    confidence, accuracy, count = (part[filled].numpy() for part in (bins.confidence, bins.accuracy, bins.count))
    for rows, strength in ((count >= FEW, 1.0), (count < FEW, 0.2)):
        named = rows.any() and strength == 1  # only what is drawn at full strength enters the legend
        style: dict[str, Any] = {"align": "edge", "color": PALE_BLUE, "alpha": strength, "zorder": 0.8}
        ax.bar(left[rows], accuracy[rows], width[rows], label="accuracy in the bin" if named else "_", **style)
        for color, hatch, side, name in (
            (OVER, "////", rows & (confidence > accuracy), "gap: over-confident"),
            (UNDER, "....", rows & (confidence < accuracy), "gap: under-confident"),
        ):
            gap = (confidence - accuracy)[side]
            looks: dict[str, Any] = {"fill": False, "edgecolor": color, "hatch": hatch, "linewidth": 1.2}
            shown = name if named and side.any() else "_"
            ax.bar(left[side], gap, width[side], accuracy[side], align="edge", alpha=strength, label=shown, **looks)
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")


@dataclass(frozen=True)
class _Measured:
    """What the diagram says of one set of predictions."""

    rel: Reliability
    chance: ChanceBins
    ece: Interval

    @property
    def accuracy(self) -> str:
        return f"{self.rel.accuracy():.1%}"

    @property
    def confidence(self) -> str:
        return f"{self.rel.bins().mean_confidence_and_lean()[0]:.1%}"

    @property
    def error(self) -> str:
        return f"{self.ece:.3f}"

    @property
    def beyond(self) -> str:
        return f"{int(self.chance.beyond.sum())} of {int((self.chance.bins.count > 0).sum())}"


def _measured(result: Reliability | Predictions, bins: str, n_bins: int) -> _Measured:
    if isinstance(result, Reliability):
        return _Measured(result, chance_of_sums(result.bins(), fixed_seed()), result.interval("ece"))
    ece = estimate(result, "ece" if bins == "width" else "ece_mass", n_bins=n_bins)
    return _Measured(reliability_of(result), chance_bins(result.cpu(), bins, n_bins, fixed_seed()), ece)


def _draw_boxes(ax: Axes, measured: _Measured) -> None:
    """A gray box in each bin, where chance alone would put the accuracy."""
    bins = measured.chance.bins
    filled = bins.count > 0
    left, width, count, low, high = (
        part[filled].numpy()
        for part in (bins.edges[:-1], bins.edges.diff(), bins.count, measured.chance.low, measured.chance.high)
    )
    name = "95% if calibrated"
    for rows, strength in ((count >= FEW, 0.45), (count < FEW, 0.15)):
        style: dict[str, Any] = {"color": GRAY, "alpha": strength, "linewidth": 0, "zorder": 0.9}
        ax.bar(left[rows], (high - low)[rows], width[rows], low[rows], align="edge", label=name, **style)
        name = "_"


def _draw_diamonds(ax: Axes, measured: _Measured, ink: Any) -> None:
    """Diamonds at mean confidence and accuracy, hollow where chance could have put them."""
    bins, beyond = measured.chance.bins, measured.chance.beyond
    style: dict[str, Any] = {"color": ink, "marker": "D", "markersize": 6, "linestyle": "", "clip_on": False}
    ax.plot(bins.confidence[bins.count > 0], bins.accuracy[bins.count > 0], label="accuracy after", **style)
    ax.plot(bins.confidence[~beyond], bins.accuracy[~beyond], markerfacecolor=ax.get_facecolor(), **style)


def _draw_counts(strip: Axes, bins: ReliabilityBins, **looks: Any) -> None:
    """How many answers lie in each bin."""
    filled = bins.count > 0
    left, width, count = (part[filled].numpy() for part in (bins.edges[:-1], bins.edges.diff(), bins.count))
    strip.bar(left, count, width, align="edge", **looks)


def verdict(rel: Reliability) -> str:
    """Over- or under-confidence on the whole, in words."""
    confidence, lean = rel.bins().mean_confidence_and_lean()
    whole = ", on the whole" if lean.startswith("as") else ""
    return f"{lean[0].upper()}{lean[1:]}{whole}: says {confidence:.1%}, is right in {rel.accuracy():.1%}"


def reliability_of(p: Predictions) -> Reliability:
    """The same predictions as a streaming state."""
    return Reliability().update(p.probs.to(p.given_dtype), p.labels)


def fixed_seed() -> torch.Generator:
    """A generator that draws the same chance band each time."""
    return torch.Generator().manual_seed(0)
