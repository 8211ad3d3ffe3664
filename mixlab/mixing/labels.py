"""What labels of a batch may be: a class each, a class for every pixel, or floats (one-hot, soft, multi-label)."""

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.beta import FLOATS

LABELS = "a tensor of int64 class labels [batch], integer masks [batch, ...], or float targets [batch, ...]"
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_labels(name: str, y: object, batch: int, device: torch.device) -> Tensor:
    """Return `y` if it is labels of any kind for this batch. The loss looks at their values, as it knows the classes.

    Raises:
        TypeError, ValueError: not a tensor, bools, single labels that are not int64, another batch size or device.
    """
    labels = _check.tensor(name, y, LABELS)
    allowed = (torch.int64, *FLOATS) if labels.ndim == 1 else (*_INTEGERS, *FLOATS)
    if labels.ndim == 0 or labels.dtype not in allowed:
        raise TypeError(f"{name} must be {LABELS}, got {_check.shown(labels)}")
    if len(labels) != batch:
        raise ValueError(f"{name} must hold one label for each of the {batch} examples, got {len(labels)} labels")
    _check.same_device(name, labels, device)
    return labels
