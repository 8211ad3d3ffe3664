"""What a classifier said of N examples, and what was true: the input of every estimator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.inputs import (
    as_tensor,
    count_faults,
    label_column,
    logits_table,
    probs_table,
    raise_on_rows,
    wide,
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities and labels of one prediction set; made by `from_logits` or `from_probs`, which check them.

    Attributes:
        probs: [N, C] float32 or float64, each row with a sum of 1.
        labels: [N] int64 class labels, on the same device.
        classes: names of the classes, or None.
        given_logits: [N, C] the logits that it was made from, or None.
        given_dtype: is the dtype in which the probabilities were passed; edges of bins are rounded to it.

    It keeps float32 and float64 tensors as they are, without a copy: do not change them afterwards.
    """

    probs: Tensor
    labels: Tensor
    classes: tuple[str, ...] | None = None
    given_logits: Tensor | None = None
    given_dtype: torch.dtype = torch.float32

    @classmethod
    def from_logits(cls, logits: Any, labels: Any, classes: Sequence[str] | None = None) -> "Predictions":
        """Predictions from what a network gives before its softmax, or its sigmoid.

        Args:
            logits: [N, C] float, finite, N at least 1 and C at least 2; or [N] or [N, 1], the logit of class 1 out of
                two, whose sigmoid is its probability. A tensor or an array; half types are widened to float32.
            labels: [N] or [N, 1] class labels of any integer type, in an array or in a tensor on the same device.
            classes: C names, for pictures and tables.

        Raises:
            TypeError, ValueError: an argument of the wrong kind, shape or range.
        """
        table, column = _let_in("logits", logits_table(logits), labels)
        broken = int((~table.isfinite()).any(1).sum())
        if broken:
            raise ValueError(f"logits must be finite, got {broken:,} rows with NaN or infinity")
        full = wide(table)
        return cls(full.softmax(1), column, _check_classes(classes, table.shape[1]), full, full.dtype)

    @classmethod
    def from_probs(cls, probs: Any, labels: Any, classes: Sequence[str] | None = None) -> "Predictions":
        """Predictions from probabilities. Logits are never guessed: they raise like any row that does not sum to 1.

        A probability of 0 is let in. Only what takes its logarithm minds: the NLL is infinite if it was the true
        class's; then a temperature is refused, and a vector scaling wherever there is one.

        Most estimators look at the answer and its confidence, for class 1 out of two at max(p, 1 - p). "classwise" and
        `mixlab.calibration.multilabel` look at p itself, as `calibration_curve` of scikit-learn does.

        Args:
            probs: [N, C] float, N at least 1 and C at least 2, at least 0, each row with a sum of 1 within 1e-4
                (float16: 2e-3, bfloat16: 1.6e-2, since their rounding adds up); or [N] or [N, 1], the probability of
                class 1 out of two. A tensor or an array, as `predict_proba` of scikit-learn gives it.
            labels: [N] or [N, 1] class labels of any integer type, in an array or in a tensor on the same device.
            classes: C names, for pictures and tables.

        Raises:
            TypeError, ValueError: an argument of the wrong kind, shape or range.
        """
        table, column = _let_in("probs", probs_table(probs), labels)
        raise_on_rows(count_faults(table))
        names, full = _check_classes(classes, table.shape[1]), wide(table)
        if float(full.amax()) > 1:  # by rounding, as the sums are right
            full = full.clamp(max=1)
        return cls(full, column, names, given_dtype=table.dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        accuracy = float(self.correct.double().mean())
        return f"Predictions({len(self):,} of {self.num_classes} classes, accuracy {accuracy:.3f})"

    @property
    def num_classes(self) -> int:
        """C."""
        return self.probs.shape[1]

    @property
    def logits(self) -> Tensor:
        """[N, C] the logits given, or the logarithms of the probabilities given (minus infinity for 0)."""
        return self.probs.log() if self.given_logits is None else self.given_logits

    @cached_property
    def confidence(self) -> Tensor:
        """[N] float64, the largest probability of each row."""
        return self.probs.amax(1).double()

    @cached_property
    def answer(self) -> Tensor:
        """[N] int64, the class that holds it; the first one at a tie."""
        return self.probs.argmax(1)

    @cached_property
    def correct(self) -> Tensor:
        """[N] bool, whether the answer is the label."""
        return is_right(self.probs, self.labels, self.confidence)

    def cpu(self) -> "Predictions":
        """The same on the CPU."""
        return self._each(lambda table: table.cpu())

    def __getitem__(self, rows: Any) -> "Predictions":
        """Some of the rows, by a slice, or a tensor or array of indices or a mask; at least one."""
        rows = as_tensor(rows)
        if not isinstance(rows, (Tensor, slice)):
            raise TypeError(
                f"rows must be a slice, or a tensor or array of indices or a mask, got {_check.shown(rows)}"
            )
        chosen = self._each(lambda table: table[rows])
        if chosen.labels.ndim != 1 or len(chosen) == 0:
            raise ValueError(f"rows must choose at least one of {len(self):,} predictions, got {_check.shown(rows)}")
        return chosen

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Predictions":
        given = None if self.given_logits is None else change(self.given_logits)
        return replace(self, probs=change(self.probs), labels=change(self.labels), given_logits=given)


def check_predictions(value: object, name: str = "predictions") -> Predictions:
    """Return `value` if it is Predictions."""
    if not isinstance(value, Predictions):
        raise TypeError(
            f"{name} must be Predictions, as mx.predict or Predictions.from_logits gives them, got "
            f"{_check.shown(value)}"
        )
    return value


def is_right(probs: Tensor, labels: Tensor, confidence: Tensor) -> Tensor:
    """Whether the first largest of each row is the label, [N] bool; confidence [N] is the largest.

    On the CPU looking for the place of the largest takes several times as long as the largest. A label that holds the
    largest is right, but for an earlier equal; two that are equal are at most a half, so only such rows are searched.
    """
    if probs.device.type != "cpu":
        return probs.argmax(1) == labels
    right = probs.gather(1, labels[:, None])[:, 0] == confidence
    rows = (right & (confidence < 0.51)).nonzero()[:, 0]  # as rows may sum to a little more than 1
    right[rows] = probs[rows].argmax(1) == labels[rows]
    return right


def square_sums(probs: Tensor) -> Tensor:
    """Sum of the squares of each row, [N] in float64, without a float64 copy of the whole."""
    parts = probs.split(max(1, 1_000_000 // probs.shape[1]))  # type: ignore[no-untyped-call]
    return torch.cat([part.double().square().sum(1) for part in parts])


def _let_in(name: str, table: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
    """The table [N, C] without its gradient, and the labels [N], once they fit."""
    if len(table) == 0:
        raise ValueError(f"{name} must hold at least one prediction, got none")
    column = label_column(labels, table)
    classes = table.shape[1]
    if column.device.type != "cpu":
        outside = int(((column < 0) | (column >= classes)).sum())
        if outside:
            raise ValueError(f"labels must hold class labels from 0 to {classes - 1}, got {outside:,} outside")
    return table.detach(), column


def _check_classes(classes: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes) or len(classes) != count:
        raise ValueError(f"classes must be {count} names or None, got {_check.shown(classes)}")
    return tuple(classes)


def mean_nll(logits: Tensor, labels: Tensor) -> float:
    """Mean NLL in nats, float64 for float64."""
    return float(-logits.log_softmax(1).gather(1, labels[:, None]).mean())
