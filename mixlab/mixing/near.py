"""Partners whose labels are near, for labels that are numbers (C-Mixup)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.beta import FLOATS


@dataclass(frozen=True)
class Near:
    """Draws as partner of example i example j of the batch with probability ∝ exp(−|y_i − y_j|² / 2σ²).

        Mixer("mixup", partners=Near(0.5), distinct=True)

    Unless `distinct`, an example may be drawn for itself, its probability the largest of all, as in the paper and its
    code. Not everyone need be somebody's partner. The code can draw from the whole training set as well.

    Args:
        bandwidth: is σ, in units of the labels, from 1e-30 to 1e30. A large one makes all others equally likely.

    Source: Yao et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022, equation 6.
    """

    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", _check.number("bandwidth", self.bandwidth, 1e-30, 1e30))

    def log_chances(self, y: Tensor, *, distinct: bool) -> Tensor:
        """The logarithms of all probabilities, less a constant for each row: float64 [B, B] of labels [B, ...]."""
        rows = y.double().reshape(len(y), -1)
        distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
        logs = (distances / self.bandwidth).square() / -2
        return logs.fill_diagonal_(-math.inf) if distinct else logs

    def check(self, y: Tensor) -> None:
        """Raise TypeError unless the labels are floats; they may be on the meta device."""
        if y.dtype not in FLOATS:
            raise TypeError(
                f"partners must be 'random', 'roll' or 'reversed' where labels are classes, got {self}, which finds "
                f"near ones among float labels [batch, ...], and labels that are {_check.shown(y)}"
            )

    def draw(self, y: Tensor | None, *, distinct: bool, generator: torch.Generator | None) -> Tensor:
        """Partners int64 [B] for float labels y [B, ...], at least two if `distinct`.

        Each is where log p + a Gumbel number is largest, so that also where all others are far, and every exp(…) would
        be 0 in floats, the nearest are drawn.
        """
        if y is None:
            raise TypeError(f"y must be float labels [batch, ...] to find near ones by partners={self}, got None")
        self.check(y)
        if y.device.type == "cpu" and not bool(y.isfinite().all()):
            raise ValueError(f"y must be finite for partners={self}, got NaN or infinity")
        logs = self.log_chances(y, distinct=distinct)
        return (logs - torch.empty_like(logs).exponential_(generator=generator).log()).argmax(1)
