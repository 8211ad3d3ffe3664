"""Digests of values and tensors, the same in every process and on every machine."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor


def canonical(value: Any) -> str:
    """JSON in one form only: sorted keys, no spaces, no number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str) -> str:
    """Of the text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """The sha256 of names, types, shapes and values, whatever the layout in memory or the device."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
