"""What spares an accelerator waiting for the host, and the host for it: constants that stay, and choices made here."""

from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

import torch
from torch import Tensor

Numbers: TypeAlias = "tuple[float | Numbers, ...]"


@lru_cache(maxsize=256)
def constant(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    """These numbers as a tensor, copied to the device once and kept there; not to be changed by whoever gets it."""
    with torch.inference_mode(mode=False):  # what is made inside of it could not be differentiated by later
        return torch.tensor(numbers, dtype=dtype, device=device)


def host_stream(device: torch.device, generator: torch.Generator | None) -> tuple[torch.device, torch.Generator | None]:
    """Where, and from what, to draw a number that Python must know before it goes on.

    On a CPU it is the generator itself. CUDA would have to be waited for, with all that it has still to do; but its
    generators keep their seed and their place in the stream on the host. So the draw is made here, by a generator that
    is seeded with a hash of these, and the one on CUDA goes on by a place: equal states give equal draws, and later
    ones others.
    """
    if device.type != "cuda":
        return device, generator
    state = torch.cuda.get_rng_state(device) if generator is None else generator.get_state()
    seed = int.from_bytes(blake2b(bytes(state.tolist()), digest_size=8).digest(), "little")
    torch.rand((), device=device, generator=generator)
    host = torch.device("cpu")
    return host, torch.Generator(host).manual_seed(seed)
