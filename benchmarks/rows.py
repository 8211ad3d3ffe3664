"""What the benchmarks' JSON files hold, as comparisons with a peer and as plain rows, and who is ahead in each.

A comparison is a row of `harness.comparison`. Every other row is a dict of cells, that of a table under its group.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
HERE = Path(__file__).resolve().parent
# What no mixing and no loop can be faster than: to be slower is no defeat.
LIMITS = (("torch", "copy_"), ("bare loop", "one fixed batch"))
ROUNDING = 1e-12  # errors below are float64's own
CLEARLY = 1.1  # of two errors one is called larger from here


def read(folder: Path = HERE) -> dict[str, Row]:
    """Name -> content of every JSON file of a folder."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def comparisons(content: Row) -> list[Row]:
    """Every comparison with a peer that a file holds; what a mask's energy says of gco is with its times."""
    found = [row for _, row in _rows_of(content) if _is_comparison(row)]
    return [_with_gap(row, content["gaps"]) for row in found] if "gaps" in content else found


def tables(content: Row) -> dict[str, list[Row]]:
    """Title -> rows of what a file holds besides, each row a dict of cells."""
    found: dict[str, list[Row]] = {}
    for key, row in _rows_of(content):
        if not _is_comparison(row):
            title = f"{row.get('group', key)}{', mixlab alone' * ('ours' in row)}"
            cells = {head: part for head, part in row.items() if head != "group" and part not in ("", None)}
            found.setdefault(title, []).append(cells)
    if "memory" in found:
        found["memory, in batches, the batch itself included"] = _memory(found.pop("memory"))
    schemes = [row for row in found.get("rows", ()) if "scheme" in row]
    return found | _variance(found.pop("rows")) if schemes else found


def ahead(row: Row) -> list[str]:
    """In which ways the peer is ahead of us: "faster", "nearer to float64", or words of the row's own."""
    found = list(row.get("ahead", ()))
    if "ratio" in row and row["ratio"]["high"] < 1 and not is_limit(row):
        found.append("faster")
    mine, theirs = row.get("error_ours"), row.get("error_peer")
    if isinstance(theirs, (int, float)) and (
        isinstance(mine, str) or (mine is not None and mine > max(ROUNDING, CLEARLY * theirs))
    ):
        found.append("nearer to float64")
    return found


def is_limit(row: Row) -> bool:
    """Whether the row is beside what cannot be beaten."""
    return (row["peer"]["name"], row["peer"]["call"]) in LIMITS


def _is_comparison(row: Row) -> bool:
    return "ours" in row and "peer" in row


def _rows_of(content: Row) -> Iterator[tuple[str, Row]]:
    """Every row of every list of a file, with the list's name."""
    for key, rows in content.items():
        if isinstance(rows, list):
            yield from ((key, row) for row in rows)


def _with_gap(row: Row, gaps: list[Row]) -> Row:
    """The row of a mask problem, with what is known of the energies of many such problems."""
    for gap in gaps:
        if row["what"].endswith(f" {gap['blocks']} x {gap['blocks']} blocks, {gap['levels']} levels"):
            note = f"its energy is above ours in {gap['share_above']:.1%} of {gap['problems']:,} problems"
            better = [f"below our energy in {gap['share_below']:.1%} of the problems"] if gap["share_below"] > 0 else []
            return row | {"note": "; ".join(filter(None, [row["note"], note])), "ahead": better}
    return row


def _memory(rows: list[Row]) -> list[Row]:
    """A line for each variant, a column for each K."""
    return [
        {"variant": variant, **{f"K = {row['k']}": row["batches"] for row in mine}}
        for variant, mine in _by(rows, "variant").items()
    ]


def _variance(rows: list[Row]) -> dict[str, list[Row]]:
    """The trace of each scheme over that of mixup, after so many steps; and where a larger batch meets K = 5."""
    found: dict[str, list[Row]] = {}
    schemes = [row for row in rows if "scheme" in row]
    for (batch, scheme), mine in _by(schemes, "batch_size", "scheme").items():
        base = "mixup" if any(row["scheme"] == "mixup" for row in schemes if row["batch_size"] == batch) else "shared"
        cells = {
            f"after {row['step']} steps": _interval(row["ratio_to"][base]) for row in mine if base in row["ratio_to"]
        }
        if cells:
            title = f"variance over that of {base}, batches of {batch}"
            found.setdefault(title, []).append({"scheme": scheme, **cells})
    for row in rows:
        if "plateau_of_K_over" in row:
            cells = {"plateau of K over": row["plateau_of_K_over"], "step": row["step"]}
            found.setdefault("plateau of K", []).append({**cells, "ratio": _interval(row["ratio"])})
        if "floor" in row:
            cells = {"step": row["step"], "floor": _interval(row["floor"])}
            cells["batch at which K = 5 meets a 5 times larger one"] = _interval(row["meet_at_batch"])
            found.setdefault("one shared λ", []).append(cells)
    return found


def _interval(numbers: list[float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), numbers, strict=True))


def _by(rows: list[Row], *keys: str) -> dict[Any, list[Row]]:
    """Rows by the value of a key, or the values of some, in the order in which they come."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        value = row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys)
        found.setdefault(value, []).append(row)
    return found
