"""What the benchmarks share: interleaved timing in one process, and a report that names the machine."""

import json
import os
import platform
import statistics
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

HERE = Path(__file__).resolve().parent


def interleaved(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each task, `repeats` times after two rounds of warm-up; they take turns, so a busy moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for round_ in range(repeats + 2):
        for name, task in tasks.items():
            _wait()
            began = time.perf_counter()
            task()
            _wait()
            if round_ >= 2:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_and_spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median and the two quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4)
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


def ratio(seconds: list[float], base: list[float]) -> float:
    """The median, over the rounds, of one task's time over another's in the same round."""
    return statistics.median(one / other for one, other in zip(seconds, base, strict=True))


def machine() -> dict[str, Any]:
    """Where a figure was taken."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": "python " + " ".join(sys.argv),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of what took part."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def save(name: str, packages: Iterable[str], **results: object) -> None:
    """Write benchmarks/NAME.json: the machine, the versions of `packages`, and the results."""
    path = HERE / f"{name}.json"
    content = {"machine": machine(), "versions": versions(packages), **results}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwrote {path}")
