"""One measured value that has no peer, as a row of a benchmark's JSON that describes itself."""

import statistics
from collections.abc import Sequence
from typing import Any

import harness

CLEAR = 1.05  # of two times one is called smaller from here


def verdict(row: dict[str, Any]) -> str:
    """What a ratio says of the peer: "faster", "slower", or "open" where it may be chance or next to nothing.

    The interval must lie beyond 1 by more than that of the control does on the same side: the same task of ours, timed
    twice in the same rounds, where any difference is one of place and moment.
    """
    ratio, control = row["ratio"], row.get("control", {"low": 1.0, "high": 1.0})
    if ratio["median"] < 1 / CLEAR and ratio["high"] < min(1.0, control["low"]):
        return "faster"
    if ratio["median"] > CLEAR and ratio["low"] > max(1.0, control["high"]):
        return "slower"
    return "open"


def judged(row: dict[str, Any]) -> str:
    """Whether a reading meets its target: "met", "missed", or "open" where the interval holds it; "" without one."""
    low, high = row["value"]["low"], row["value"]["high"]
    if "least" in row:
        return "met" if low >= row["least"] else "missed" if high < row["least"] else "open"
    if "most" in row:
        return "met" if high <= row["most"] else "missed" if low > row["most"] else "open"
    return ""


def reading(
    group: str,
    what: str,
    unit: str,
    value: dict[str, float],
    *,
    least: float | None = None,
    most: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """The row, printed.

    Args:
        group: the kind of thing measured, such as "start-up".
        what: the case.
        unit: of the value, or "" for a share or a ratio.
        value: "median" or "mean", with "low" and "high" around it.
        least: the target, where the value ought to be at least this; in the value's unit.
        most: the target, where the value ought to be at most this.
        note: what a reader must know to judge the row, such as what the interval is.
    """
    row = {"group": group, "what": what, "unit": unit, "value": value, "note": note}
    row |= {name: target for name, target in (("least", least), ("most", most)) if target is not None}
    middle, *around = (f"{part:.4g}" for part in value.values())
    print(f"  {what:64}{middle} ({' to '.join(around)}) {unit}  {judged(row)}", flush=True)
    return row


def median_of(values: Sequence[float]) -> dict[str, float]:
    """Median of a few values with the smallest and the largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def rate(count: int, seconds: list[float]) -> dict[str, float]:
    """`count` things a second: median and quartiles."""
    middle, low, high = harness.median_and_spread(seconds)
    return {"median": count / middle, "low": count / high, "high": count / low}
