"""The α–β swap of the reference code, where gco-wrapper is installed: a local minimum, beside the exact one."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

INSTALL = "pip install gco-wrapper"
_FINEST = 1e6  # the largest cost, in whole numbers; gco refuses more than 1e7


def installed() -> bool:
    """Whether gco can be imported."""
    return find_spec("gco") is not None


def swap_labels(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Labels by α–β swap until no swap helps, int64 [N, height, width]; arguments as of `gridcut.least_energy`.

    Costs are rounded to a millionth of the largest. (The official code of Puzzle Mix rounds them more coarsely.)

    Source: Boykov, Veksler and Zabih, "Fast approximate energy minimization via graph cuts", 2001; gco-wrapper.
    """
    gco = import_module("gco")  # which gives numpy its old names back: int, float and bool
    levels = unary.shape[1]
    label = np.arange(levels)
    apart = (label[:, None] - label) ** 2
    found = []
    for problem in zip(unary, down / (levels - 1) ** 2, right / (levels - 1) ** 2, strict=True):
        largest = max(float(part.abs().max()) for part in problem if part.numel())
        cell, below, beside = (
            (part.double() * (_FINEST / max(largest, 1e-30))).round().int().numpy() for part in problem
        )
        labels = gco.cut_grid_graph(cell.transpose(1, 2, 0).copy(), apart, below, beside, algorithm="swap")
        found.append(torch.from_numpy(labels).long().view(unary.shape[2:]))
    return torch.stack(found)


def energy_of(labels: Tensor, unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The energy of labels [N, height, width] in float64, [N]; the rest as of `gridcut.least_energy`."""
    share = labels.double() / (unary.shape[1] - 1)
    total = unary.double().gather(1, labels[:, None]).sum((1, 2, 3))
    total = total + (down * share.diff(dim=1).square()).sum((1, 2))
    return total + (right * share.diff(dim=2).square()).sum((1, 2))
