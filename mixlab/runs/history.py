"""The Records of a run as numbers for JSON and a table of reliability states, equal to the last bit when read."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from mixlab.calibration.reliability import Reliability
from mixlab.runs.store import DamagedError, Document, Tensors
from mixlab.training.record import Record

RELIABILITY = "reliability"  # the name of the table among a run's tensors


def record_numbers(record: Record) -> dict[str, Any]:
    """A Record without its reliability, as values for JSON; numbers that are not finite are texts."""
    numbers = {field.name: getattr(record, field.name) for field in fields(record) if field.name != RELIABILITY}
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else str(value)
        for name, value in numbers.items()
    }


def reliability_table(records: Sequence[Record]) -> Tensor:
    """The reliability states of Records, float64 [records, 6 * n_bins + 8]."""
    states = [record.reliability.state for record in records]
    return torch.stack(states) if states else torch.empty(0, dtype=torch.float64, device="cpu")


def records_from(document: Document, tensors: Tensors) -> tuple[Record, ...]:
    """The Records of a stored run; DamagedError if its parts do not fit each other, or this version of mixlab."""
    try:
        rows: list[dict[str, Any]] = [
            {name: float(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in document["records"]
        ]
        states = map(Reliability.from_state, tensors[RELIABILITY])
        return tuple(Record(**row, reliability=state) for row, state in zip(rows, states, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"its history cannot be read: {error!r}") from None
