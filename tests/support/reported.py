"""A public report as a row of a table: the thread, what was said there, what mixlab gives, and what is right."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor


class Report(NamedTuple):
    thread: str  # owner/repository#number
    says: str
    gives: Callable[[], Any]
    right: Any  # a value, or a function that calculates it


def refused(call: Callable[[], object], error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def judge(report: Report) -> None:
    """What mixlab gives is what is right; of an error, its words are in the message."""
    gives, right = report.gives(), report.right() if callable(report.right) else report.right
    if isinstance(gives, str):
        assert right in gives
    elif isinstance(gives, Tensor):
        torch.testing.assert_close(gives.double(), right.double(), atol=2e-6, rtol=1e-6)
    else:
        assert gives == right
