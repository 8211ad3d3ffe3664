"""Rows that are told best in a table of their own shape: errors, memory, variance, rates and readings."""

import re
from typing import Any

from cells import cell, peer
from lambdas import CONVENTIONS, LAWS, table_of_laws
from measured import judged
from rows import Row, by, comparisons, every, is_comparison, is_nearer, larger

HIDDEN = ("runs",)  # the readings are made from them
BY_K = re.compile(r"(?P<kind>.+), (?P<part>images|labels)(?P<against>.*), (?P<type>\w+), K = \d+")
RATES = re.compile(r"bare loop$|mx\.fit|textbook")  # the other loops are among the comparisons
FIVEFOLD = {"mixup": "batch x 5", "shared": "shared, batch x 5"}


def tables(content: Row) -> dict[str, list[Row]]:
    """Title -> rows of what a file holds besides comparisons, each row a dict of cells."""
    found: dict[str, list[Row]] = {}
    compared = {row["group"] for row in comparisons(content)}
    for key, row in every(content):
        if not is_comparison(row) and key not in HIDDEN:
            title = row.get("group", key)
            title += ", mixlab alone" * ("ours" in row or title in compared)
            found.setdefault(title, []).append({head: part for head, part in row.items() if head != "group"})
    if LAWS in found:
        found[LAWS] = table_of_laws(found[LAWS])
    if CONVENTIONS in found:
        found[CONVENTIONS] = found.pop(CONVENTIONS)  # beside the laws, and after them
    if "memory" in found:
        found["memory, in batches, the batch itself included"] = _memory(found.pop("memory"))
    if "rates" in found:
        found["rates"] = [row for row in found["rates"] if RATES.match(row["task"])]
    if any("scheme" in row for row in found.get("rows", ())):
        found |= _variance(found.pop("rows"))
    return {title: [_reading(row) if "value" in row else row for row in rows] for title, rows in found.items()}


def target(row: Row) -> str:
    """A reading's target in words, or nothing."""
    for bound, words in (("least", "at least"), ("most", "at most")):
        if bound in row:
            return f"{words} {cell(float(row[bound]), row['unit'])}"
    return ""


def errors(rows: list[Row]) -> list[Row]:
    """Comparisons of errors alone: by peer and type, images beside labels, the largest over K; else by case."""
    found: dict[Any, Row] = {}
    notes: dict[Any, list[str]] = {}
    for row in rows:
        told, name = BY_K.fullmatch(row["what"]), row["peer"]["name"]
        if told is None:
            key, line = row["what"], {"what": row["what"]}
            heads, said = (
                ("ours", name),
                [f"{name} is nearer" * is_nearer(row), f"{name}: {row['note']}" * bool(row["note"])],
            )
        else:
            key, line = (
                (told["kind"], peer(row["peer"]), told["type"]),
                {"peer": peer(row["peer"]), "type": told["type"]},
            )
            heads = (f"{told['part']}, ours", f"{told['part']}, peer")
            said = [told["against"].strip(), f"{name} is nearer" * is_nearer(row), row["note"]]
        line = found.setdefault(key, line)
        for head, error in zip(heads, (row.get("error_ours"), row.get("error_peer")), strict=True):
            if larger(error, line.get(head)):
                line[head] = error
        notes.setdefault(key, []).extend(said)
    return [line | {"notes": "; ".join(filter(None, dict.fromkeys(notes[key])))} for key, line in found.items()]


def _reading(row: Row) -> Row:
    """A reading with its target in words, and whether it is met."""
    cells = {head: part for head, part in row.items() if head not in ("least", "most", "note")}
    return cells | {"target": target(row), "is": judged(row), "note": row.get("note", "")}


def _memory(rows: list[Row]) -> list[Row]:
    """A line for each variant, a column for each K."""
    return [
        {"variant": variant, **{f"K = {row['k']}": row["batches"] for row in mine}}
        for variant, mine in by(rows, "variant").items()
    ]


def _variance(rows: list[Row]) -> dict[str, list[Row]]:
    """The trace of each scheme over mixup's, and over that of a larger batch; and where such a batch meets K = 5."""
    found: dict[str, list[Row]] = {}
    schemes = [row for row in rows if "scheme" in row]
    for (batch, scheme), mine in by(schemes, "batch_size", "scheme").items():
        first = "mixup" if any(row["scheme"] == "mixup" for row in schemes if row["batch_size"] == batch) else "shared"
        named = {
            first: f"variance over that of {first}, batches of {batch}",
            FIVEFOLD[first]: f"variance over that of {first} with a batch five times as large, batches of {batch}",
        }
        for base, title in named.items():
            cells = {
                f"after {row['step']} steps": _interval(row["ratio_to"][base])
                for row in mine
                if base in row["ratio_to"]
            }
            if cells:
                found.setdefault(title, []).append({"scheme": scheme, **cells})
    for row in rows:
        if "plateau_of_K_over" in row:
            cells = {"step": row["step"], "plateau of K over": row["plateau_of_K_over"]}
            found.setdefault("plateau of K", []).append({**cells, "ratio": _interval(row["ratio"])})
        if "floor" in row:
            cells = {"step": row["step"], "floor": _interval(row["floor"])}
            cells["batch at which K = 5 meets a 5 times larger one"] = _interval(row["meet_at_batch"])
            found.setdefault("one shared λ", []).append(cells)
    return found


def _interval(numbers: list[float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), numbers, strict=True))
