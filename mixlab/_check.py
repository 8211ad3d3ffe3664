"""Argument checks whose messages have one form: the argument's name, what is allowed, what was given."""

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

CLASS_LABELS = "a tensor of int64 class labels with shape [batch]"
SEED_MAX = 2**63 - 1  # torch takes 64 bits; one is left for a caller that makes two streams of a seed


def shown(value: Any) -> str:
    """A value as error messages show it: tensors and long arrays by dtype and shape, the rest by 60 letters of repr."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{'an' if dtype.startswith('int') else 'a'} {dtype} tensor of shape {list(value.shape)}"
    text = " ".join(repr(value).split())
    if len(text) > 60 and isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype} and shape {list(value.shape)}"
    return text if len(text) <= 60 else text[:57] + "..."


def number(name: str, value: Any, low: float, high: float, *, note: str = "") -> float:
    """Return `value` as a float if it is a finite number in [low, high]; the bounds may be infinite."""
    span = "a finite number" if math.isinf(low) and math.isinf(high) else f"a number from {low:g} to {high:g}"
    allowed = f"{name} must be {span}{note}, got "
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(allowed + shown(value))
    try:
        result = float(value)
    except (TypeError, ValueError, RuntimeError):  # as numpy and torch answer for more than one number
        raise TypeError(allowed + shown(value)) from None
    except OverflowError:  # an integer beyond any float
        raise ValueError(allowed + shown(value)) from None
    if not (math.isfinite(result) and low <= result <= high):
        raise ValueError(allowed + shown(result if isinstance(value, Tensor) else value))
    return result


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int if it is a whole number in [low, high]."""
    span = f"of at least {low}" if high is None else f"from {low} to {high}"
    allowed = f"{name} must be an integer {span}, got {shown(value)}"
    if isinstance(value, bool):
        raise TypeError(allowed)
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(allowed) from None
    if result < low or (high is not None and result > high):
        raise ValueError(allowed)
    return result


def choice(name: str, value: Any, allowed: Iterable[str], *, note: str = "") -> str:
    """Return `value` if it is one of `allowed`; otherwise name the nearest one."""
    options = list(allowed)
    if isinstance(value, str) and value in options:
        return options[options.index(value)]  # which a member of an Enum of texts is equal to, but not the same as
    near = difflib.get_close_matches(str(value).lower(), options, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}{note}, got {shown(value)}{hint}")


def flag(name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return value


def tensor(name: str, value: Any, what: str) -> Tensor:
    """Return `value` if it is a tensor; `what` says which tensor was wanted."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {what}, got {shown(value)}")
    return value


def class_labels(
    name: str,
    value: Any,
    *,
    batch: int | None = None,
    classes: int | None = None,
    device: torch.device | None = None,
    note: str = "",
) -> Tensor:
    """Return `value` if it is int64 [batch]; the range is read on CPU only, so that CUDA never waits for it."""
    labels = tensor(name, value, CLASS_LABELS + note)
    if labels.dtype != torch.int64 or labels.ndim != 1:
        raise TypeError(f"{name} must be {CLASS_LABELS}{note}, got {shown(labels)}")
    if batch is not None and len(labels) != batch:
        raise ValueError(f"{name} must hold one label for each of the {batch} examples, got {len(labels)} labels")
    if device is not None:
        same_device(name, labels, device)
    if labels.device.type == "cpu" and len(labels):
        low, high = (int(edge) for edge in torch.aminmax(labels))
        if low < 0 or (classes is not None and high >= classes):
            span = "of at least 0" if classes is None else f"from 0 to {classes - 1}"
            raise ValueError(f"{name} must hold class labels {span}, got labels from {low} to {high}")
    return labels


def below(name: str, value: Tensor, count: int, what: str) -> None:
    """Raise unless whole numbers lie from 0 to `count` − 1; they are read on CPU only."""
    if value.device.type == "cpu" and value.numel():
        low, high = (int(edge) for edge in torch.aminmax(value))
        if low < 0 or high >= count:
            raise ValueError(f"{name} must hold {what} from 0 to {count - 1}, got {low} to {high}")


def same_device(name: str, value: Tensor, device: torch.device) -> None:
    """Raise unless `value` lies on `device`."""
    if value.device != device:
        raise ValueError(f"{name} must be on the same device as the rest, {device}, got a tensor on {value.device}")


def device(name: str, value: Any) -> torch.device:
    """Return `value` as a device that this machine has and that can hold numbers."""
    wanted = f'{name} must be a device of this machine, such as "cpu" or "cuda", got {shown(value)}'
    if not isinstance(value, (str, torch.device)):
        raise TypeError(wanted)
    try:
        place = torch.device(value)
        torch.zeros(1, device=place).cpu()
    except (RuntimeError, AssertionError, NotImplementedError):  # no such name; a build without it; "meta"
        raise ValueError(wanted) from None
    return place


def generator(value: Any, device: torch.device) -> torch.Generator | None:
    """Return `value` if it is None or a generator of `device`."""
    if value is None:
        return None
    if not isinstance(value, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {shown(value)}")
    other_index = None not in (value.device.index, device.index) and value.device.index != device.index
    if value.device.type != device.type or other_index:
        raise ValueError(f"generator must live on {device}, where it draws, got one on {value.device}")
    return value


def resampling(n: Any, level: Any, source: Any) -> tuple[int, float, torch.Generator]:
    """Check the settings of a resampled interval; the default generator starts at the same seed each time."""
    n = integer("n", n, 100, 1_000_000)
    level = number("level", level, 0.5, 0.999)
    return n, level, generator(source, torch.device("cpu")) or torch.Generator().manual_seed(0)
