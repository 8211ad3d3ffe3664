"""Calibration label by label: of a multi-label model, or of each class of unbalanced data against the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.bins import FEW, MAX_BINS, fill_cells, read_cells, width_edges
from mixlab.calibration.bootstrap import binned_intervals
from mixlab.calibration.classwise import block_interval
from mixlab.calibration.inputs import as_tensor, float_table, wide
from mixlab.calibration.intervals import Interval, tails_of
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.table import IntervalTable, Table

TABLE = "a floating-point tensor or array of {} with shape [examples, labels]"
MULTI_HOT = "a tensor or array of 0 and 1 with shape [examples, labels]"


@dataclass(frozen=True, repr=False, eq=False)
class LabelErrors(IntervalTable):
    """The calibration error of each label by name, as `LabelPredictions.errors` gives it; renders as a table.

    Attributes:
        intervals: the error of each label, with its interval.
        count: how many examples have the label.
        few: names the labels that fewer than 10 examples have, or lack: their errors say little.
        macro: is the mean over labels; `weighted` weights each by its count.
    """

    intervals: Mapping[str, Interval]
    count: Mapping[str, int]
    few: tuple[str, ...]
    macro: Interval
    weighted: Interval

    def _table(self) -> Table:
        rows = [(name, self.count[name], error, "few" * (name in self.few)) for name, error in self.items()]
        total = sum(self.count.values())
        rows += [("mean of labels", total, self.macro, ""), ("mean weighted by n", total, self.weighted, "")]
        texts = [(name, f"{n:,}", *f"{error:.4f}".split(" ", 1), note) for name, n, error, note in rows]
        return Table(("label", "n", "ECE", "interval", ""), texts, self._caption)


@dataclass(frozen=True, repr=False, eq=False)
class LabelPredictions(Mapping[str, Predictions]):
    """What a model says of each of L labels, by name: Predictions of two classes, of which 1 is to have the label.

        each = LabelPredictions.from_logits(logits, y, names)
        mx.plot_intervals({name: mx.estimate(p, "brier") for name, p in each.items()}, quantity="Brier score")
        each.errors()

    Attributes:
        probs: [N, L] float32 or float64, the probability of each label.
        labels: [N, L] bool, whether each example has it.
        given_logits: [N, L], their logits, or None.
        classes: L names.
    """

    probs: Tensor
    labels: Tensor
    given_logits: Tensor | None
    classes: tuple[str, ...]

    @classmethod
    def from_logits(cls, logits: Any, labels: Any, classes: Sequence[str] | None = None) -> "LabelPredictions":
        """Predictions from the logits of a multi-label model, whose sigmoid is the probability of each label.

        Args:
            logits: [N, L] float, finite; a tensor or an array.
            labels: [N, L] of 0 and 1, of any type; an array, or a tensor on the same device.
            classes: L different names (default: "0", "1", ...).

        Raises:
            TypeError, ValueError: an argument of the wrong kind, shape or range.
        """
        table = _table("logits", logits)
        broken = int((~table.isfinite()).any(1).sum())
        if broken:
            raise ValueError(f"logits must be finite, got {broken:,} rows with NaN or infinity")
        return cls(table.sigmoid(), _multi_hot(labels, table), table, _names(classes, table.shape[1]))

    @classmethod
    def from_probs(cls, probs: Any, labels: Any, classes: Sequence[str] | None = None) -> "LabelPredictions":
        """Predictions from the probabilities [N, L] of a multi-label model, from 0 to 1; else as `from_logits`."""
        table = _table("probs", probs)
        outside = int((~((table >= 0) & (table <= 1))).any(1).sum())
        if outside:
            raise ValueError(
                "probs must hold probabilities from 0 to 1; for logits call .sigmoid() first; "
                f"got {outside:,} rows with others"
            )
        return cls(table, _multi_hot(labels, table), None, _names(classes, table.shape[1]))

    @classmethod
    def one_vs_rest(cls, predictions: Predictions) -> "LabelPredictions":
        """Each class of Predictions against all others: its probability, and whether it was the true one."""
        p = check_predictions(predictions)
        truth = p.labels[:, None] == torch.arange(p.num_classes, device=p.labels.device)
        return cls(p.probs, truth, None, _names(p.classes, p.num_classes))

    def __getitem__(self, name: str) -> Predictions:
        place = self.classes.index(_check.choice("name", name, self.classes))
        labels = self.labels[:, place].long()
        if self.given_logits is None:
            return Predictions.from_probs(self.probs[:, place], labels)
        return Predictions.from_logits(self.given_logits[:, place], labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        return f"LabelPredictions({len(self.labels):,} of {len(self)} labels, {int(self.labels.sum()):,} ones)"

    def errors(
        self, n_bins: int = 15, *, n: int = 1000, level: float = 0.95, generator: torch.Generator | None = None
    ) -> LabelErrors:
        """The binned error of each label's probability p: sum_b n_b/N |share with the label - mean p|, with intervals.

        Bins have equal width in p, from 0 to 1. They are not those of the confidence max(p, 1 - p) that `mx.estimate`
        with "ece" takes: there p and 1 - p share a bin, so that a p that is too high at 0.1 and at 0.9 can seem right.
        Intervals of labels are those of `Reliability.interval`. Intervals of the means resample 200 blocks of rows, so
        that labels vary together. In 300 sets each of 500 and 2,000 rows, with eight labels that 1% to 50% of the rows
        have, and logits as drawn or too high by 0.3 or 1, the 95% intervals held the true error in 93% to 99% for each
        label, and in 94% to 100% for the means.

        Args:
            n_bins: 1 to 10,000.
            n: resamples, 100 to 1,000,000.
            level: is the level of confidence, 0.5 to 0.999.
            generator: on the CPU; by default the same fixed seed each time.

        Raises:
            TypeError, ValueError: an argument of the wrong kind or range, or no example with a label, so that nothing
                weights the mean.

        Sources: scikit-learn's `calibration_curve`, for the bins; Nixon et al. 2019, "Measuring Calibration in Deep
        Learning", eq. 4, for the mean over labels.
        """
        n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
        n, level, generator = _check.resampling(n, level, generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        tails, edges = tails_of(level), width_edges(n_bins, self.probs.dtype, self.probs.device)
        rows, count = len(self.labels), self.labels.sum(0).cpu()
        if not count.any():
            raise ValueError("labels must hold at least one 1, got none")
        intervals = []
        for probs, labels in zip(self.probs.T.contiguous(), self.labels.T, strict=True):
            cells = fill_cells(probs.double(), labels, edges).cpu()
            low, high = binned_intervals(cells, ["l1"], n, tails, torch.Generator().manual_seed(seed))["l1"]
            intervals.append(Interval(read_cells("l1", cells), low, high, rows, level))
        values = torch.tensor([one.value for one in intervals], dtype=torch.float64)
        means = []
        for weights in (torch.full_like(values, 1 / len(values)), count / count.sum().double()):
            mean, stream = float(weights @ values), torch.Generator().manual_seed(seed)
            ends = block_interval(mean, self.probs, self.labels, n_bins, n, tails, stream, weights=weights)
            means.append(Interval(mean, *ends, rows, level))
        counts = dict(zip(self.classes, count.tolist(), strict=True))
        few = tuple(name for name, have in counts.items() if min(have, rows - have) < FEW)
        return LabelErrors(dict(zip(self.classes, intervals, strict=True)), counts, few, *means)


def _table(name: str, value: Any) -> Tensor:
    wanted = TABLE.format("logits" if name == "logits" else "probabilities")
    table = float_table(name, value, wanted)
    if table.ndim != 2 or table.numel() == 0:
        raise ValueError(f"{name} must be {wanted} and hold at least one of each, got {_check.shown(table)}")
    return wide(table.detach())


def _multi_hot(labels: Any, table: Tensor) -> Tensor:
    given = as_tensor(labels)
    if isinstance(labels, Tensor):
        _check.same_device("labels", given, table.device)
    given = _check.tensor("labels", given, MULTI_HOT).to(table.device)
    if given.shape != table.shape:
        raise ValueError(f"labels must be {MULTI_HOT}, here {list(table.shape)}, got {_check.shown(given)}")
    others = int(((given != 0) & (given != 1)).sum())
    if others:
        raise ValueError(f"labels must be {MULTI_HOT}, got {others:,} other values")
    return given == 1


def _names(classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count))) if classes is None else classes
    if isinstance(names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) != count:
        raise ValueError(f"classes must be {count} different names or None, got {_check.shown(classes)}")
    return tuple(names)
