"""What this machine can do: how many threads torch should get, and whether bfloat16 pays, which is measured."""

import ctypes
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

# bfloat16 is taken if the timed step is this many times as fast: a whole step of a training gains less (1.7 where this
# one has 1.9, as much of it is not convolution), and below that its rounding buys nothing.
WORTH_IT = 1.25
_BUDGET = 0.4  # seconds for the timed steps; where bfloat16 is emulated, one step can take a quarter of a second
_PAIRS = 7
_UNDISTURBED = 0.9  # least share of the wall clock that a thread has when it is alone: 0.99, and 0.8 beside one other

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
# What the environment can forbid the CPU: oneDNN's instructions (by its new name and its old), its rounding of float32,
# and ATen's instructions.
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")
_LIMITS = (
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ATEN_CPU_CAPABILITY",
)
_CPUS = Path("/sys/devices/system/cpu")


def cpu_quota() -> float:
    """The CPUs that this process may keep busy: those it may run on, or its control group's share if that is less."""
    return min([float(len(_cpus())), *_group_quotas()])


def torch_threads() -> tuple[int, str]:
    """How many threads torch should use for one operation, and why.

    More threads than the share of CPUs is what makes training crawl in a container: 17 s an epoch in place of 2.
    """
    wish = re.match(r"\s*([1-9]\d*)", os.environ.get("OMP_NUM_THREADS", ""))
    if wish:
        return int(wish[1]), "set by OMP_NUM_THREADS"
    cores, quota = _cores(), cpu_quota()
    if quota < cores:
        return max(1, int(quota)), f"this process may use {quota:.3g} CPUs"
    return cores, "one for each core"


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """`count` threads for each of torch's operations inside; afterwards, also after an error, as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def release_memory() -> None:
    """Give freed memory back to the system, where the C library would keep it: tens of MB after a training.

    A notebook on 1 GB needs them for the next one. Nothing happens where the C library is not glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def precision(device: torch.device | str) -> tuple[torch.dtype, str]:
    """The dtype for autocast on `device`, torch.bfloat16 or torch.float32, and why.

    On a CPU a small training step is timed in both, once for each kind of CPU, torch, thread count and limit that the
    environment sets to the instructions, such as ONEDNN_MAX_CPU_ISA (under a second); the result is kept in
    `machine.json` in the user's cache folder. Where other processes disturb the measurement, the CPU's instructions
    decide, so that every process picks the same: it is part of a run's name.

    Raises:
        RuntimeError: `device` names no device that torch knows.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16, "the GPU has bfloat16"
        return torch.float32, "the GPU has no bfloat16"
    if kind != "cpu":
        return torch.float32, f"bfloat16 is not tried on {kind}"
    speedup = _bfloat16_speedup(" ".join([_cpu_name(), *_limits()]), torch.__version__, torch_threads()[0])
    if speedup is None:
        told = "by the CPU's instructions, as other processes kept it from being measured"
        fast = not _limits() and any(flag in _cpu_name().split() for flag in _BFLOAT16_FLAGS)
        return torch.bfloat16 if fast else torch.float32, told
    if speedup >= WORTH_IT:
        return torch.bfloat16, f"{speedup:.2f} times as fast as float32 on this CPU"
    return torch.float32, f"bfloat16 is {speedup:.2f} times as fast on this CPU"


def _cpus() -> set[int]:
    """The numbers of the CPUs that this process may run on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cores() -> int:
    """The cores behind those CPUs: two hyperthreads share one, and its arithmetic units."""
    cores = set()
    for cpu in _cpus():
        siblings = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        try:
            cores.add(siblings.read_text().strip())
        except OSError:  # not Linux, or a container that hides it
            cores.add(str(cpu))
    return len(cores)


def _group_quotas() -> Iterator[float]:
    """The CPU shares of this process's control group and of those above it, version 1 or 2."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = Path(place.lstrip("/"))
        # In a container the place can be the host's name for a folder that is mounted as the root here: look at all.
        for folder in (group, *group.parents):
            for mount in (
                [_CGROUPS / controllers, _CGROUPS / "cpu"] if controllers else [_CGROUPS, _CGROUPS / "unified"]
            ):
                yield from _quota(mount / folder)


def _quota(folder: Path) -> Iterator[float]:
    """The share that one control group's folder sets, if it sets one."""
    with suppress(OSError, ValueError):  # ValueError: "max", which is no limit
        quota, period = (folder / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:  # -1 is no limit
            yield int(quota) / int(period)


def _cpu_name() -> str:
    """The CPU's name, with its bfloat16 instructions: the names that virtual machines give leave them open."""
    try:
        text = _CPUINFO.read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = [flag for flag in ("avx2", *_BFLOAT16_FLAGS) if re.search(rf"\b{flag}\b", text)]
    return " ".join([name[1] if name else platform.machine(), *flags])


def _limits() -> list[str]:
    """What the environment forbids the CPU, as NAME=VALUE: an emulated machine must not inherit this one's answer."""
    return [f"{name}={os.environ[name].strip().upper()}" for name in _LIMITS if os.environ.get(name, "").strip()]


@cache
def _bfloat16_speedup(cpu: str, torch_version: str, threads: int) -> float | None:
    """Float32's time for a training step over bfloat16's: remembered for these three, or measured now.

    None beside other busy processes, where the ratio can be wrong by a factor of 8.
    """
    import platformdirs

    key = f"{cpu}, torch {torch_version}, {threads} threads"
    path = Path(platformdirs.user_cache_dir("mixlab", appauthor=False)) / "machine.json"
    known = _read(path)
    if key in known:
        return known[key]
    speedup, undisturbed = _measure(threads)
    if not undisturbed:
        return None
    _write(path, known | {key: speedup})
    return speedup


def _read(path: Path) -> dict[str, float]:
    """The speed-ups in a cache file; none if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in entries if isinstance(value, float) and 0 < value < float("inf")}


def _write(path: Path, known: dict[str, float]) -> None:
    """Replace the cache file as a whole; where the folder is not to be written, the next process measures again."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        partial.replace(path)


def _measure(threads: int) -> tuple[float, bool]:
    """Float32's shortest training step over bfloat16's, turn about, and whether other processes left us the CPU."""
    with using_threads(threads):
        return _timed_ratio()


def _timed_ratio() -> tuple[float, bool]:
    """The shortest of up to _PAIRS float32 steps over the shortest bfloat16 step; whether this thread kept running."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(32, 3, 32, 32, generator=draw).contiguous(memory_format=torch.channels_last)
        widths = [(3, 32), (32, 64), (64, 128)]
        weights = [(torch.randn(o, i, 3, 3, generator=draw) / (9 * i) ** 0.5).requires_grad_() for i, o in widths]
        times: dict[bool, list[float]] = {False: [], True: []}
        for reduced in times:
            _step(x, weights, reduced)  # the first step chooses kernels
        start, ran = time.perf_counter(), time.thread_time()
        while len(times[True]) < _PAIRS and (not times[True] or time.perf_counter() - start < _BUDGET):
            for reduced, spent in times.items():
                spent.append(_step(x, weights, reduced))
        share = (time.thread_time() - ran) / (time.perf_counter() - start)
    return min(times[False]) / min(times[True]), share >= _UNDISTURBED


def _step(x: Tensor, weights: list[Tensor], reduced: bool) -> float:
    """Seconds for forward and backward through three convolutions, in bfloat16 if `reduced`."""
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        h = x
        for weight in weights:
            h = F.max_pool2d(F.relu(F.conv2d(h, weight.contiguous(memory_format=torch.channels_last), padding=1)), 2)
        loss = h.float().square().mean()
    torch.autograd.grad(loss, weights)
    return time.perf_counter() - start
