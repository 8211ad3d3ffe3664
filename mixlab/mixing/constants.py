"""Constants as tensors that stay on their device: copied there once, so that no step of training copies them again."""

from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

Numbers: TypeAlias = "tuple[float | Numbers, ...]"


@lru_cache(maxsize=256)
def constant(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    """These numbers as a tensor, copied to the device once and kept there; not to be changed by whoever gets it."""
    with torch.inference_mode(mode=False):  # what is made inside of it could not be differentiated by later
        return torch.tensor(numbers, dtype=dtype, device=device)
