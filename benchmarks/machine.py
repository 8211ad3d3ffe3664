"""Where a figure was taken, and how busy it was there before the first task."""

import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

LOAD = os.getloadavg()[0]  # before the run, which is a load itself
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # instructions that decide how fast a CPU multiplies


def machine() -> dict[str, Any]:
    """The machine, and the command that runs on it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    linux = platform.system() == "Linux"
    return {
        "cpu": told.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in FLAGS if flag in told.get("flags", "").split()],
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
