"""Rows of text as a table: HTML in a notebook, aligned text elsewhere; and intervals by name that show as one."""

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from mixlab.calibration.intervals import Interval

_NUMBER = re.compile(r"\[?[-−+]?(\d|inf)")  # how each cell of a column of numbers begins
_INSIDE = re.compile(r", (?=[^\[\]]*\])")  # an interval, where a narrow page may not break its line

Row = tuple[str, ...]


class Table:
    """A table whose first column names the rows; columns of numbers are aligned to the right.

    Attributes:
        head: names the columns.
        rows: have a cell for each column, one row at least.
        caption: stands above them, if it is not "".
    """

    def __init__(self, head: Row, rows: Sequence[Row], caption: str = "") -> None:
        self.head, self.rows, self.caption = head, rows, caption
        columns = zip(*rows, strict=True)
        self._sides = ["right" if all(map(_NUMBER.match, column)) else "left" for column in columns]

    def __repr__(self) -> str:
        columns = []
        for column, side in zip(zip(self.head, *self.rows, strict=True), self._sides, strict=True):
            justified = str.rjust if side == "right" else str.ljust
            columns.append([justified(cell, max(map(len, column))) for cell in column])
        lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    def _repr_html_(self) -> str:
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        head = "".join(self._cell("th", cell, i, "col") if cell else "<td></td>" for i, cell in enumerate(self.head))
        body = ""
        for name, *values in self.rows:
            body += f"<tr>{self._cell('th', name, 0, 'row')}"
            body += "".join(self._cell("td", value, i) for i, value in enumerate(values, 1)) + "</tr>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cell(self, tag: str, text: str, column: int, scope: str = "") -> str:
        scoped = f' scope="{scope}"' if scope else ""
        whole = _INSIDE.sub(",\N{NO-BREAK SPACE}", html.escape(text))
        return f'<{tag}{scoped} style="text-align: {self._sides[column]}">{whole}</{tag}>'


class Tabular(ABC):
    """What shows itself as a table."""

    @abstractmethod
    def _table(self) -> Table:
        """The table."""

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


class IntervalTable(Tabular, Mapping[str, Interval]):
    """Intervals of the same predictions by name; a subclass says what else its table has."""

    intervals: Mapping[str, Interval]

    def __getitem__(self, name: str) -> Interval:
        return self.intervals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.intervals)

    def __len__(self) -> int:
        return len(self.intervals)

    @property
    def _caption(self) -> str:
        first = next(iter(self.intervals.values()))
        return f"{first.n:,} predictions, with {100 * first.level:g}% intervals"
