"""What the benchmarks' JSON files hold, as comparisons with a peer, and in which ways a peer is ahead.

A comparison is a row of `harness.comparison`. Every other row is a dict of cells, that of a table under its group.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from measured import verdict

Row = dict[str, Any]
HERE = Path(__file__).resolve().parent
# What no mixing and no loop can be faster than: to be slower is no defeat.
LIMITS = (("torch", "copy_"), ("bare loop", "one fixed batch"))
ROUNDING = 1e-12  # errors below are float64's own
CLEARLY = 1.1  # of two errors one is called larger from here
NEARER = "nearer to float64"


def read(folder: Path = HERE) -> dict[str, Row]:
    """Name -> content of every JSON file of a folder."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def comparisons(content: Row) -> list[Row]:
    """Every comparison with a peer that a file holds."""
    return [row for _, row in every(content) if is_comparison(row)]


def every(content: Row) -> Iterator[tuple[str, Row]]:
    """Every row of every list of a file, with the list's name."""
    for key, rows in content.items():
        if isinstance(rows, list):
            yield from ((key, row) for row in rows)


def is_comparison(row: Row) -> bool:
    """Whether a row is ours beside a peer."""
    return "ours" in row and "peer" in row


def is_limit(row: Row) -> bool:
    """Whether the row is beside what cannot be beaten."""
    return (row["peer"]["name"], row["peer"]["call"]) in LIMITS


def is_library(row: Row) -> bool:
    """Whether the row is beside another library, and not a limit or something written for the benchmark."""
    return row["peer"]["version"] is not None and not is_limit(row)


def standing(row: Row) -> str:
    """How a peer's time stands to ours: `verdict`, "a limit", or "" where no time was taken."""
    if "ratio" not in row:
        return ""
    return "a limit" if is_limit(row) else verdict(row)


def is_nearer(row: Row) -> bool:
    """Whether the peer's error is clearly below ours."""
    mine, theirs = row.get("error_ours"), row.get("error_peer")
    return isinstance(theirs, (int, float)) and (
        isinstance(mine, str) or (mine is not None and mine > max(ROUNDING, CLEARLY * theirs))
    )


def larger(error: float | str | None, than: float | str | None) -> bool:
    """Whether one error is the larger; to raise is worse than any number, and any is larger than none."""
    ranks = [-1.0 if one is None else math.inf if isinstance(one, str) else one for one in (error, than)]
    return ranks[0] > ranks[1]


def by(rows: Iterable[Row], *keys: str) -> dict[Any, list[Row]]:
    """Rows by the value of a key, or the values of some, in the order in which they come."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        value = row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys)
        found.setdefault(value, []).append(row)
    return found
