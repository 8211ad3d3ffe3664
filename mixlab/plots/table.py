"""A table of values and intervals that a notebook renders: the numbers beside an interval plot."""

import html
from collections.abc import Mapping

from mixlab import _check
from mixlab.calibration.intervals import Interval

Cell = Interval | float | str


class Table:
    """Rows by name, with the same columns each; shows itself as an HTML table, and as aligned text in a terminal."""

    def __init__(self, rows: Mapping[str, Mapping[str, Cell]], digits: int) -> None:
        self.rows = {name: dict(row) for name, row in rows.items()}
        self._columns = list(next(iter(self.rows.values())))
        self._texts = {name: [_text(row[column], digits) for column in self._columns] for name, row in rows.items()}

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in self._columns)
        body = "".join(
            f'<tr><th scope="row" style="text-align: left">{html.escape(name)}</th>'
            + "".join(f"<td>{html.escape(text)}</td>" for text in texts)
            + "</tr>"
            for name, texts in self._texts.items()
        )
        return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = [["", *self._columns], *([name, *texts] for name, texts in self._texts.items())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def table(rows: Mapping[str, Mapping[str, Cell]], *, digits: int = 2) -> Table:
    """A rendered table: a row for each name, a column for each quantity.

    Args:
        rows: maps the name of each row to its cells by column: an Interval is written as its value and its ends, a
            number with `digits` decimals, a text or an int as it is. All rows have the columns of the first.
        digits: is the number of decimals, 0 to 6.

    Raises:
        TypeError, ValueError: no rows, rows with other columns than the first, or a cell of another kind.
    """
    if not isinstance(rows, Mapping) or not all(isinstance(row, Mapping) for row in rows.values()):
        raise TypeError(f"rows must map names to rows of cells, got {_check.shown(rows)}")
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    columns = list(next(iter(rows.values())))
    for name, row in rows.items():
        if list(row) != columns:
            raise ValueError(f"rows must all have the columns {columns}, got {list(row)} in row {name!r}")
    return Table(rows, _check.integer("digits", digits, 0, 6))


def _text(cell: Cell, digits: int) -> str:
    if isinstance(cell, Interval):
        value, low, high = (_text(float(number), digits) for number in (cell.value, cell.low, cell.high))
        return f"{value} [{low}, {high}]"
    if isinstance(cell, float):
        return f"{cell:.{digits}f}".replace("-", "−")
    if isinstance(cell, str | int):
        return f"{cell:,}" if isinstance(cell, int) else cell
    raise TypeError(f"a cell of rows must be an Interval, a number or a text, got {_check.shown(cell)}")
