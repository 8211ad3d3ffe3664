"""A report of at most ten lines: what is installed, what torch will use and why, which data sets are here."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from mixlab.data.load import cache_path, is_cached
from mixlab.machine import precision, torch_threads
from mixlab.runs.store import Store


def report() -> str:
    """What a lesson, or someone helping, needs to know about this machine, in at most ten lines."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads, why_threads = torch_threads()
    dtype, why_dtype = precision(device)
    lines = {
        "mixlab": f"{_version('mixlab')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "torch": f"{torch.__version__}, torchvision {_version('torchvision')}, numpy {_version('numpy')}",
        "Jupyter": ", ".join(
            f"{name} {_version(name)}" for name in ("jupyterlab", "ipykernel", "ipywidgets", "anywidget")
        ),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"CPU ({_why_no_gpu()})",
        "threads": f"{threads}, {why_threads}",
        "training": f"{str(dtype).removeprefix('torch.')}, {why_dtype}",
        "data": "; ".join(_whether_cached(name) for name in ("cifar10", "cifar100")),
        "folder": str(cache_path("cifar10").parent),
        "runs": str(Store().root),
    }
    return "\n".join(f"{label:<9}{text}" for label, text in lines.items())


def _version(package: str) -> str:
    """The installed version of a package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _why_no_gpu() -> str:
    """Why the CPU is used."""
    if sys.platform == "linux" and torch.version.cuda is None:
        return "torch was built without CUDA"
    return "torch finds no CUDA device"


def _whether_cached(name: str) -> str:
    """Whether a data set is in the cache and whole, as far as its header says."""
    return f"{name} is here" if is_cached(name) else f'no {name} (mx.load("{name}") fetches it)'
