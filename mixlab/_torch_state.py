"""State of a whole model or process, changed for a while and put back: evaluation mode, torch's global generators."""

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
