"""What a mix is written into: its type, its memory layout, and whether a tensor of the caller's will do."""

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.beta import FLOATS


def result_dtype(x: Tensor, *, is_normalized: bool, dtype: torch.dtype | None) -> torch.dtype:
    """The type of the mixes: as asked for, else x's own, or float32 of uint8 images that are normalized."""
    natural = torch.float32 if is_normalized and x.dtype == torch.uint8 else x.dtype
    if dtype is None or dtype == natural:
        return natural
    if dtype not in FLOATS:
        own = "" if natural in FLOATS else f"{_name(natural)} or "
        raise TypeError(f"dtype must be {own}a float type, got {_check.shown(dtype)}")
    return dtype


def layout_of(x: Tensor) -> torch.memory_format:
    """channels_last, or channels_last_3d, for what lies so, else contiguous."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    lies_so = last is not None and x.is_contiguous(memory_format=last) and not x.is_contiguous()
    return last if last is not None and lies_so else torch.contiguous_format


def check_out(out: Tensor, x: Tensor, dtype: torch.dtype, shape: tuple[int, ...], layout: torch.memory_format) -> None:
    """Raise unless `out` can take the result."""
    wanted = f"a {_name(dtype)} tensor of shape {list(shape)} on {x.device}"
    _check.tensor("out", out, wanted)
    if out.shape != shape or out.dtype != dtype or out.device != x.device:
        raise ValueError(f"out must be {wanted}, got {_check.shown(out)} on {out.device}")
    if not out.is_contiguous(memory_format=layout):
        raise ValueError(f"out must be laid out like x ({_name(layout)}), got strides {list(out.stride())}")
    if out.requires_grad or needs_gradient(x):
        raise ValueError("out must be None where x or out needs a gradient, got a tensor")
    (first, last), (x_first, x_last) = _span(out), _span(x)
    if x.device.type != "meta" and first < x_last and x_first < last:
        raise ValueError("out must share no memory with x, which is not changed; got memory that overlaps")


def needs_gradient(x: Tensor) -> bool:
    """Whether autograd follows x here."""
    return torch.is_grad_enabled() and x.requires_grad


def _span(x: Tensor) -> tuple[int, int]:
    """Addresses of a tensor's first byte and of the one after its last."""
    elements = 1 + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + elements * x.element_size()


def _name(value: object) -> str:
    """float32 for torch.float32."""
    return str(value).removeprefix("torch.")
