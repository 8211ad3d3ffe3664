"""Make benchmarks/README.md and docs/benchmarks.svg from the JSON files beside this one, and from nothing else.

make bench, or: python benchmarks/page.py
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import picture
from rows import CLEARLY, HERE, Row, ahead, comparisons, is_limit, read, tables

README = HERE / "README.md"
FIGURE = HERE.parent / "docs" / "benchmarks.svg"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
CASES = 3  # that a line of the list at the top names
CONVENTIONS = "λ, convention"


class Group(NamedTuple):
    """One script and its JSON: what is measured, in how many minutes on two cores."""

    title: str
    about: str
    minutes: float


GROUPS = {
    "blend": Group("Blending a batch", "time of mixing beside `copy_` and peers; error of images and labels", 3),
    "laws": Group("The law of λ", "law, convention and time of each library's λ", 2),
    "losses": Group("The loss of a mixed batch", "forward and backward against two labels and λ", 3),
    "calibration": Group("Calibration", "estimators and their intervals, on one thread; errors on hard cases", 3),
    "puzzle": Group("Puzzle Mix", "masks beside gco's α-β swap, and what a step costs", 4),
    "variance": Group("Variance of the gradient", "none, mixup, K interpolations, a larger batch", 15),
    "train": Group("Training", "the live loop beside a bare loop and peers' mixing in it; whole runs", 9),
    "panels": Group("Panels", "drawings a second under a 60 Hz drag, in Chromium", 3),
    "start": Group("Start-up", "`import mixlab`, and from the first cell to the first panel", 3),
    "gpu": Group("On a GPU", "blending, λ, training and recipes; `make bench-gpu`, on a machine that has one", 9),
}

TOP = """# Benchmarks

Made by `page.py` from the JSON files in this folder; a test fails where they disagree. Do not edit it by hand.

Tasks of one table take turns in one process, so that a busy moment hits all. **Ratio** is the peer's time over ours in
the same round: the median over the rounds, and its 95% interval from order statistics. Above 1 we are faster. Times are
medians. Errors are the largest absolute ones against float64. Where a peer is ahead, the row says so in bold words, and
all of these are listed [below](#where-a-peer-is-ahead). A value with two more in brackets is a median or a mean with
its interval, or with its quartiles where it is a time; its note says so where it is anything else.

![Each ratio with its interval, by group and peer](../docs/benchmarks.svg)
"""

REGENERATE = """## To measure again

`make bench` makes `.bench-venv` with the peers of `requirements.txt` at the versions that are named there, runs one
script after the other, and writes this page. It wants an idle machine. One group alone, and then the page:

```
.bench-venv/bin/python benchmarks/blend.py
.venv/bin/python benchmarks/page.py
```
"""


def page(contents: dict[str, Row]) -> str:
    """The whole page in Markdown."""
    names = [name for name in GROUPS if name in contents]
    found = {name: comparisons(contents[name]) for name in names}
    parts = [TOP, REGENERATE, _scripts(), "## Machine and versions\n", _machines(names, contents), _versions(contents)]
    parts += [_missing(names, contents), "## Where a peer is ahead\n", _list_of_ahead(found)]
    conventions: list[str] = []
    for name in names:
        parts += [f"## {GROUPS[name].title}\n", _sentence(GROUPS[name].about)]
        for title, rows in by_group(found[name]).items():
            parts += [f"### {_capital(title)}\n", _compared(rows)]
        for title, plain in tables(contents[name]).items():
            if title == CONVENTIONS:
                conventions += ["## Conventions of λ\n", _plain(plain)]
            else:
                parts += [f"### {_capital(title)}\n", _plain(plain)]
    parts += conventions
    return "\n".join(part for part in parts if part)


def by_group(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Comparisons by their group, in the order in which they come."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["group"], []).append(row)
    return found


def words(row: Row) -> str:
    """What the last column says of a comparison: who is ahead, what an interval leaves open, and the row's note."""
    peer = row["peer"]["name"]
    said = []
    for way in ahead(row):
        how = f": {1 / row['ratio']['median']:.2f} times as fast" if way == "faster" else ""
        said.append(f"**{peer} is {way} here{how}**")
    if is_limit(row):
        said.append("a limit, not a peer")
    elif "ratio" in row and row["ratio"]["low"] <= 1 <= row["ratio"]["high"]:
        said.append("no difference seen")
    return "; ".join([*said, *filter(None, [row["note"]])])


def _list_of_ahead(found: dict[str, list[Row]]) -> str:
    """One line for each group, peer and way of being ahead, with the first cases."""
    cases: dict[tuple[str, str, str], list[Row]] = {}
    compared: dict[tuple[str, str], int] = {}
    for rows in found.values():
        for row in rows:
            key = row["group"], row["peer"]["name"]
            compared[key] = compared.get(key, 0) + 1
            for way in ahead(row):
                cases.setdefault((*key, way), []).append(row)
    lines = []
    for (group, peer, way), rows in cases.items():
        most = max(rows, key=lambda row: 1 / row["ratio"]["median"] if "ratio" in row else 0)
        upto = f", up to {1 / most['ratio']['median']:.2f} times as fast" if way == "faster" else ""
        labels = list(dict.fromkeys(f"{row['what']}: {row['peer']['call'] or row['ours']}" for row in rows))
        named = "; ".join(labels[:CASES]) + (f"; and {len(labels) - CASES} more" if len(labels) > CASES else "")
        lines.append(f"- {group}: **{peer} is {way}** in {len(rows)} of {compared[group, peer]} rows{upto} ({named})")
    if not lines:
        return "Nowhere in these figures.\n"
    kept = f"An interval that holds 1 is no lead, nor is an error less than {CLEARLY:g} times as small."
    return "\n".join([kept, "", *lines, ""])


def _scripts() -> str:
    rows = [
        (f"[{group.title}](#{_anchor(group.title)})", group.about, f"`{name}.py`", f"{group.minutes:g} min")
        for name, group in GROUPS.items()
    ]
    return _table(("group", "what is measured", "script", "about"), rows)


def _machines(names: list[str], contents: dict[str, Row]) -> str:
    rows = []
    for name in names:
        machine = contents[name]["machine"]
        cores = f"{machine['cores']} cores, {machine['threads']} thread{'s' * (machine['threads'] > 1)}"
        place = (machine["cpu"], cores, machine["gpu"] or "none", machine["python"], f"{machine['load']:g}")
        rows.append((name, machine["date"], *place, f"`{machine['command']}`"))
    return _table(("file", "date", "CPU", "cores", "GPU", "Python", "load", "command"), rows)


def _versions(contents: dict[str, Row]) -> str:
    """One line for each package; files are named where they differ."""
    packages: dict[str, dict[str, list[str]]] = {}
    for name in GROUPS:
        for package, version in contents.get(name, {"versions": {}})["versions"].items():
            packages.setdefault(package, {}).setdefault(version, []).append(name)
    told = []
    for package, versions in sorted(packages.items()):
        one = len(versions) == 1
        parts = (version if one else f"{version} ({', '.join(files)})" for version, files in versions.items())
        told.append(f"{package} {', '.join(parts)}")
    return f"Versions: {'; '.join(told)}.\n"


def _missing(names: list[str], contents: dict[str, Row]) -> str:
    """What was not measured, and why."""
    reasons = [f"- {name}: {peer} {why}" for name in names for peer, why in contents[name].get("absent", {}).items()]
    reasons += [f"- {name}: {part}: {why}" for name in names for part, why in contents[name].get("failed", {}).items()]
    reasons += [f"- {name}: not measured yet" for name in GROUPS if name not in contents]
    return "\n".join(["Left out:\n", *reasons, ""]) if reasons else ""


def _compared(rows: list[Row]) -> str:
    columns: dict[str, list[str]] = {
        "what": [row["what"] for row in rows],
        "ours": [f"{_code(row['ours'])}" for row in rows],
        "peer": [_peer(row["peer"]) for row in rows],
        "ratio (95%)": [_cell(row.get("ratio")) for row in rows],
        "ours takes": [_cell(_middle(row.get("seconds_ours")), "s") for row in rows],
        "peer takes": [_cell(_middle(row.get("seconds_peer")), "s") for row in rows],
        "our error": [_cell(row.get("error_ours")) for row in rows],
        "its error": [_cell(row.get("error_peer")) for row in rows],
        "notes": [words(row) for row in rows],
    }
    filled = {head: cells for head, cells in columns.items() if any(cells)}
    return _table(tuple(filled), list(zip(*filled.values(), strict=True)))


def _plain(rows: list[Row]) -> str:
    heads = list(dict.fromkeys(head for row in rows for head in row if head != "unit"))
    named = tuple(head.replace("_", " ") for head in heads)
    return _table(named, [[_cell(row.get(head), _unit(head, row)) for head in heads] for row in rows])


def _unit(head: str, row: Row) -> str:
    if head.startswith("seconds"):
        return "s"
    return str(row.get("unit", "")) if head == "value" else ""


def _middle(seconds: Row | None) -> float | None:
    return None if seconds is None else seconds["median"]


def _peer(peer: Row) -> str:
    return " ".join(filter(None, (peer["name"], peer["version"], _code(peer["call"]))))


def _code(call: str) -> str:
    return f"`{call}`" if call else ""


def _cell(value: Any, unit: str = "") -> str:
    """A number to three digits with its unit, a median with what is around it, a library by name, or words."""
    if isinstance(value, dict) and "name" in value:
        return _peer(value)
    if isinstance(value, dict):
        middle, low, high = (_cell(part, unit) for part in value.values())
        return f"{middle} ({low} to {high})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " x ".join(_cell(part) for part in value)
    if unit == "s" and isinstance(value, float) and 0 < value < 1:
        scale, unit = next(pair for pair in UNITS if value >= pair[0] or pair is UNITS[-1])
        value /= scale
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) and not unit else f"{_digits(value)} {unit}".rstrip()
    return "" if value is None else str(value)


def _digits(value: float) -> str:
    """Three digits, or all of them before the point; the powers of ten of the very large and the very small."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        heads,
        ["---"] * len(heads),
        *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _sentence(text: str) -> str:
    return f"{_capital(text)}.\n"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].isascii() else text  # λ stays small


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def main() -> None:
    """Write the page and its figure."""
    contents = read()
    README.write_text(page(contents), encoding="utf-8")
    rows = [row for name in GROUPS if name in contents for row in comparisons(contents[name])]
    picture.draw([row for row in rows if "ratio" in row], FIGURE)
    for path in (README, FIGURE):
        print(f"wrote {Path(path).relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
