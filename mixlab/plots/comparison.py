"""Intervals side by side: one row for each name, and the labels of a model with their calibration errors."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.calibration.multilabel import LabelErrors
from mixlab.plots.style import BLUE, GRAY, PAPER, axes_and_ink, describe, plain


def plot_intervals(
    intervals: Mapping[str, Interval],
    ax: Axes | None = None,
    *,
    quantity: str,
    reference: float | None = None,
    pale: Collection[str] = (),
) -> Axes:
    """One row for each name: a dot for the mean, a bar for its interval, and both as numbers at the right.

    The axis says the level, and how many values an interval rests on.

    Args:
        intervals: what `mean_interval` or `GradientVariance.ratio` gave, by name; drawn from the top.
        ax: where to draw; by default a figure of its own.
        quantity: what is measured, with its unit, for the axis.
        reference: a value to compare with, drawn as a dashed line.
        pale: names whose rows are drawn pale, as they say little.

    Raises:
        TypeError, ValueError: no intervals, or something else among them.
    """
    wanted = "intervals must hold at least one Interval by name, got "
    if not isinstance(intervals, Mapping) or not all(isinstance(part, Interval) for part in intervals.values()):
        raise TypeError(wanted + _check.shown(intervals))
    if not intervals:
        raise ValueError(wanted + "none")
    ax, ink = axes_and_ink(ax, (6.4, 0.9 + 0.36 * len(intervals)))
    numbers = numbers_of(*intervals.values())
    # The column ends so many points right of the axes that its longest row begins there; characters take 5 on average.
    aside = (6 + 5.4 * max(map(len, numbers)), 0)
    place: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "xytext": aside, "textcoords": "offset points"}
    for row, ((name, part), words) in enumerate(zip(intervals.items(), numbers, strict=True)):
        apart = reference is not None and not part.low <= reference <= part.high
        looks: dict[str, Any] = {"color": BLUE, "alpha": 0.35 if name in pale else 1.0}
        ax.plot([part.low, part.high], [row, row], linewidth=2.5, solid_capstyle="butt", **looks)
        ax.plot(part.value, row, "o", markersize=7, markerfacecolor=BLUE if apart else PAPER, **looks)
        ax.annotate(words, (1, row), ha="right", va="center", fontsize=9.5, color=ink, annotation_clip=False, **place)
    if reference is not None:
        ax.axvline(reference, color=GRAY, linestyle="--", linewidth=1)
    ax.set_yticks(range(len(intervals)), [plain(str(name)) for name in intervals])
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    level, counts = next(iter(intervals.values())).level, [part.n for part in intervals.values()]
    n = f"{min(counts):,}" + f" to {max(counts):,}" * (min(counts) < max(counts))
    ax.set_xlabel(plain(f"{quantity}; {100 * level:.4g}% intervals, n = {n}"))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    rows = "; ".join(f"{name} {words}" for name, words in zip(intervals, numbers, strict=True))
    return describe(ax, f"{quantity}: {rows}.")


def plot_label_errors(errors: LabelErrors, ax: Axes | None = None, *, most: int = 20) -> Axes:
    """The calibration error of each label with its interval, the largest first, and the two means over labels below.

    Beside each name stands how many examples have the label. Labels that fewer than 10 have, or lack, are pale.

    Args:
        errors: what `LabelPredictions.errors` gave.
        ax: where to draw; by default a figure of its own.
        most: of so many labels at most; the means are those of all.

    Raises:
        TypeError, ValueError: other errors, or a `most` below 1.
    """
    if not isinstance(errors, LabelErrors):
        raise TypeError(
            f"errors must be LabelErrors, as LabelPredictions.errors gives them, got {_check.shown(errors)}"
        )
    most = _check.integer("most", most, 1)
    largest = sorted(errors, key=lambda name: -errors[name].value)[:most]
    named = {name: f"{name} (n = {errors.count[name]:,})" for name in largest}
    rows = {row: errors[name] for name, row in named.items()}
    means = {"mean of all labels": errors.macro, "mean weighted by n": errors.weighted}
    quantity = "ECE of each label's probability"
    return plot_intervals(
        rows | means, ax, quantity=quantity, pale=[named[name] for name in largest if name in errors.few]
    )


def numbers_of(*parts: Interval) -> list[str]:
    """Values and intervals, with the digits (two to four) that the narrowest needs, and with the minus sign of axes."""
    narrowest = min((part.high - part.low for part in parts if part.high > part.low), default=1.0)
    digits = min(max(2, 1 - math.floor(math.log10(narrowest))), 4)
    return [f"{part:.{digits}f}".replace("-", "−") for part in parts]
