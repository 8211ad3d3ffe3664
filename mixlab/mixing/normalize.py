"""Bringing images to what a network takes: (v/255 − mean)/std of uint8 images, (v − mean)/std of float ones."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.beta import FLOATS
from mixlab.mixing.blend import values
from mixlab.mixing.constants import constant

Statistics: TypeAlias = tuple[Sequence[float] | Tensor, Sequence[float] | Tensor]
"""(mean, std), each a number, or one for each channel, in units where black is 0 and white is 1.

Numbers are copied to the images' device once; tensors on CUDA are waited for every time."""


def normalized(x: Tensor, normalize: Statistics | None) -> Tensor:
    """Images as the network takes them, without mixing; rounded once, as `MixPlan.apply` does it.

    Args:
        x: is [B, C, H, W], uint8 or float; it is not changed.
        normalize: is (mean, std); with None x is returned as it is, for images that are normalized already.

    Returns:
        [B, C, H, W] of x's type, float32 for uint8; laid out as x is.

    Raises:
        TypeError, ValueError: x that is no images, or (mean, std) that do not fit them; uint8 without normalize.
    """
    check_given(x, normalize)
    if normalize is None:
        return x
    check_normalized(x)
    scale, shift = scale_and_shift(x, normalize)
    return values(x, scale, shift).to(torch.float32 if x.dtype == torch.uint8 else x.dtype)


def check_given(x: Tensor, normalize: Statistics | None) -> None:
    """Raise if x is uint8 and nothing says how a network is to see it."""
    if x.dtype == torch.uint8 and normalize is None:
        raise ValueError("normalize must be (mean, std) for uint8 images, got None")


def check_normalized(x: Tensor) -> None:
    """Raise unless x is images that can be normalized."""
    if x.ndim != 4 or x.dtype not in (*FLOATS, torch.uint8):
        wanted = "float or uint8 images [batch, channels, height, width] to be normalized"
        raise ValueError(f"x must be {wanted}, got {_check.shown(x)}")


def scale_and_shift(x: Tensor, normalize: Statistics) -> tuple[Tensor, Tensor]:
    """(v/unit − mean)/std as v * scale + shift, each [1, C, 1, 1]; not to be changed."""
    try:
        mean, std = normalize
        center, spread = (_numbers(part) for part in (mean, std))
    except (TypeError, ValueError, RuntimeError):
        wanted = "(mean, std), each a number per channel"
        raise TypeError(f"normalize must be {wanted}, got {_check.shown(normalize)}") from None
    channels = x.shape[1]
    for name, part in (("mean", center), ("std", spread)):
        if len(part) not in (1, channels) or not all(map(math.isfinite, part)):
            raise ValueError(
                f"normalize must hold one finite {name} for each of the {channels} channels, got {list(part)}"
            )
    if not all(value > 0 for value in spread):
        raise ValueError(f"normalize must hold positive standard deviations, got {list(spread)}")
    unit = 255.0 if x.dtype == torch.uint8 else 1.0
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    center, spread = (part * (channels // len(part)) for part in (center, spread))
    scale = tuple(1 / (unit * deviation) for deviation in spread)
    shift = tuple(-middle / deviation for middle, deviation in zip(center, spread, strict=True))
    scale_there, shift_there = (constant(part, kind, x.device).view(1, -1, 1, 1) for part in (scale, shift))
    return scale_there, shift_there


def _numbers(part: Sequence[float] | Tensor) -> tuple[float, ...]:
    """A number or several, as floats on the host."""
    numbers = part if isinstance(part, Tensor) else torch.as_tensor(part, dtype=torch.float64, device="cpu")
    return tuple(numbers.to(torch.float64).flatten().tolist())
