"""Intervals side by side: one row for each name."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.plots.style import BLUE, GRAY, PAPER, axes_and_ink, describe


def plot_intervals(
    intervals: Mapping[str, Interval], ax: Axes | None = None, *, quantity: str, reference: float | None = None
) -> Axes:
    """One row for each name: a dot for the mean, a bar for its interval, and both as numbers at the right.

    Args:
        intervals: what `mean_interval` or `GradientVariance.ratio` gave, by name; drawn from the top.
        ax: where to draw; by default a figure of its own.
        quantity: what is measured, with its unit, for the axis.
        reference: a value to compare with, drawn as a dashed line.

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
    for row, (part, words) in enumerate(zip(intervals.values(), numbers, strict=True)):
        apart = reference is not None and not part.low <= reference <= part.high
        ax.plot([part.low, part.high], [row, row], color=BLUE, linewidth=2.5, solid_capstyle="butt")
        ax.plot(part.value, row, "o", color=BLUE, markersize=7, markerfacecolor=BLUE if apart else PAPER)
        ax.annotate(words, (1, row), ha="right", va="center", fontsize=9.5, color=ink, annotation_clip=False, **place)
    if reference is not None:
        ax.axvline(reference, color=GRAY, linestyle="--", linewidth=1)
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    first = next(iter(intervals.values()))
    ax.set_xlabel(f"{quantity}; {100 * first.level:g}% intervals")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    rows = "; ".join(f"{name} {words}" for name, words in zip(intervals, numbers, strict=True))
    return describe(ax, f"{quantity}: {rows}.")


def numbers_of(*parts: Interval) -> list[str]:
    """Values and intervals, with the digits (two to four) that the narrowest needs, and with the minus sign of axes."""
    narrowest = min((part.high - part.low for part in parts if part.high > part.low), default=1.0)
    digits = min(max(2, 1 - math.floor(math.log10(narrowest))), 4)
    texts = (f"{part.value:.{digits}f} [{part.low:.{digits}f}, {part.high:.{digits}f}]" for part in parts)
    return [text.replace("-", "−") for text in texts]
