"""What the benchmarks share: tasks timed in turn, ratios with their intervals, and rows that describe themselves."""

import argparse
import itertools
import math
import random
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from results import judged, short
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Task = Callable[[], object]
AGAIN = "the first of ours, a second time"  # the control's name among the tasks


def orders(names: Iterable[Any], rounds: int) -> Iterator[list[Any]]:
    """An order of the tasks for each round, drawn anew but alike in every run: no task has one neighbor for ever."""
    drawn, order = random.Random(0), list(names)
    for _ in range(rounds):
        drawn.shuffle(order)
        yield list(order)


def interleaved(tasks: Mapping[Any, Task], repeats: int) -> dict[Any, list[float]]:
    """Seconds of each task, `repeats` times after two rounds of warm-up; they take turns, so a busy moment hits all."""
    seconds: dict[Any, list[float]] = {name: [] for name in tasks}
    for round_, order in enumerate(orders(tasks, repeats + 2)):
        for name in order:
            _wait()
            began = time.perf_counter()
            tasks[name]()
            _wait()
            if round_ >= 2:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_and_spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median and the two quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")  # never outside what was measured
    return middle, low, high


class _Live(TorchDispatchMode):
    """Bytes of the tensors that operations make and that still live, and the most they ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        held = {part.untyped_storage()._cdata for part in args if isinstance(part, Tensor)}
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, Tensor) and part.untyped_storage()._cdata not in held | self._known:
                storage = part.untyped_storage()
                self._known.add(storage._cdata)
                self.bytes += storage.nbytes()
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
        return result

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.bytes -= size


def peak_bytes(task: Callable[[], object]) -> int:
    """The most memory that tensors made by `task` take at once; what it does inside one operator is not seen."""
    with _Live() as live:
        kept = task()
    del kept
    return live.peak


def ratio_interval(seconds: list[float], base: list[float]) -> dict[str, float]:
    """The median, over the rounds, of one task's time over another's in the same round, with its 95% interval.

    The interval is of order statistics, and supposes nothing of the ratios but that rounds are alike: from the j-th
    smallest to the j-th largest of n, with the largest j for which P(Bin(n, 1/2) < j) is at most 0.025. Fewer than six
    rounds cannot give 95%; they give the smallest and the largest ratio.
    """
    ratios = sorted(one / other for one, other in zip(seconds, base, strict=True))
    n = len(ratios)
    below = itertools.accumulate(math.comb(n, i) / 2**n for i in range(n))
    j = max(1, sum(part <= 0.025 for part in below))
    return {"median": statistics.median(ratios), "low": ratios[j - 1], "high": ratios[n - j]}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and quartiles, named, for a row."""
    return dict(zip(("median", "low", "high"), median_and_spread(seconds), strict=True))


def figure(group: str, what: str, *, ours: str, seconds: list[float] | None = None) -> dict[str, Any]:
    """A row with no peer: a time of ours alone, or the beginning of a `comparison`."""
    row: dict[str, Any] = {"group": group, "what": what, "ours": ours}
    return row if seconds is None else row | {"seconds_ours": spread(seconds), "rounds": len(seconds)}


def comparison(
    group: str,
    what: str,
    peer: str,
    *,
    call: str = "",
    ours: str = "mixlab",
    seconds: tuple[list[float], list[float]] | None = None,
    control: dict[str, float] | None = None,
    error_ours: float | str | None = None,
    error_peer: float | str | None = None,
    note: str = "",
) -> dict[str, Any]:
    """One comparison as a row of the JSON that describes itself.

    Args:
        group: the kind of thing compared, such as "blend" or "loss".
        what: the case, such as "512 x 3 x 32 x 32, float32, K = 1".
        peer: the distribution that it is compared with, or words such as "textbook formula".
        call: what of the peer was called.
        ours: what of mixlab was called.
        seconds: each round's time of ours and of the peer, taken in turns: both become a median with quartiles, and
            the ratio, the peer's over ours, a median with a 95% interval: above 1, ours is faster.
        control: the ratio of one task's time to its own, timed twice in each round: within it lies no difference.
        error_ours: the largest absolute error of ours against float64, or words where there is no number.
        error_peer: that of the peer, or what it raises.
        note: says why a peer has no time and no error.
    """
    row = figure(group, what, ours=ours)
    row["peer"] = {"name": peer, "call": call}
    if seconds is not None:
        mine, theirs = seconds
        row |= {"seconds_ours": spread(mine), "seconds_peer": spread(theirs)}
        row |= {"ratio": ratio_interval(theirs, mine), "rounds": len(mine)}
    if control is not None:
        row["control"] = control
    for name, error in (("error_ours", error_ours), ("error_peer", error_peer)):
        if error is not None:
            row[name] = error
    return row | ({"note": note} if note else {})


def compare(
    group: str,
    what: str,
    ours: Mapping[str, Task],
    peers: Mapping[tuple[str, str], Task],
    rounds: int,
    *,
    pairs: Iterable[tuple[str, tuple[str, str]]] | None = None,
    per: int = 1,
    errors: Mapping[str | tuple[str, str], float | str] | None = None,
) -> list[dict[str, Any]]:
    """Time all in turn; a `comparison` for each of `pairs`, ours and (name, call), or a `figure` where no peer is.

    The pairs are all that there are where none are given. The first of ours is timed twice in every round, and the
    ratio of the two is every row's control. The seconds are those of a task, divided by `per`; `errors` go into
    the rows of those they name.
    """
    errors = errors or {}
    first = next(iter(ours))
    timed: dict[Any, list[float]] = interleaved({**ours, **peers, **({AGAIN: ours[first]} if peers else {})}, rounds)
    seconds = {name: [one / per for one in times] for name, times in timed.items()}
    if not peers:
        return [figure(group, what, ours=mine, seconds=seconds[mine]) for mine in ours]
    control = ratio_interval(seconds[AGAIN], seconds[first])
    return [
        comparison(
            group,
            what,
            peer[0],
            call=peer[1],
            ours=mine,
            seconds=(seconds[mine], seconds[peer]),
            control=control,
            error_ours=errors.get(mine),
            error_peer=errors.get(peer),
        )
        for mine, peer in (itertools.product(ours, peers) if pairs is None else pairs)
    ]


def reading(
    group: str,
    name: str,
    unit: str,
    value: dict[str, float],
    *,
    n: int,
    least: float | None = None,
    most: float | None = None,
) -> dict[str, Any]:
    """One measured value that has no peer, as a row, printed.

    Args:
        group: the kind of thing measured, such as "start-up".
        name: the case.
        unit: of the value, or "" for a share or a ratio.
        value: "median" or "mean", with "low" and "high" around it.
        n: counts the measurements.
        least: the target, where the value ought to be at least this; in the value's unit.
        most: the target, where the value ought to be at most this.
    """
    row = {"group": group, "name": name, "unit": unit, "n": n, "value": value}
    row |= {name: target for name, target in (("least", least), ("most", most)) if target is not None}
    middle, *around = (f"{part:.4g}" for part in value.values())
    said = judged(row | {"value": short(value)})
    print(f"  {name:64}{middle} ({' to '.join(around)}) {unit}  {said}", flush=True)
    return row


def median_of(values: Sequence[float]) -> dict[str, float]:
    """Median of a few values with the smallest and the largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def rate(count: int, seconds: list[float]) -> dict[str, float]:
    """`count` things a second: median and quartiles."""
    middle, low, high = median_and_spread(seconds)
    return {"median": count / middle, "low": count / high, "high": count / low}


def parser(about: str | None, method: str, quick: str = "few rounds, nothing saved") -> argparse.ArgumentParser:
    """The options that every benchmark has; --help says what is timed against what."""
    options = argparse.ArgumentParser(
        description=about, epilog=method, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help=quick)
    return options


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows of words and numbers in columns as wide as they need, the first to the left, the rest to the right."""
    lines = [tuple(heads), *(tuple(_told(part) for part in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    print(f"\n{title}")
    for first, *rest in lines:
        print("  " + "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip(), flush=True)


def _told(part: object) -> str:
    if isinstance(part, dict):  # a median, or a ratio, and what is around it
        return "{} ({} to {})".format(*(_told(part[name]) for name in ("median", "low", "high")))
    return f"{part:.3g}" if isinstance(part, float) else "" if part is None else str(part)


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of `comparison` and `figure`, with the columns that hold anything."""
    columns: dict[str, list[object]] = {
        "what": [row["what"] for row in rows],
        "ours": [row["ours"] for row in rows],
        "peer": [" ".join(row["peer"][name] for name in ("name", "call")) if "peer" in row else None for row in rows],
        "ms, ours": [_milliseconds(row.get("seconds_ours")) for row in rows],
        "ms, peer": [_milliseconds(row.get("seconds_peer")) for row in rows],
        "peer / ours": [row.get("ratio") for row in rows],
        "error, ours": [row.get("error_ours") for row in rows],
        "error, peer": [row.get("error_peer") for row in rows],
    }
    filled = {head: column for head, column in columns.items() if any(part is not None for part in column)}
    table(title, list(filled), list(zip(*filled.values(), strict=True)))


def _milliseconds(seconds: dict[str, float] | None) -> dict[str, float] | None:
    return None if seconds is None else {name: 1e3 * value for name, value in seconds.items()}


def absent(modules: Mapping[str, str]) -> dict[str, str]:
    """Distribution -> why its module cannot be imported here, for those that cannot; no peer is missing in silence."""
    reasons = {}
    for name, module in modules.items():
        try:
            import_module(module)
        except Exception as fault:  # noqa: BLE001 - whatever keeps a peer from being imported is the reason
            reasons[name] = f"does not install: {type(fault).__name__}: {fault}"
    return reasons
