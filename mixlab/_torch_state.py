"""What torch keeps for a whole process or model, changed for a while: evaluation mode, the global generators."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

one_at_a_time = threading.RLock()  # held by whoever draws from the global generators: a panel trains beside a cell


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards, also after an error, every module is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def spared(seed: int | None = None) -> Iterator[None]:
    """What is done inside leaves torch's global generators as they were; given a seed, the CPU's begins there."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with one_at_a_time, torch.random.fork_rng(devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too
        yield
