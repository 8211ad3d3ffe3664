"""A small table for a notebook: a row for each mapping, a column for each of its keys."""

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.plots.comparison import numbers_of

_NUMBER = re.compile(r"[−+]?\d")  # how each cell of a column of numbers begins


class Table:
    """What `table` gives: it renders as a table in a notebook, and as aligned text elsewhere."""

    def __init__(self, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        self.head = head
        self.rows = rows

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row[1:], widths[1:])) for row in (self.head, *self.rows))
        names = (row[0].ljust(widths[0]) for row in (self.head, *self.rows))
        return "\n".join(f"{name}  {line}" for name, line in zip(names, lines, strict=True))

    def _repr_html_(self) -> str:
        sides = ["right" if all(map(_NUMBER.match, column)) else "left" for column in zip(*self.rows, strict=True)]
        styles = [f'style="text-align: {side}"' for side in sides]
        head = "".join(
            f'<th scope="col" {style}>{html.escape(cell)}</th>' if cell else "<td></td>"
            for cell, style in zip(self.head, styles, strict=True)
        )
        body = "".join(
            f'<tr><th scope="row" {styles[0]}>{html.escape(row[0])}</th>'
            + "".join(f"<td {style}>{html.escape(cell)}</td>" for cell, style in zip(row[1:], styles[1:], strict=True))
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
