"""What Predictions let in: tensors or arrays, with a column for each class, or for the class 1 of two alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab import _check

TABLE = "a floating-point tensor or array of {} with shape [examples, classes], or of class 1 out of two [examples]"
WHOLE = "; other integer types and shape [batch, 1] are taken too, so for labels that are floats call .long()"


def as_tensor(value: Any) -> Any:
    """A copy of a NumPy array as a tensor, integers as int64; anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return value
    wide = np.int64 if value.dtype.kind in "iu" else np.float64 if value.dtype.itemsize > 8 else value.dtype
    return torch.from_numpy(np.array(value, np.dtype(wide).newbyteorder("="), order="C"))


def float_table(name: str, value: Any, wanted: str) -> Tensor:
    """A tensor or array of floats, as a tensor; raises TypeError, with what is wanted, for anything else."""
    table = _check.tensor(name, as_tensor(value), wanted)
    if not table.is_floating_point():
        raise TypeError(f"{name} must be {wanted}, got {_check.shown(table)}")
    return table


def logits_table(logits: Any) -> Tensor:
    """Logits [N, C], from these or from the logit of class 1 out of two, [N] or [N, 1], beside a logit of 0."""
    return _table("logits", logits, lambda z: torch.stack([torch.zeros_like(z), z], 1))


def probs_table(probs: Any) -> Tensor:
    """Probabilities [N, C], from these or from those of class 1 out of two, [N] or [N, 1]; not yet looked at."""
    return _table("probs", probs, lambda p: torch.stack([(1 - p).clamp(min=0), p], 1))


def label_column(labels: Any, table: Tensor) -> Tensor:
    """Class labels [N] int64 on the device of `table` [N, C], from tensors or arrays of any integer type."""
    column = as_tensor(labels)
    if isinstance(column, Tensor):
        column = column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column
        column = column if column.is_floating_point() or column.is_complex() else column.long()
        column = column.to(table.device) if isinstance(labels, np.ndarray) else column
    rows, classes = table.shape
    return _check.class_labels("labels", column, batch=rows, classes=classes, device=table.device, note=WHOLE)


def count_faults(probs: Tensor) -> Tensor:
    """How many rows [3] are not finite, hold a negative number, or have another sum than 1; waits for no device."""
    if probs.device.type == "cpu" and len(probs) and probs.min() >= 0:
        full = wide(probs)  # a matrix times ones is many times as fast as a sum of short rows
        total = full @ full.new_ones(full.shape[1])
        if (total - 1).abs().max() <= _tolerance(probs.dtype):
            return torch.zeros(3, dtype=torch.int64, device=full.device)
    total = probs.sum(1, dtype=torch.float64)
    finite = total.isfinite()
    negative = finite & (probs.amin(1) < 0)
    loose = finite & ~negative & ((total - 1).abs() > _tolerance(probs.dtype))
    return torch.stack([~finite, negative, loose]).sum(1)


def raise_on_rows(faults: Tensor) -> None:
    """Raise what `count_faults` has counted."""
    counts = [int(count) for count in faults.tolist()]
    if any(counts):
        kinds = ("with NaN or infinity", "with a negative number", "with another sum")
        listed = ", ".join(f"{count:,} {what}" for count, what in zip(counts, kinds, strict=True) if count)
        raise ValueError(
            "probs must hold probabilities, in rows that sum to 1 or of class 1 out of two; for logits call "
            ".softmax(-1) first, or .sigmoid() for those of class 1 alone; "
            f"got {sum(counts):,} wrong rows: {listed}"
        )


def wide(table: Tensor) -> Tensor:
    """float64 as it is, all else as float32."""
    return table if table.dtype == torch.float64 else table.float()


def _tolerance(dtype: torch.dtype) -> float:
    """How far from 1 a row may sum: rounding each entry moves the sum by up to eps / 2, so twice eps is lenient."""
    return max(1e-4, 2 * torch.finfo(dtype).eps)


def _table(name: str, value: Any, both: Callable[[Tensor], Tensor]) -> Tensor:
    """The table [N, C]; `both` makes two columns of the one of class 1."""
    wanted = TABLE.format("logits" if name == "logits" else "probabilities")
    table = float_table(name, value, wanted)
    if table.ndim not in (1, 2) or (table.ndim == 2 and table.shape[1] == 0):
        raise ValueError(f"{name} must be {wanted}, got {_check.shown(table)}")
    if table.ndim == 1 or table.shape[1] == 1:
        return both(table.reshape(-1))
    return table
