"""What this machine can do: how many threads torch should get, and whether its CPU or GPU computes in bfloat16."""

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

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


def torch_threads() -> tuple[int, str]:
    """How many threads torch should use for one operation, and why.

    More threads than the process may keep busy make training crawl: in a container, 17 s an epoch in place of 2. So
    joblib counts the CPUs, by this process's affinity and its container's quota, and otherwise cores instead of
    hyperthreads. OMP_NUM_THREADS comes before all that. Where other programs keep the CPUs busy, the reason says so;
    the number stays, since it decides the last bits of a training that is resumed.
    """
    wish = re.match(r"\s*([1-9]\d*)", os.environ.get("OMP_NUM_THREADS", ""))
    if wish:
        return int(wish[1]), "set by OMP_NUM_THREADS"
    from joblib import cpu_count

    share, cpus = cpu_count(), os.cpu_count() or 1
    why = f"this process may use {share} of {cpus} CPUs"
    if share == cpus:
        share, why = cpu_count(only_physical_cores=True), "one for each core"
    return share, why + (_contention(cpus) if share > 1 else "")


def _contention(cpus: int) -> str:
    """What to say where more programs want to run than there are CPUs: a training of our own is not yet that many."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows has none
    if load < 1.5 * cpus:
        return ""
    return f"; busy: {load:.0f} programs want {cpus} CPUs, so OMP_NUM_THREADS=1 would be faster"


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


@contextmanager
def releasing_memory() -> Iterator[None]:
    """`release_memory` at the end; of a function decorated with it, when all that the function held is freed."""
    try:
        yield
    finally:
        release_memory()


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


def processor() -> str:
    """The name of the CPU."""
    with suppress(OSError):
        if named := re.search(r"^model name\s*:\s*(.*)$", _CPUINFO.read_text(), re.MULTILINE):
            return named[1]
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    """The CPU's features by Linux's names; none on other systems."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", _CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(flags[1].split()) if flags else set()
