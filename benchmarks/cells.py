"""Markdown of the page: cells to three digits, tables no wider than what they say, parts that unfold."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells as they are."""
    lines = [
        heads,
        ["---"] * len(heads),
        *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def narrow(columns: Mapping[str, Sequence[str]]) -> str:
    """A table without its empty columns; what is equal in every row is said once above it."""
    filled = {head: cells for head, cells in columns.items() if any(cells)}
    alike = {head: cells[0] for head, cells in filled.items() if len(cells) > 1 and len(set(cells)) == 1}
    told = "; ".join(f"{head} {cell}" for head, cell in alike.items())
    left = {head: cells for head, cells in filled.items() if head not in alike}
    body = table(tuple(left), list(zip(*left.values(), strict=True))) if left else ""
    return "\n".join(filter(None, [f"In every row: {told}.\n" if told else "", body]))


def from_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of rows of values, whose heads are the keys; a "unit" is that of its row's "value"."""
    heads = list(dict.fromkeys(head for row in rows for head in row if head != "unit"))
    return narrow({head.replace("_", " "): [cell(row.get(head), _unit(head, row)) for row in rows] for head in heads})


def details(title: str, body: str) -> str:
    """A part that is shut until it is asked for."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n</details>\n"


def cell(value: Any, unit: str = "") -> str:
    """A number to three digits with its unit, a median with what is around it, a library by name, or words."""
    if isinstance(value, Mapping) and "name" in value:
        return peer(value)
    if isinstance(value, Mapping):
        return interval(value, unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " x ".join(cell(part) for part in value)
    if unit == "s" and isinstance(value, float) and 0 < value < 1:
        scale, unit = next(pair for pair in UNITS if value >= pair[0] or pair is UNITS[-1])
        value /= scale
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) and not unit else f"{digits(value)} {unit}".rstrip()
    return "" if value is None else str(value)


def interval(value: Mapping[str, float], unit: str = "") -> str:
    """What is in the middle, and in brackets what is around it, their unit once; one where all three look alike."""
    (middle,) = value.keys() - {"low", "high"}  # a median or a mean
    parts = [cell(float(value[name]), unit) for name in (middle, "low", "high")]
    if len(set(parts)) == 1:
        return parts[0]
    units = {part.partition(" ")[2] for part in parts}
    middle, low, high = (part.partition(" ")[0] for part in parts) if len(units) == 1 else parts
    return f"{middle} ({low} to {high}) {units.pop() if len(units) == 1 else ''}".rstrip()


def digits(value: float) -> str:
    """Three digits, or all of them before the point; the powers of ten of the very large and the very small."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}"


def peer(named: Mapping[str, Any]) -> str:
    """A library and what of it was called; its version is at the page's end."""
    return " ".join(filter(None, (named["name"], code(named["call"]))))


def code(call: str) -> str:
    """A call, set as code."""
    return f"`{call}`" if call else ""


def whole(text: str) -> str:
    """Numbers that a narrow column must not break, with spaces and hyphens that hold."""
    return text.replace(" ", "\u00a0").replace("-", "\u2011")


def lasting(seconds: float) -> str:
    """Seconds in words: 45 s, or 3 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    return " ".join([*[f"{minutes} min"] * bool(minutes), *[f"{rest} s"] * bool(rest or not minutes)])


def capital(text: str) -> str:
    """The text with a large first letter; λ stays small."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def link(text: str, heading: str) -> str:
    """A link to a heading of the same page, as GitHub names it."""
    return f"[{text}](#{anchor(heading)})"


def anchor(heading: str) -> str:
    """What GitHub calls a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _unit(head: str, row: Mapping[str, Any]) -> str:
    if head.startswith("seconds"):
        return "s"
    return str(row.get("unit", "")) if head in ("value", "least", "most") else ""
