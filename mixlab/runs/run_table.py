"""The stored runs of a folder, listed as a table."""

import html
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from mixlab import _check
from mixlab.runs.history import records_from
from mixlab.runs.store import Store, StoreError
from mixlab.runs.stored_run import COLUMNS, Run

_MOST_ROWS = 100  # of a table that is shown


def runs(root: str | os.PathLike[str] | None = None) -> "RunTable":
    """The stored runs, newest first, as a table; unfinished ones too, and those that are damaged or cannot be read.

    Args:
        root: the folder of the store, as for `run`; it need not exist.

    Raises:
        TypeError: root is no path.
        StoreError: the folder cannot be read.
    """
    store = Store(root)
    stored = [run for name in store.ids() if (run := listed(store, name)) is not None]
    return RunTable(sorted(stored, key=lambda run: run.saved, reverse=True))


def listed(store: Store, name: str) -> Run | None:
    """A stored run, also one that cannot be read; None if nothing of it is stored."""
    try:
        if (document := store.finished(name)) is not None:
            return Run(store, name, document, finished=True)
        if (checkpoint := store.checkpoint(name)) is not None:
            return Run(store, name, checkpoint[0], finished=False, history=records_from(*checkpoint))
    except StoreError as error:
        return Run(store, name, {}, finished=False, fault=error)
    return None


class RunTable(Sequence[Run]):
    """Runs in a row, shown as a table; TypeError unless `runs` are Runs."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)
        for run in self._runs:
            if not isinstance(run, Run):
                raise TypeError(f"runs must be Runs, as mx.run and mx.runs give them, got {_check.shown(run)}")

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> "RunTable": ...
    def __getitem__(self, index: int | slice) -> "Run | RunTable":
        return RunTable(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        if not self._runs:
            return "no runs"
        rows = [COLUMNS, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        if not self._runs:
            return "<p>no runs</p>"
        head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
        rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._rows()]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        rest = "".join(f"<p>{line}</p>" for line in self._rest())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        return (tuple(run.row().values()) for run in self._runs[:_MOST_ROWS])

    def _rest(self) -> list[str]:
        rest = len(self._runs) - _MOST_ROWS
        return [f"and {rest:,} more"] if rest > 0 else []
