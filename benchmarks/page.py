"""Make benchmarks/README.md and docs/benchmarks.svg from the JSON files beside this one, and from nothing else.

make bench, or: python benchmarks/page.py
"""

from pathlib import Path
from typing import Any, NamedTuple

import picture
from cells import capital, cell, code, details, from_rows, lasting, link, narrow, peer, table
from measured import CLEAR
from rows import HERE, NEARER, Row, by, comparisons, is_library, is_nearer, read, standing
from shapes import errors, tables
from summary import leads, summary, targets

README = HERE / "README.md"
FIGURE = HERE.parent / "docs" / "benchmarks.svg"


class Group(NamedTuple):
    """One script and its JSON: its heading, and what is measured."""

    title: str
    about: str


GROUPS = {
    "blend": Group("Blending a batch", "time of mixing beside `copy_` and peers; error of images and labels"),
    "laws": Group("The law of λ", "law, convention and time of each library's λ"),
    "losses": Group("The loss of a mixed batch", "forward and backward against two labels and λ"),
    "calibration": Group("Calibration", "estimators and their intervals, on one thread; errors on hard cases"),
    "puzzle": Group("Puzzle Mix", "masks beside gco's α-β swap, and what a step costs"),
    "variance": Group("Variance of the gradient", "none, mixup, K interpolations, a larger batch"),
    "train": Group("Training", "the live loop beside a bare loop and peers' mixing in it; whole runs"),
    "panels": Group("Panels", "drawings a second under a 60 Hz drag, in Chromium"),
    "start": Group("Start-up", "`import mixlab`, and from the first cell to the first panel"),
    "lessons": Group("Lessons", "time and memory of each lesson, run from its first cell to its last"),
    "gpu": Group("On a GPU", "blending, λ, training and recipes; `make bench-gpu`, on a machine that has one"),
}
TITLES = {name: group.title for name, group in GROUPS.items()}

TOP = f"""# Benchmarks

How fast and how exact mixlab is beside other libraries, on the same machine, in the same minutes. {{where}}
`page.py` makes all of it from the JSON files in this folder; a test fails where they disagree.

Tasks of one table take turns, in an order drawn anew each round. A **ratio** is the peer's time over ours in the same
round: the median over the rounds, and in brackets its 95% interval from order statistics. Above 1 mixlab is faster. The
**control** is the same for one task of ours timed twice. A peer is called **faster** or **slower** where the interval
clears both 1 and the control's, and the ratio is beyond {CLEAR:g} or 1/{CLEAR:g}; all else is **open**. An error is the
largest absolute one against float64.

![How many times as long each peer takes, by group](../docs/benchmarks.svg)

Each line is a group and a peer, "it". "It / open / we" counts the cases in which it is faster, neither is, and mixlab
is; "its time / ours" is that of the median case, and in brackets the least and the greatest. The errors are the largest
of all cases, of those in float32 where a type is named; "raises" counts those that end in an exception, "not finite"
those with NaN or infinity on one side. "Its λ": whether it is Beta(α, α), and from which α up; and whose weight the λ
is that it hands back, where it does.
"""

AGAIN = """## To measure again

`make bench` makes `.bench-venv` with the peers of `requirements.txt`, at the versions that are named there; torch,
torchvision, torchmetrics, netcal, relplot, scikit-learn and gco-wrapper are those of `constraints.txt`. It runs one
script after the other, and writes this page. It wants an idle machine. One group alone, and then the page:

```
.bench-venv/bin/python benchmarks/blend.py
.venv/bin/python benchmarks/page.py
```
"""


def page(contents: dict[str, Row]) -> str:
    """The whole page in Markdown."""
    there = {name: contents[name] for name in GROUPS if name in contents}
    found = {name: comparisons(content) for name, content in there.items()}
    where = f"A GPU has {link('a part of its own', TITLES['gpu'])}." if "gpu" in there else "All figures are of a CPU."
    parts = [TOP.format(where=where), summary(found, there, TITLES)]
    parts += ["## Where a peer is ahead\n", leads(found, there), "## Targets\n", targets(there, TITLES)]
    for name, content in there.items():
        parts += _group(name, content, found[name])
    parts += [_missing(there), "## Machine and versions\n", _machines(there), _versions(there), AGAIN, _scripts(there)]
    return "\n".join(part for part in parts if part)


def _group(name: str, content: Row, compared: list[Row]) -> list[str]:
    """A group's heading, how it was measured, and its tables, shut."""
    took = f" The script took {lasting(content['seconds'])}." if "seconds" in content else ""
    parts = [f"## {TITLES[name]}\n", f"{capital(GROUPS[name].about)}.{took}\n"]
    if "method" in content:
        parts.append(f"{content['method']}\n")
    groups = by(compared, "group")
    timed = {title: rows for title, rows in groups.items() if any("ratio" in row for row in rows)}
    parts += [_shut(title, rows, _compared(rows)) for title, rows in timed.items()]
    for title, rows in groups.items():
        if title not in timed:
            parts.append(_shut(title, rows, from_rows(errors(rows))))
    for title, plain in tables(content).items():
        parts.append(_shut(title, plain, from_rows(plain)))
    return parts


def _shut(title: str, rows: list[Row], body: str) -> str:
    return details(f"{capital(title)}: {len(rows)} row{'s' * (len(rows) > 1)}", body)


def words(row: Row) -> str:
    """What the last column says of a comparison: whether the peer's error is smaller, and the row's note."""
    return "; ".join(filter(None, [f"**{NEARER}**" * is_nearer(row), row["note"]]))


def _compared(rows: list[Row]) -> str:
    ways = [standing(row) for row in rows]
    return narrow(
        {
            "what": [row["what"] for row in rows],
            "ours": [code(row["ours"]) for row in rows],
            "peer": [peer(row["peer"]) for row in rows],
            "ratio": [cell(row.get("ratio")) for row in rows],
            "peer is": [f"**{way}**" if way == "faster" else way for way in ways],
            "control": [_range(row.get("control")) for row in rows],
            "our time": [_middle(row.get("seconds_ours")) for row in rows],
            "its time": [_middle(row.get("seconds_peer")) for row in rows],
            "our error": [cell(row.get("error_ours")) for row in rows],
            "its error": [cell(row.get("error_peer")) for row in rows],
            "rounds": [cell(row.get("rounds")) for row in rows],
            "notes": [words(row) for row in rows],
        }
    )


def _range(control: Row | None) -> str:
    return "" if control is None else f"{control['low']:.3f} to {control['high']:.3f}"


def _middle(seconds: Row | None) -> str:
    return "" if seconds is None else cell(seconds["median"], "s")


def _missing(contents: dict[str, Row]) -> str:
    """What was not measured, and why."""
    reasons = [
        f"- {name}: {part}{' ' if kind == 'absent' else ': '}{why}"
        for name, content in contents.items()
        for kind in ("absent", "failed")
        for part, why in content.get(kind, {}).items()
    ]
    reasons += [f"- {name}: not measured yet" for name in GROUPS if name not in contents]
    return "\n".join(["## Left out\n", *reasons, ""]) if reasons else ""


MACHINE = {
    "cpu": "CPU {}",
    "flags": "instructions {}",
    "cores": "{} cores",
    "memory_gb": "{} GB of memory",
    "gpu": "GPU {}",
    "os": "{}",
    "python": "Python {}",
    "threads": "{} threads of torch",
    "date": "{}",
}


def _machines(contents: dict[str, Row]) -> str:
    """What is equal everywhere in a sentence, the rest in a table."""
    machines = {name: content["machine"] for name, content in contents.items()}
    columns = {head: [_told(machine.get(head)) for machine in machines.values()] for head in MACHINE}
    equal = {head: cells[0] for head, cells in columns.items() if len(set(cells)) == 1}
    told = [form.format(equal[head]) for head, form in MACHINE.items() if equal.get(head)]
    rest = {head.replace("_gb", ", GB"): cells for head, cells in columns.items() if head not in equal}
    rest |= {"load before": [f"{machine['load']:g}" for machine in machines.values()]}
    rest |= {"command": [f"`{machine['command']}`" for machine in machines.values()]}
    said = f"In all of it: {'; '.join(told)}.\n\n" if told else ""
    return said + table(
        ("file", *rest), [(name, *cells) for name, *cells in zip(machines, *rest.values(), strict=True)]
    )


def _told(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _versions(contents: dict[str, Row]) -> str:
    """One line for each package; files are named where they differ."""
    packages: dict[str, dict[str, list[str]]] = {}
    for name, content in contents.items():
        chromium = {"Chromium": content["chromium"]} if "chromium" in content else {}
        for package, version in (content["versions"] | chromium).items():
            packages.setdefault(package, {}).setdefault(version, []).append(name)
    told = []
    for package, versions in sorted(packages.items(), key=lambda pair: pair[0].lower()):
        one = len(versions) == 1
        parts = (version if one else f"{version} ({', '.join(files)})" for version, files in versions.items())
        told.append(f"{package} {', '.join(parts)}")
    return f"Versions: {'; '.join(told)}.\n"


def _scripts(contents: dict[str, Row]) -> str:
    rows = []
    for name, group in GROUPS.items():
        seconds = contents.get(name, {}).get("seconds")
        title = link(group.title, group.title) if name in contents else group.title
        rows.append((title, group.about, f"`{name}.py`", "" if seconds is None else lasting(seconds)))
    return table(("group", "what is measured", "script", "took"), rows)


def main() -> None:
    """Write the page and its figure."""
    contents = read()
    README.write_text(page(contents), encoding="utf-8")
    picture.draw(drawn(contents), FIGURE)
    for path in (README, FIGURE):
        print(f"wrote {Path(path).relative_to(HERE.parent)}")


def drawn(contents: dict[str, Row]) -> list[Row]:
    """The comparisons that the picture shows: times beside other libraries."""
    rows = [row for name in GROUPS if name in contents for row in comparisons(contents[name])]
    return [row for row in rows if "ratio" in row and is_library(row)]


if __name__ == "__main__":
    main()
