"""What this machine can do: how many threads torch should get, and whether its CPU or GPU computes in bfloat16."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
# The instructions that multiply in bfloat16, as Linux names them. Where they are missing it is emulated, and slower.
_BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")
# What the environment can forbid the CPU: oneDNN's instructions (by its new name and its old), its rounding of float32,
# and ATen's instructions.
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

    A CPU gets bfloat16 if it has instructions for it and no variable such as ONEDNN_MAX_CPU_ISA limits them. Nothing is
    timed: the dtype is part of a run's name, so every process on a machine must pick the same.

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
    flag = next((flag for flag in _BFLOAT16_FLAGS if flag in _cpu_flags()), None)
    if flag is None:
        return torch.float32, "the CPU has no bfloat16"
    limit = next((name for name in _LIMITS if os.environ.get(name, "").strip()), None)
    if limit is not None:
        return torch.float32, f"{limit} is set"
    return torch.bfloat16, f"the CPU has {flag}"


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


def _cpu_flags() -> set[str]:
    """The CPU's features by Linux's names; none on other systems."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", _CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(flags[1].split()) if flags else set()
