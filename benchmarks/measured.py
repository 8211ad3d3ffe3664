"""One measured value that has no peer, as a row of a benchmark's JSON that describes itself."""

import statistics
from collections.abc import Sequence
from typing import Any

import harness


def reading(
    group: str, what: str, unit: str, value: dict[str, float], *, target: str = "", note: str = ""
) -> dict[str, Any]:
    """The row, printed.

    Args:
        group: the kind of thing measured, such as "start-up".
        what: the case.
        unit: of the value, or "" for a share or a ratio.
        value: "median" or "mean", with "low" and "high" around it.
        target: what the project wants, in words.
        note: what a reader must know to judge the row, such as what the interval is.
    """
    row = {"group": group, "what": what, "unit": unit, "value": value, "target": target, "note": note}
    middle, *around = (f"{part:.4g}" for part in value.values())
    print(f"  {what:64}{middle} ({' to '.join(around)}) {unit}  {target and '; target: ' + target}", flush=True)
    return row


def median_of(values: Sequence[float]) -> dict[str, float]:
    """Median of a few values with the smallest and the largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def rate(count: int, seconds: list[float]) -> dict[str, float]:
    """`count` things a second: median and quartiles."""
    middle, low, high = harness.median_and_spread(seconds)
    return {"median": count / middle, "low": count / high, "high": count / low}
