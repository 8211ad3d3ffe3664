"""What a classifier said of N examples, and what was true: the input of every estimator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mixlab import _check

PROBS = "a floating-point tensor of probabilities with shape [examples, classes]"
LOGITS = "a floating-point tensor of logits with shape [examples, classes]"
BINARY = "for the probability p of class 1 out of two give torch.stack([1 - p, p], -1)"


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
    def from_logits(cls, logits: Tensor, labels: Tensor, classes: Sequence[str] | None = None) -> "Predictions":
        """Predictions from what a network gives before its softmax.

        Args:
            logits: [N, C] float, finite, N at least 1 and C at least 2; half types are widened to float32.
            labels: [N] int64 class labels on the same device.
            classes: C names, for pictures and tables.

        Raises:
            TypeError, ValueError: an argument of the wrong kind, shape or range.
        """
        _check_table("logits", logits, LOGITS)
        labels = _check_labels(logits, labels)
        broken = int((~logits.isfinite()).any(1).sum())
        if broken:
            raise ValueError(f"logits must be finite, got {broken:,} rows with NaN or infinity")
        wide = _wide(logits.detach())
        return cls(wide.softmax(1), labels, _check_classes(classes, logits.shape[1]), wide, wide.dtype)

    @classmethod
    def from_probs(cls, probs: Tensor, labels: Tensor, classes: Sequence[str] | None = None) -> "Predictions":
        """Predictions from probabilities. Logits are never guessed: they raise like any row that does not sum to 1.

        Args:
            probs: [N, C] float, N at least 1 and C at least 2, at least 0, each row with a sum of 1 within 1e-4
                (float16: 2e-3, bfloat16: 1.6e-2, since their rounding adds up).
            labels: [N] int64 class labels on the same device.
            classes: C names, for pictures and tables.

        Raises:
            TypeError, ValueError: an argument of the wrong kind, shape or range.
        """
        _check_table("probs", probs, PROBS)
        labels = _check_labels(probs, labels)
        raise_on_rows(count_faults(probs))
        names, wide = _check_classes(classes, probs.shape[1]), _wide(probs.detach())
        if float(wide.amax()) > 1:  # by rounding, as the sums are right
            wide = wide.clamp(max=1)
        return cls(wide, labels, names, given_dtype=probs.dtype)

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

    def __getitem__(self, rows: Tensor | slice) -> "Predictions":
        """Some of the rows, by a slice, indices or a mask; at least one."""
        if not isinstance(rows, (Tensor, slice)):
            raise TypeError(f"rows must be a slice, or a tensor of indices or a mask, got {_check.shown(rows)}")
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


def count_faults(probs: Tensor) -> Tensor:
    """How many rows [3] are not finite, hold a negative number, or have another sum than 1; waits for no device."""
    if probs.device.type == "cpu" and len(probs) and probs.min() >= 0:
        wide = _wide(probs)  # a matrix times ones is many times as fast as a sum of short rows
        total = wide @ wide.new_ones(wide.shape[1])
        if (total - 1).abs().max() <= _tolerance(probs.dtype):
            return torch.zeros(3, dtype=torch.int64, device=wide.device)
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
            "probs must hold probabilities, in rows that sum to 1; for logits call .softmax(-1) first; "
            f"got {sum(counts):,} wrong rows: {listed}"
        )


def _tolerance(dtype: torch.dtype) -> float:
    """How far from 1 a row may sum: rounding each entry moves the sum by up to eps / 2, so twice eps is lenient."""
    return max(1e-4, 2 * torch.finfo(dtype).eps)


def _wide(table: Tensor) -> Tensor:
    return table if table.dtype == torch.float64 else table.float()


def _check_table(name: str, table: Tensor, wanted: str) -> None:
    _check.tensor(name, table, wanted)
    if not table.is_floating_point():
        raise TypeError(f"{name} must be {wanted}, got {_check.shown(table)}")
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"{name} must be {wanted} and at least 2 classes, got {_check.shown(table)}; {BINARY}")
    if len(table) == 0:
        raise ValueError(f"{name} must hold at least one prediction, got {_check.shown(table)}")


def _check_labels(table: Tensor, labels: Tensor) -> Tensor:
    classes = table.shape[1]
    _check.class_labels("labels", labels, batch=len(table), classes=classes, device=table.device)
    if labels.device.type != "cpu":
        outside = int(((labels < 0) | (labels >= classes)).sum())
        if outside:
            raise ValueError(f"labels must hold class labels from 0 to {classes - 1}, got {outside:,} outside")
    return labels


def _check_classes(classes: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes) or len(classes) != count:
        raise ValueError(f"classes must be {count} names or None, got {_check.shown(classes)}")
    return tuple(classes)


def mean_nll(logits: Tensor, labels: Tensor) -> float:
    """Mean NLL in nats, float64 for float64."""
    return float(-logits.log_softmax(1).gather(1, labels[:, None]).mean())
