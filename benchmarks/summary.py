"""The page's beginning: one line for each group and peer, where a peer is ahead, and which targets are met."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import lambdas
from cells import capital, cell, code, details, digits, interval, link, narrow, table, whole
from measured import CLEAR, judged
from rows import CLEARLY, ROUNDING, Row, by, every, is_limit, is_nearer, standing
from shapes import target

ERRORS = ", errors"  # a group's rows of errors alone
TYPES = re.compile(r"\b(float32|bfloat16|uint8)\b")
DRAWING = ("blend", "laws")  # scripts whose peers draw λ
WAYS = ("faster", "open", "slower")  # of the peer
TAIL = 40  # of equal cases, one has a 95% interval that lies wholly below 1


class Line(NamedTuple):
    """One group beside one peer: every case that was timed, and every case whose errors were taken."""

    group: str
    peer: Row
    timed: list[Row]
    erring: list[Row]

    def count(self, way: str) -> int:
        """In how many cases the peer is "faster", "slower" or "open"."""
        return sum(standing(row) == way for row in self.timed)

    def ratios(self) -> dict[str, float]:
        """The median case's ratio, and the least and the greatest."""
        found = sorted(row["ratio"]["median"] for row in self.timed)
        middle = (found[(len(found) - 1) // 2] * found[len(found) // 2]) ** 0.5  # of two ratios, the geometric mean
        return {"median": middle, "low": found[0], "high": found[-1]}


def lines(rows: Iterable[Row]) -> list[Line]:
    """The lines of these comparisons, in the order in which they come; what cannot be beaten has none."""
    kept = [row | {"name": row["peer"]["name"]} for row in rows if not is_limit(row)]
    found = []
    for (group, name), timed in by([row for row in kept if "ratio" in row], "group", "name").items():
        erring = [row for row in kept if row["group"] in (group, group + ERRORS) and row["name"] == name]
        erring = [row for row in erring if "error_peer" in row]
        told = any(TYPES.search(row["what"]) for row in erring)
        erring = [row for row in erring if not told or "float32" in row["what"]]
        found.append(Line(group, timed[0]["peer"], timed, erring))
    return found


def summary(found: dict[str, list[Row]], contents: dict[str, Row], titles: dict[str, str]) -> str:
    """The table of all lines; `titles` are the headings that tell more."""
    told = [(name, line) for name, rows in found.items() for line in lines(rows)]
    drawn = contents.get("laws", {})
    return narrow(
        {
            "group": [link(line.group, titles[name]) for name, line in told],
            "peer": [line.peer["name"] for _, line in told],
            "cases": [str(len(line.timed)) for _, line in told],
            whole("it / open / we"): [whole(" / ".join(_count(line, way) for way in WAYS)) for _, line in told],
            "its time / ours": [whole(interval(line.ratios())) for _, line in told],
            "our error": [_largest(line, "error_ours") for _, line in told],
            "its error": [_largest(line, "error_peer") for _, line in told],
            "its λ": [lambdas.told(line.peer["name"], drawn) if name in DRAWING else "" for name, line in told],
        }
    )


def leads(found: dict[str, list[Row]], contents: dict[str, Row]) -> str:
    """Where a peer is ahead, the largest lead first, each with its worst case."""
    rows = [row | {"name": row["peer"]["name"]} for rows in found.values() for row in rows]
    timed = [row for row in rows if "ratio" in row and not is_limit(row)]
    parts = [_faster(timed), _nearer([row for row in rows if "error_peer" in row])]
    parts += [
        f"- {gap['share_below']:.1%} of {gap['problems']:,} masks of {gap['blocks']} x {gap['blocks']} blocks and "
        f"{gap['levels']} levels have less energy by gco-wrapper than by ours.\n"
        for content in contents.values()
        for gap in content.get("gaps", ())
        if gap["share_below"] > 0
    ]
    if not any(parts):
        return "Nowhere in these figures.\n"
    rule = (
        f"Faster is what clears 1 and the control and is at least {CLEAR:g} times as fast; nearer is an error below "
        f"1/{CLEARLY:g} of ours. Of cases with equal times, one in {TAIL} has an interval wholly below 1 by chance: of "
        f"the {len(timed)} here about {len(timed) / TAIL:.0f}, had they no control and no margin.\n"
    )
    return "\n".join([rule, *filter(None, parts)])


def targets(contents: dict[str, Row], titles: dict[str, str]) -> str:
    """Every reading that has a target, the missed ones first."""
    rows = [(titles[name], row) for name in contents for _, row in every(contents[name]) if target_of(row)]
    if not rows:
        return "None is measured here.\n"
    order = ("missed", "open", "met")
    rows.sort(key=lambda pair: order.index(judged(pair[1])))
    counts = ", ".join(f"{sum(judged(row) == way for _, row in rows)} {way}" for way in order)
    heads = ("is", "what", "value", "target")
    told = [
        (_marked(judged(row)), f"{link(title, title)}: {row['what']}", cell(row["value"], row["unit"]), target(row))
        for title, row in rows
    ]
    met = [line[1:] for line in told if line[0] == "met"]
    parts = [f"{capital(counts)}; open is what has its target inside its interval.\n"]
    parts += [table(heads, told[: -len(met) or None])] if len(met) < len(told) else []
    parts += [details(f"Met: {len(met)}", table(heads[1:], met))] if met else []
    return "\n".join(parts)


def target_of(row: Row) -> bool:
    """Whether a row is a reading with a target."""
    return "value" in row and bool(target(row))


def _faster(timed: list[Row]) -> str:
    faster: dict[Any, list[Row]] = by([row for row in timed if standing(row) == "faster"], "group", "name")
    compared = by(timed, "group", "name")
    worst = {key: min(rows, key=lambda row: row["ratio"]["median"]) for key, rows in faster.items()}
    order = sorted(worst, key=lambda key: worst[key]["ratio"]["median"])
    told = [
        (
            f"**{group}: {name}**",
            whole(f"{len(faster[group, name])} of {len(compared[group, name])}"),
            f"{1 / worst[group, name]['ratio']['median']:.2f}",
            _case(worst[group, name]),
            *(whole(cell(worst[group, name][side]["median"], "s")) for side in ("seconds_peer", "seconds_ours")),
        )
        for group, name in order
    ]
    heads = ("faster", "cases", "times", "in its best case", "its time", "ours")
    return table(heads, told) if told else ""


def _nearer(rows: list[Row]) -> str:
    nearer: dict[Any, list[Row]] = by([row for row in rows if is_nearer(row)], "group", "name")
    compared = by(rows, "group", "name")
    best = {key: max(mine, key=_error_ratio) for key, mine in nearer.items()}
    told = [
        (
            f"**{group}: {name}**",
            whole(f"{len(nearer[group, name])} of {len(compared[group, name])}"),
            _case(best[group, name]),
            cell(best[group, name]["error_peer"]),
            cell(best[group, name]["error_ours"]),
        )
        for group, name in sorted(best, key=lambda key: -_error_ratio(best[key]))
    ]
    return table(("nearer to float64", "cases", "in its best case", "its error", "ours"), told) if told else ""


def _error_ratio(row: Row) -> float:
    mine = row["error_ours"]
    return float("inf") if isinstance(mine, str) else mine / max(row["error_peer"], ROUNDING)


def _case(row: Row) -> str:
    called = " beside ".join(filter(None, [code(row["peer"]["call"]), code(row["ours"])]))
    return f"{row['what']}: {called}"


def _count(line: Line, way: str) -> str:
    count = line.count(way)
    return f"**{count}**" if way == "faster" and count else str(count)


def _largest(line: Line, side: str) -> str:
    """The largest number, and how often there was none: an exception, or NaN or infinity on one side."""
    numbers = [row[side] for row in line.erring if isinstance(row.get(side), (int, float))]
    told = [row[side].startswith("raises") for row in line.erring if isinstance(row.get(side), str)]
    said = [whole(digits(max(numbers, default=0))) * bool(numbers)]
    said += [
        f"{words} in {told.count(raised)}" * (raised in told)
        for words, raised in (("raises", True), ("not finite", False))
    ]
    return ", ".join(filter(None, said))


def _marked(way: str) -> str:
    return f"**{way}**" if way == "missed" else way
