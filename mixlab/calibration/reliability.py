"""Calibration from a fixed-size state: does a classifier that says 0.8 hold true in 80% of such cases?

`Reliability` keeps, for each confidence bin and apart for right and wrong answers, a count, a sum and a sum of squares.
Every number below is a function of these; so is the bootstrap, which therefore costs the same for a thousand
predictions as for a billion.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.bins import MAX_BINS, fill_cells, read_cells, width_edges
from mixlab.calibration.bootstrap import binned_intervals
from mixlab.calibration.estimators import ESTIMATORS
from mixlab.calibration.inputs import count_faults, label_column, probs_table, raise_on_rows
from mixlab.calibration.intervals import Interval, normal_interval, share_interval, tails_of
from mixlab.calibration.predictions import is_right
from mixlab.calibration.scores import brier_rows, nll_of_probs

METRICS = ("accuracy", "ece", "mce", "overconfidence", "underconfidence", "nll", "brier")
BINNED = {"accuracy": "accuracy"} | {name: ESTIMATORS[name].metric for name in METRICS if ESTIMATORS[name].metric}


@dataclass(frozen=True)
class ReliabilityBins:
    """The reliability diagram as numbers: float64 tensors on the CPU, NaN where a bin is empty.

    Bin i holds the confidences in (edges[i], edges[i + 1]]; confidence 0 is in the first bin.
    """

    edges: Tensor  # [n_bins + 1]
    count: Tensor  # [n_bins] int64
    confidence: Tensor  # [n_bins] mean confidence
    accuracy: Tensor  # [n_bins] share of right answers

    @classmethod
    def from_cells(cls, inner: Tensor, cells: Tensor) -> "ReliabilityBins":
        """The bins of filled cells [n_bins, 2, 3], between inner edges [n_bins - 1]."""
        edges = torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])
        count, confidence = cells[..., 0].sum(1), cells[..., 1].sum(1)
        return cls(edges, count.long(), confidence / count, cells[:, 1, 0] / count)

    def mean_confidence_and_lean(self) -> tuple[float, str]:
        """Mean confidence, and "over-confident" or "under-confident" if it is off the accuracy by more than chance.

        Chance is two standard errors of the number of right answers, were every confidence true; within it the lean
        is "as confident as right".
        """
        total = float(self.count.sum())
        confidence = float((self.count * self.confidence).nansum()) / total
        accuracy = float((self.count * self.accuracy).nansum()) / total
        if abs(confidence - accuracy) <= 2 * (confidence * (1 - confidence) / total) ** 0.5:
            return confidence, "as confident as right"
        return confidence, "over-confident" if confidence > accuracy else "under-confident"


class Reliability:
    """Streaming calibration metrics of top-1 predictions, in `n_bins` bins of equal width.

    The confidence of a row is its largest probability, its answer the class that holds it (the first one at a tie).
    Bin i of n_bins holds the confidences in (i/n_bins, (i+1)/n_bins]; confidence 0 belongs to the first bin and 1 to
    the last. The edges are rounded to the dtype of the probabilities, so that 0.2 given as float32 lies on the edge 0.2
    of five bins, not just above it. Sums are float64 on `device` (default: where the first update comes from).

    Nothing waits for a CUDA device until a number is read. Rows that are no probabilities raise at once on the CPU; on
    CUDA they are counted there and raise at the first reading, since looking earlier would stop the device.

    n_bins: 1 to 10,000; 15 is the habit of the literature (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", eq. 3).
    """

    def __init__(self, n_bins: int = 15, *, device: torch.device | str | None = None) -> None:
        self.n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
        self._state: Tensor | None = None if device is None else self._zeros(torch.device(device))

    def update(self, probs: Any, labels: Any) -> "Reliability":
        """Add predictions: probs and labels as `Predictions.from_probs` takes them, but N may be 0. Returns self.

        Logits are never guessed: they raise like any row that does not sum to 1. Raises TypeError or ValueError, and
        then nothing has been added.
        """
        probs = probs_table(probs)
        labels = label_column(labels, probs)
        if self._state is not None and probs.device != self._state.device:
            own = self._state.device
            raise ValueError(f"probs must live on {own} like this Reliability, got probs on {probs.device}")
        with torch.no_grad():
            added = _summarize(probs, labels, self.n_bins)
            if probs.device.type == "cpu":
                _raise_on_faults(added)
            self._state = added if self._state is None else self._state + added
        return self

    def merge(self, other: "Reliability") -> "Reliability":
        """Add the predictions that `other` has seen; it is left as it is. Returns self.

        Raises TypeError if `other` is no Reliability, ValueError if its bins differ.
        """
        if not isinstance(other, Reliability):
            raise TypeError(f"other must be a Reliability, got {_check.shown(other)}")
        if other.n_bins != self.n_bins:
            raise ValueError(f"other must have {self.n_bins} bins like this Reliability, got {other.n_bins}")
        if other._state is not None:
            own = torch.zeros_like(other._state) if self._state is None else self._state
            self._state = own + other._state.to(own.device)
        return self

    @property
    def state(self) -> Tensor:
        """A copy of all that it holds: float64 [6 * n_bins + 8] on the CPU, for `from_state`."""
        return self._zeros(torch.device("cpu")) if self._state is None else self._state.to("cpu", copy=True)

    @classmethod
    def from_state(cls, state: Tensor) -> "Reliability":
        """The Reliability whose `state` this was, to the bit.

        Raises TypeError or ValueError unless it is float64 [6 * n_bins + 8] on the CPU for 1 to 10,000 bins.
        """
        wanted = "a float64 tensor of shape [6 * n_bins + 8], as Reliability.state gives it"
        n_bins, rest = divmod(_check.tensor("state", state, wanted).numel() - 8, 6)
        if state.dtype != torch.float64 or state.ndim != 1 or rest or n_bins < 1:
            raise ValueError(f"state must be {wanted}, got {_check.shown(state)}")
        made = cls(n_bins)
        made._state = state.to("cpu", copy=True)
        return made

    def rebinned(self, n_bins: int) -> "Reliability":
        """The same predictions in fewer bins, each of these a whole number of the old ones.

        Raises TypeError or ValueError unless n_bins divides the number of bins.
        """
        n_bins = _check.integer("n_bins", n_bins, 1, self.n_bins)
        if self.n_bins % n_bins:
            raise ValueError(f"n_bins must divide {self.n_bins}, the bins that were filled, got {n_bins}")
        state = self.state
        cells = state[: 6 * self.n_bins].view(n_bins, -1, 6).sum(1)
        return Reliability.from_state(torch.cat([cells.view(-1), state[-8:]]))

    @property
    def count(self) -> int:
        """How many predictions have been added."""
        return 0 if self._state is None else int(self._state[: 6 * self.n_bins].view(-1, 3)[:, 0].sum())

    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self._value("accuracy")

    def ece(self) -> float:
        """Expected calibration error: sum over bins of n_b/n * |acc_b - conf_b| (Guo et al. 2017, eq. 3)."""
        return self._value("ece")

    def mce(self) -> float:
        """Maximum calibration error: the largest |acc_b - conf_b| of a bin that is not empty (ibid., eq. 4)."""
        return self._value("mce")

    def overconfidence(self) -> float:
        """Sum over bins of n_b/n * conf_b * max(conf_b - acc_b, 0) (Thulasidasan et al. 2019, "On Mixup Training")."""
        return self._value("overconfidence")

    def underconfidence(self) -> float:
        """The mirror of `overconfidence`: sum over bins of n_b/n * conf_b * max(acc_b - conf_b, 0).

        The weight conf_b is the same on both sides, so the two add up to a confidence-weighted ECE.
        """
        return self._value("underconfidence")

    def nll(self) -> float:
        """Mean negative log likelihood in nats; infinite as soon as a true class once had probability 0."""
        return self._value("nll")

    def brier(self) -> float:
        """Mean over rows of the sum over classes of (p_k - y_k)^2 (Brier 1950), from 0 to 2."""
        return self._value("brier")

    def bins(self) -> ReliabilityBins:
        """The diagram as numbers; see `ReliabilityBins`."""
        return ReliabilityBins.from_cells(width_edges(self.n_bins, torch.float64), self._read()[0])

    def interval(
        self, metric: str, n: int = 1000, level: float = 0.95, generator: torch.Generator | None = None
    ) -> Interval:
        """One of METRICS with its confidence interval, from `n` bootstrap resamples of the fixed-size state.

        What is covered is the metric of the population, in these bins. A sample's ECE is too high (noise in a bin
        counts as error whatever its sign), and its resamples are higher still: for a calibrated model a plain
        percentile interval never holds the true 0. So the low end inverts a test: worlds are made by shifting the share
        of right answers in each bin until all gaps are a fraction of those seen (for "mce": cut at a fraction of the
        largest), and the low end is the metric of the first world that reaches the value seen in (1 - level) / 2 of its
        resamples (in the manner of Hansen 1999, "The grid bootstrap"). The high end is the percentile one less the
        bootstrap's bias; the value seen is on average no lower than the truth, so this end errs to the safe side.
        "accuracy" takes Wilson's interval, right also where all or none are right; "nll" and "brier" take the normal
        law that their bootstrap tends to.

        Measured coverage of the true ECE by 95% intervals, 15 bins, 400 samples each (percentile interval in brackets):

            n         calibrated    over by 0.02   over by 0.1    under by 0.05
            500       0.97 (0.00)   0.95 (0.00)    0.97 (0.81)    0.97 (0.00)
            2,000     0.97 (0.00)   0.97 (0.03)    0.94 (0.94)    0.98 (0.69)
            10,000    0.96 (0.00)   0.98 (0.61)    0.95 (0.94)    0.95 (0.96)

        "mce" covers 95% to 100% (400 samples each), and is wide, since it hangs on the smallest bins.

        n: at least 100. level: 0.5 to 0.999. generator: on the CPU; by default the same fixed seed each time, so that
        reading twice gives the same interval.
        Raises ValueError for an unknown metric, naming the nearest one, and where nothing has been added.
        """
        _check.choice("metric", metric, METRICS)
        n, level, generator = _check.resampling(n, level, generator)
        cells, totals = self._read()
        if metric == "accuracy":
            return share_interval(self.accuracy(), self.count, level)
        if metric in ("nll", "brier"):
            low, high = normal_interval(cells[..., 0].sum(), *_totals_of(metric, totals), tails_of(level))
        else:
            low, high = binned_intervals(cells, [BINNED[metric]], n, tails_of(level), generator)[BINNED[metric]]
        return Interval(self._value(metric), low, high, self.count, level)

    def __repr__(self) -> str:
        if self.count == 0:
            return f"Reliability(n_bins={self.n_bins}, empty)"
        if self._state is not None and self._state[-4:].any():
            return f"Reliability(n={self.count:,}, unreadable: some rows were no probabilities or had no valid label)"
        return f"Reliability(n={self.count:,}, accuracy {self.accuracy():.3f}, ECE {self.ece():.3f})"

    def _zeros(self, device: torch.device) -> Tensor:
        return torch.zeros(6 * self.n_bins + 8, dtype=torch.float64, device=device)

    def _read(self) -> tuple[Tensor, Tensor]:
        """Cells [n_bins, 2 (wrong, right), 3 (count, sum of confidence, of its square)] and totals [4], on the CPU."""
        state = self._zeros(torch.device("cpu")) if self._state is None else self._state.cpu()
        _raise_on_faults(state)
        cells = state[: 6 * self.n_bins].view(self.n_bins, 2, 3)
        if not cells[..., 0].any():
            raise ValueError("this Reliability is empty: there is nothing to read before update(probs, labels)")
        return cells, state[-8:-4]

    def _value(self, metric: str) -> float:
        cells, totals = self._read()
        if metric in ("nll", "brier"):
            return float(_totals_of(metric, totals)[0] / cells[..., 0].sum())
        return read_cells(BINNED[metric], cells)


def _summarize(probs: Tensor, labels: Tensor, n_bins: int) -> Tensor:
    """One flat state of these rows: the cells, the totals (nll, its square, brier, its square), the four faults."""
    classes = probs.shape[1]
    outside = (labels < 0) | (labels >= classes)
    faults = torch.cat([count_faults(probs), outside.sum()[None]])

    truth = labels.clamp(0, classes - 1)
    conf, nll, brier = probs.amax(1).double(), nll_of_probs(probs, truth), brier_rows(probs, truth)
    totals = torch.stack([nll, nll.square(), brier, brier.square()]).sum(1)

    cells = fill_cells(conf, is_right(probs, truth, conf), width_edges(n_bins, probs.dtype, probs.device))
    return torch.cat([cells.view(-1), totals, faults])


def _raise_on_faults(state: Tensor) -> None:
    raise_on_rows(state[-4:-1])
    outside = int(state[-1])
    if outside:
        raise ValueError(f"labels must hold class labels from 0 to classes - 1, got {outside:,} outside")


def _totals_of(metric: str, totals: Tensor) -> tuple[Tensor, Tensor]:
    return (totals[0], totals[1]) if metric == "nll" else (totals[2], totals[3])
