"""State of a model or the process, changed for a while and put back: evaluation mode, generators, defaults."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

one_at_a_time = threading.RLock()  # held by whoever draws from the global generators: a panel trains beside a cell


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards, even after an error, every module is back in its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def spared(seed: int | None = None) -> Iterator[None]:
    """Put torch's global generators back after what is drawn inside; `seed` seeds the CPU's for that time."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with one_at_a_time, torch.random.fork_rng(devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too
        yield


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Inside, new tensors are float32 and on the CPU unless told otherwise, whatever the caller has set as defaults."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
