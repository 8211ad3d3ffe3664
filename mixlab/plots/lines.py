"""Values over a number that was turned up step by step: a line for each name, with the intervals of its points."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.plots.comparison import numbers_of
from mixlab.plots.style import SERIES, axes_and_ink, describe, legend, plain

_STYLES = ("o-", "s--", "^-.", "D:")


def plot_lines(
    lines: Mapping[str, Mapping[float, Interval]], ax: Axes | None = None, *, across: str, quantity: str
) -> Axes:
    """One line for each name, a mark for each of its values, a bar for the interval; lines stand a little apart.

    Args:
        lines: maps each name, four at most, to Intervals by the number across, such as the severity or the epoch.
        ax: where to draw; by default a figure of its own.
        across: names what is turned up.
        quantity: names what is measured, with its unit.

    Raises:
        TypeError, ValueError: no lines or too many, or something else than Intervals in them.
    """
    wanted = f"lines must map 1 to {len(SERIES)} names to Intervals by number"
    if not isinstance(lines, Mapping) or not all(
        isinstance(line, Mapping) and line and all(isinstance(part, Interval) for part in line.values())
        for line in lines.values()
    ):
        raise TypeError(f"{wanted}, got {_check.shown(lines)}")
    if not 1 <= len(lines) <= len(SERIES):
        raise ValueError(f"{wanted}, got {len(lines)}")
    ax, ink = axes_and_ink(ax, (5.4, 3.4))
    places = [x for line in lines.values() for x in line]
    apart = (max(places) - min(places)) / 80
    words = []
    for i, ((name, line), color, style) in enumerate(zip(lines.items(), SERIES, _STYLES, strict=False)):
        parts = list(line.values())
        reach = [[part.value - part.low for part in parts], [part.high - part.value for part in parts]]
        shifted = [x + (i - (len(lines) - 1) / 2) * apart for x in line]
        ax.errorbar(shifted, [part.value for part in parts], reach, fmt=style, color=color, label=plain(name))
        words.append(f"{name} {'; '.join(f'{x:g}: {n}' for x, n in zip(line, numbers_of(*parts), strict=True))}")
    ax.set(xlabel=plain(across), ylabel=plain(quantity))
    legend(ax, ink)
    return describe(ax, f"{quantity} over {across}: {', '.join(words)}.")
