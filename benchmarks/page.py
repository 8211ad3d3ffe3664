"""Make benchmarks/README.md and docs/benchmarks.svg from page.md and the files in results/, and from nothing else.

make bench, or: python benchmarks/page.py
"""

import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from results import CLEAR, comparisons, judged, read, verdict

HERE = Path(__file__).resolve().parent
README, FIGURE = HERE / "README.md", HERE.parent / "docs" / "benchmarks.svg"
TIMED = ("blend", "lambda", "loss", "calibration", "puzzle", "train", "panels", "start")
ORDER = (*TIMED, "lessons", "domains", "domain_ways", "gpu")
LIMITS = (("torch", "copy_"), ("bare loop", "one fixed batch"))  # nothing can be faster: to be slower is no defeat
WAYS = ("faster", "open", "slower")  # of the peer
CHANGES = ("mixup − none", "K = 5 − none", "K = 5 − mixup")
HEADS = ((412, "mixlab faster →", 2), (596, "peer", 0), (644, "open", 1), (694, "mixlab", 2))  # of the picture
COLORS = ("#d55e00", "#767676", "#0072b2")  # of the ways, by Okabe and Ito


class Line(NamedTuple):
    """All comparisons of one group with one peer."""

    group: str
    peer: str
    library: bool  # and not a formula or a loop written for the benchmark
    pairs: list[tuple[float, str, str, float, float]]  # ratio, way, case, seconds of the peer and of ours

    def counts(self) -> list[int]:
        """How often the peer is faster, neither is, and mixlab is."""
        return [sum(pair[1] == way for pair in self.pairs) for way in WAYS]

    def ratios(self) -> list[float]:
        """The median case's ratio, the least and the greatest; between two cases, the geometric mean."""
        ratios = sorted(pair[0] for pair in self.pairs)
        return [math.sqrt(ratios[(len(ratios) - 1) // 2] * ratios[len(ratios) // 2]), ratios[0], ratios[-1]]


def lines(contents: dict[str, Any]) -> list[Line]:
    """Every comparison of times, but those with what cannot be beaten, by group and peer."""
    joined: dict[tuple[str, str, bool], list[Any]] = {}
    for content in (contents[name] for name in ORDER if name in contents):
        for row, ours, own, peer, call, time, *ratio in comparisons(content):
            if (peer, call) not in LIMITS:
                case = f"{row['name']}: `{call}` beside `{ours}`"
                pair = (ratio[0], verdict(ratio, row.get("control")), case, time, own)
                joined.setdefault((row["group"], peer, peer in content["versions"]), []).append(pair)
    return [Line(*key, pairs) for key, pairs in joined.items()]


def page(contents: dict[str, Any]) -> str:
    """The whole page in Markdown: page.md with every {name} filled in."""
    compared, puzzle = lines(contents), contents["puzzle"]
    won = [line for line in compared if line.counts()[2] == len(line.pairs)]
    steps = [digits(row["over_plain_step"][0]) for row in puzzle["steps"] if row["name"].startswith("puzzle step")]
    held = [batches["5"] for batches in contents["blend"]["memory"].values()]
    slow = [row for content in contents.values() for row in content.get("tasks", ()) if "note" in row]
    parts = {"clear": f"{CLEAR:g}", "steps": ", ".join(steps), "held": f"{min(held):.3g} to {max(held):.3g}"}
    parts |= {"gaps": ", ".join(f"{gap['share_below']:.1%} with {gap['levels']}" for gap in puzzle["gaps"][-2:])}
    parts |= {"won": "; ".join(f"{line.peer} ({line.group}, {len(line.pairs)})" for line in won)}
    parts |= {"slow": "; ".join(f"{row['peer']} on {row['name']} ({row['note']})" for row in slow)}
    parts |= {part.__name__: part(compared) for part in (total, leads)}
    parts |= {part.__name__: part(contents) for part in (targets, laws, variance, domains, domain_ways, machine)}
    return (HERE / "page.md").read_text(encoding="utf-8").format(summary=summary(compared, contents), **parts)


def total(compared: list[Line]) -> str:
    """All cases beside libraries in a sentence."""
    ways = [sum(counts) for counts in zip(*(line.counts() for line in compared if line.library), strict=True)]
    said = f"mixlab is faster in {ways[2]} of {sum(ways)} cases, another library in {ways[0]}"
    return f"{said}; {ways[1]} are open"


def summary(compared: list[Line], contents: dict[str, Any]) -> str:
    """One row for each group and peer."""
    errors = {(row["group"], row["name"]): row for content in contents.values() for row in content.get("errors", ())}
    rows = []
    for line in compared:
        sides = []
        for error, raised, strange in (errors.get(line[:2], {}).get(side, ("", 0, 0)) for side in ("ours", "peer")):
            words = [f"raises in {raised}"] * bool(raised) + [f"not finite in {strange}"] * bool(strange)
            sides.append(", ".join([error if error == "" else digits(error), *words]))
        rows.append((*line[:2], " / ".join(map(str, line.counts())), span(line.ratios()), *sides))
    return table("group, peer, peer faster / open / mixlab faster, ratio, our error, peer's error", rows)


def leads(compared: list[Line]) -> str:
    """Where a peer is faster, the largest lead first, each with its best case."""
    rows = []
    for line in sorted(compared, key=lambda line: line.ratios()[1]):
        if ahead := [pair for pair in line.pairs if pair[1] == "faster"]:
            ratio, _, case, *seconds = min(ahead)
            times = [digits(1 / ratio), case, *(digits(1e3 * one) for one in seconds)]
            rows.append((*line[:2], f"{len(ahead)} of {len(line.pairs)}", *times))
    return table("group, peer, cases, times as fast, in its best case, its ms, our ms", rows)


def targets(contents: dict[str, Any]) -> str:
    """How many targets are met in each group, and those that are missed or open."""
    rows = [row for name in ORDER for row in contents.get(name, {}).get("readings", ()) if judged(row)]
    met = [row["group"] for row in rows if judged(row) == "met"]
    counts = ", ".join(f"{sum(judged(row) == way for row in rows)} {way}" for way in ("missed", "open", "met"))
    left = [row for row in sorted(rows, key=judged) if judged(row) != "met"]
    shown = [(judged(row), row["name"], span(row["value"]), row["unit"], bound(row)) for row in left]
    said = "; ".join(f"{group}: {met.count(group)}" for group in dict.fromkeys(met))
    return f"{counts} ({said}).\n\n{table('is, what, value, unit, target', shown)}"


def bound(row: dict[str, Any]) -> str:
    """A reading's target."""
    return f"at least {row['least']:g}" if "least" in row else f"at most {row['most']:g}"


def laws(contents: dict[str, Any]) -> str:
    """Who draws which law, and at which α."""
    alike: dict[str, list[str]] = {}
    for by, law in contents["lambda"]["laws"].items():
        words = {("too often exactly ½" if word.endswith("at ½") else word): at for word, at in law.items()}
        said = "; ".join(f"{word} at α = {', '.join(at.split())}" for word, at in words.items())
        alike.setdefault(said, []).append(f"`{by}`")
    return "\n".join(f"- {said}: {', '.join(names)}" for said, names in alike.items())


def variance(contents: dict[str, Any]) -> str:
    """The variance with K = 5 over that of K = 1, and of a batch five times as large."""
    pairs = [(row, name) for row in contents["gradient_variance"]["traces"] for name in ("K = 5", "shared, K = 5")]
    rows = [
        (row["step"], row["batch"], name, *map(span, row["over"][name].values()), row["n"])
        for row, name in pairs
        if name in row["over"]
    ]
    return table("steps taken, batch, scheme, over K = 1, over a batch 5 times as large, draws", rows)


def domains(contents: dict[str, Any]) -> str:
    """What mixup and K = 5 change where the data is no image, in bold where the interval misses 0."""
    rows = contents.get("domains", {}).get("changes", ())
    signs = [sign(row[name]) for row in rows for name in CHANGES]
    lines = [(row["name"], row["n"], span(row["none"]), *(bold(row[name]) for name in CHANGES)) for row in rows]
    said = f"{signs.count(-1)} of {len(signs)} changes are decided for the better and {signs.count(1)} for the worse"
    chance = f"{len(signs) / 20:.1f} would be by chance alone"
    return f"{said}; {chance}.\n\n{table(', '.join(('data', 'seeds', 'none', *CHANGES)), lines)}"


def domain_ways(contents: dict[str, Any]) -> str:
    """What other ways change there."""
    rows = contents.get("domain_ways", {}).get("changes", ())
    lines = [(row["name"], row["way"], row["n"], span(row["none"]), bold(row["change"])) for row in rows]
    return table("data, way, seeds, none, way − none", lines)


def bold(interval: Sequence[float]) -> str:
    """[mean, low, high], in bold where it misses 0."""
    return f"**{span(interval)}**" if sign(interval) else span(interval)


def sign(interval: Sequence[float]) -> int:
    """-1 or 1 if the interval, [mean, low, high], lies on one side of 0; else 0."""
    return (interval[1] > 0) - (interval[2] < 0)


def machine(contents: dict[str, Any]) -> str:
    """What the files say of the machine, and every version."""
    seen = [content["machine"] for content in contents.values()]
    heads = ("cpu", "cores", "memory_gb", "os", "python", "date", "load")
    said = {head: " or ".join(sorted({str(one[head]) for one in seen if head in one})) for head in heads}
    said["load"] = " to ".join(str(end([one["load"] for one in seen])) for end in (min, max))
    words = "{cpu}, {cores} cores, {memory_gb} GB; {os}; Python {python}; {date}; load {load} before a script"
    numbers = {f"{name} {number}" for content in contents.values() for name, number in content["versions"].items()}
    return f"{words.format(**said)}.\n\nVersions: {', '.join(sorted(numbers, key=str.lower))}."


def table(heads: str, rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    names = heads.split(", ")
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (names, ["---"] * len(names), *rows))


def digits(value: float) -> str:
    """Three digits, or all of them before the point."""
    small = value == 0 or abs(value) >= 1e-3
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if small else f"{value:.1e}"


def span(values: Sequence[float]) -> str:
    """What is in the middle, and in brackets what is around it."""
    middle, low, high = map(digits, values)
    return middle if low == high else f"{middle} ({low} to {high})"


def figure(compared: list[Line]) -> str:
    """The picture: for each group and library a bar over all ratios, a dot at the median, and the counts."""
    marks, y = [text(10, 20, total(compared), weight="bold"), text(290, 50, "← peer faster", COLORS[0])], 50
    marks += [text(x, 50, words, COLORS[way]) for x, words, way in HEADS]
    for line in (line for line in compared if line.library):
        y, counts, (middle, low, high) = y + 20, line.counts(), map(place, line.ratios())
        color = COLORS[counts.index(max(counts)) if 2 * max(counts) > sum(counts) else 1]
        marks.append(f'<path d="M{low} {y - 4}H{high}" stroke="{color}" stroke-width="4" opacity=".45"/>')
        marks.append(f'<circle cx="{middle}" cy="{y - 4}" r="5" fill="{color}"/>')
        marks.append(text(10, y, f"{line.group}: {line.peer}"))
        marks += [text(x, y, count, shade) for x, count, shade in zip((608, 658, 712), counts, COLORS, strict=True)]
    for ratio, words in ((1 / 30, "1/30"), (0.1, "1/10"), (1, "1"), (10, "10"), (30, "30")):
        marks.append(f'<path d="M{place(ratio)} 56V{y + 8}" stroke="#000" opacity="{1 if ratio == 1 else 0.15}"/>')
        marks.append(text(place(ratio) - 4 * len(words), y + 24, words))
    marks.append(text(250, y + 46, "peer's time / ours: the median case, from the least to the greatest"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {y + 60}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *marks, "</svg>\n"])


def text(x: float, y: float, words: object, color: str = "#222", weight: str = "normal") -> str:
    """Words of the picture."""
    return f'<text x="{x}" y="{y}" fill="{color}" font-weight="{weight}">{html.escape(str(words))}</text>'


def place(ratio: float) -> int:
    """Where a ratio lies, from 1/50 to 50."""
    return round(405 + 165 * max(-1.0, min(1.0, math.log(ratio, 50))))


if __name__ == "__main__":
    README.write_text(page(read()), encoding="utf-8")
    FIGURE.write_text(figure(lines(read())), encoding="utf-8")
