"""torch's global generators: they are the process's, so one thread at a time has them, and gives them back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

one_at_a_time = threading.RLock()  # held by whoever draws from them under a name: a panel trains beside a cell


@contextmanager
def spared(seed: int | None = None) -> Iterator[None]:
    """What is done inside leaves torch's global generators as they were; given a seed, the CPU's begins there."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with one_at_a_time, torch.random.fork_rng(devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too
        yield
