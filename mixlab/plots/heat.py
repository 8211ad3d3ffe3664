"""A heat map of changes over two settings, each with a star where its interval decides."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.plots.style import HEAT, axes_and_ink, describe, plain


def plot_heat(
    cells: Mapping[tuple[str, str], Interval], ax: Axes | None = None, *, down: str, across: str, quantity: str
) -> Axes:
    """One cell for each pair of settings: its color and number are the value, a star says that the interval excludes 0.

    Args:
        cells: what `mean_interval` gave, by (row, column); every row has every column.
        ax: where to draw; by default a figure of its own.
        down: names the setting of the rows.
        across: names the setting of the columns.
        quantity: names what is measured, with its unit.

    Raises:
        TypeError, ValueError: no cells, something else than Intervals, or a row that lacks a column.
    """
    wanted = "cells must map every (row, column) to an Interval"
    if not isinstance(cells, Mapping) or not all(isinstance(part, Interval) for part in cells.values()):
        raise TypeError(f"{wanted}, got {_check.shown(cells)}")
    rows, columns = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    if not cells or len(cells) != len(rows) * len(columns):
        raise ValueError(f"{wanted}, got {len(cells)} cells of {len(rows)} rows and {len(columns)} columns")
    ax, ink = axes_and_ink(ax, (1.6 + 1.4 * len(columns), 1.2 + 0.55 * len(rows)))
    values = np.array([[cells[row, column].value for column in columns] for row in rows])
    ax.imshow(values, cmap=HEAT, aspect="auto")
    box = {"facecolor": ax.get_facecolor(), "alpha": 0.85, "linewidth": 0, "pad": 2}
    for (i, row), (j, column) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
        ax.text(j, i, _words(cells[row, column]), ha="center", va="center", color=ink, bbox=box)
    ax.set_xticks(range(len(columns)), [plain(column) for column in columns])
    ax.set_yticks(range(len(rows)), [plain(row) for row in rows])
    ax.set(xlabel=plain(across), ylabel=plain(down))
    ax.set_title(plain(f"{quantity}; * its interval excludes 0"), loc="left", fontsize=10.5, color=ink)
    words = "; ".join(f"{row}, {column}: {_words(part)}" for (row, column), part in cells.items())
    return describe(ax, f"{quantity}, a star where the interval excludes 0: {words}.")


def _words(part: Interval) -> str:
    star = "*" if part.low > 0 or part.high < 0 else ""
    return f"{part.value:+.1f}{star}".replace("-", "−")
