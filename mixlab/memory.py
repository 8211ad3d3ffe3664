"""Which batch fits into a device's memory, found once one did not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def largest_fitting(attempt: Callable[[int], object], size: int) -> int | None:
    """The largest even half, quarter, eighth, ... of `size` that `attempt` gets through; None if not even 2 is.

    Args:
        attempt: takes a size; raises torch.OutOfMemoryError where the memory does not suffice.
        size: known not to fit.
    """
    while size > 2:
        size = max(2, size // 4 * 2)
        try:
            attempt(size)
        except torch.OutOfMemoryError:
            continue
        return size
    return None


@contextmanager
def undone(model: nn.Module, *streams: torch.Generator) -> Iterator[None]:
    """Afterwards buffers and generators, torch's own too, are as before, and the model's gradients are gone."""
    device = next(model.parameters()).device
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    states = [(stream, stream.get_state()) for stream in streams]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for stream, state in states:
            stream.set_state(state)
