"""The committed results: one compact JSON file for each benchmark, and what its numbers say.

A case is {"group", "name", "n", "control", "ours"}: what takes turns, for n rounds. The control is the ratio of one
task of ours to itself, timed twice. "ours" has for each call of ours [median seconds, peers], and for each peer and its
call [median seconds, ratio, low, high]: the peer's time over ours with its 95% interval; above 1, mixlab is faster.
"errors" has a row for each group and peer: for both sides [largest error, cases that raise, cases that are not finite].
A reading is {"group", "name", "unit", "n", "value": [median, low, high]}, with "least" or "most" as its target.
"""

import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
BEGAN = time.perf_counter()
LOAD = os.getloadavg()[0]  # before the run, which is a load itself
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # instructions that decide how fast a CPU multiplies
CLEAR = 1.05  # a peer is called faster or slower from this ratio on
DIGITS = 4  # of every number that is kept
ROUNDING = 1e-12  # errors below are float64's own
CLEARLY = 1.1  # of two errors one is called larger from here
TYPES = re.compile(r"\b(float32|bfloat16|uint8)\b")
ABOUT = ("machine", "versions", "seconds")  # what every file says of itself


def machine() -> dict[str, Any]:
    """The machine, and the command that runs on it."""
    import torch

    from mixlab.machine import processor

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    linux = platform.system() == "Linux"
    return {
        "cpu": processor(),
        "flags": [flag for flag in FLAGS if flag in cpu.get("flags", "").split()],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "os": platform.freedesktop_os_release()["PRETTY_NAME"] if linux else platform.platform(),
        "load": round(LOAD, 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of what took part; torch's with its build, such as +cpu."""
    import torch

    return {package: version_of(package) or "not installed" for package in packages} | {"torch": torch.__version__}


def version_of(package: str) -> str | None:
    """Version of an installed distribution; None where there is none of this name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(name: str, packages: Iterable[str], **parts: object) -> None:
    """Write results/NAME.json.

    Args:
        name: names the file.
        packages: distributions whose versions are written down, beside torch's.
        parts: lists of rows, which are made compact, and what else the page needs.
    """
    content = {"machine": machine(), "versions": versions(packages), "seconds": round(time.perf_counter() - BEGAN, 1)}
    path = write(FOLDER / f"{name}.json", content | parts)
    print(f"\nwrote {path}")


def write(path: Path, content: Mapping[str, object]) -> Path:
    """Write a file with one row on each line, so that a difference can be read."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n".join(_json(row) for row in compact(value))
            lines.append(f"{_json(key)}: [\n{rows}\n]")
            if errors := largest_errors(value):
                lines.append('"errors": [\n' + ",\n".join(map(_json, errors)) + "\n]")
        else:
            lines.append(f"{_json(key)}: {_json(value if key in ABOUT else short(value))}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Name -> content of every file of a folder."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def comparisons(content: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Case, our call and its seconds, peer, its call and seconds, ratio, low, high: of every comparison in a file."""
    for row in (row for rows in content.values() if isinstance(rows, list) for row in rows if {"ours", "n"} <= {*row}):
        for ours, (own, peers) in row["ours"].items():
            for peer, calls in peers.items():
                for call, values in calls.items():
                    yield row, ours, own, peer, call, *values


def compact(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join the times of one case into one row; every row without a time of ours stays, its numbers shortened."""
    cases: dict[Any, dict[str, Any]] = {}
    for place, row in enumerate(rows):
        if "what" not in row:
            cases[place] = short(row)
        elif "seconds_ours" in row:
            name = {"group": row["group"], "name": row["what"]}
            case = cases.setdefault(tuple(name.values()), name | {"n": row["rounds"], "ours": {}})
            if "control" in row:
                case["control"] = short(row["control"])
            task = case["ours"].setdefault(row["ours"], [short(row["seconds_ours"]["median"]), {}])
            if "ratio" in row:
                peer = task[1].setdefault(row["peer"]["name"], {})
                peer[row["peer"]["call"]] = [short(row["seconds_peer"]["median"]), *short(row["ratio"])]
        elif "error_peer" not in row:  # a peer that was too slow to be timed
            names = {"group": row["group"], "name": row["what"], "peer": " ".join(row["peer"].values())}
            cases[place] = names | {"note": row["note"]}
    return list(cases.values())


def largest_errors(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The errors of each group and peer, those in float32 where types are named; "nearer" counts all types."""
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if "error_peer" in row:
            pairs.setdefault((row["group"].removesuffix(", errors"), row["peer"]["name"]), []).append(row)
    summary = []
    for (group, peer), mine in pairs.items():
        typed = any(TYPES.search(row["what"]) for row in mine)
        kept = [row for row in mine if not typed or "float32" in row["what"]]
        sides = {side: _largest([row[f"error_{side}"] for row in kept]) for side in ("ours", "peer")}
        nearer = sum(_nearer(row["error_peer"], row["error_ours"]) for row in mine)
        summary.append({"group": group, "name": peer, "cases": len(mine), "nearer": nearer, **sides})
    return summary


def _largest(errors: list[float | str]) -> list[float]:
    words = [error for error in errors if isinstance(error, str)]
    raised = sum(word.startswith("raises") for word in words)
    numbers = [error for error in errors if not isinstance(error, str)]
    return [short(max(numbers, default=0.0), 2), raised, len(words) - raised]


def _nearer(one: float | str, other: float | str) -> bool:
    """Whether one error is clearly below the other; to raise is worse than any number."""
    if isinstance(one, str):
        return False
    return isinstance(other, str) or other > max(ROUNDING, CLEARLY * one)


def short(value: Any, digits: int = DIGITS) -> Any:
    """The value with so many digits, one more from 1 on; a middle with its interval becomes three numbers."""
    if isinstance(value, float):
        return float(f"{value:.{digits + (abs(value) >= 1)}g}")
    if isinstance(value, Mapping) and value.keys() in ({"median", "low", "high"}, {"mean", "low", "high"}):
        (middle,) = value.keys() - {"low", "high"}
        return [short(value[name], digits) for name in (middle, "low", "high")]
    if isinstance(value, Mapping):
        return {name: short(part, digits) for name, part in value.items()}
    return [short(part, digits) for part in value] if isinstance(value, (list, tuple)) else value


def verdict(ratio: list[float], control: list[float] | None) -> str:
    """What [ratio, low, high] says of the peer: "faster", "slower", or "open" where it may be chance or very little.

    The interval must lie beyond 1 by more than that of the control does on the same side.
    """
    (middle, low, high), (_, least, most) = ratio, control or (1.0, 1.0, 1.0)
    if middle < 1 / CLEAR and high < min(1.0, least):
        return "faster"
    if middle > CLEAR and low > max(1.0, most):
        return "slower"
    return "open"


def judged(row: Mapping[str, Any]) -> str:
    """Whether a reading meets its target: "met", "missed", or "open" where the interval holds it; "" without one."""
    _, low, high = row["value"]
    if "least" in row:
        return "met" if low >= row["least"] else "missed" if high < row["least"] else "open"
    if "most" in row:
        return "met" if high <= row["most"] else "missed" if low > row["most"] else "open"
    return ""
