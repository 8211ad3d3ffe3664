"""A small table for a notebook: a row for each mapping, a column for each of its keys."""

from collections.abc import Iterable, Mapping
from typing import Any

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.calibration.table import Table
from mixlab.plots.comparison import numbers_of


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows with the same keys as a table; the first column names the rows.

    Args:
        rows: maps each column's heading to a text, a number (shown with four digits) or an Interval.

    Returns:
        A Table that renders in a notebook.

    Raises:
        TypeError, ValueError: no rows, or rows with different keys.
    """
    listed = list(rows)
    wanted = "rows must hold at least one mapping from headings to values, got "
    if not all(isinstance(row, Mapping) for row in listed):
        raise TypeError(wanted + _check.shown(listed))
    if not listed:
        raise ValueError(wanted + "none")
    head = tuple(listed[0])
    for row in listed:
        if tuple(row) != head:
            raise ValueError(f"rows must all have the headings {list(head)}, got {list(row)}")
    return Table(head, [tuple(map(_cell, row.values())) for row in listed])


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Interval):
        return numbers_of(value)[0]
    return (f"{value:,}" if isinstance(value, int) else f"{float(value):.4g}").replace("-", "−")
