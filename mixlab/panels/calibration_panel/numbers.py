"""What the calibration panel says of a run at a temperature: the oracle of numbers.js.

The logits go to the browser in float32; softmax and sums are float64 here and there, and confidences are rounded to
float32, as a network gives them, so that ties stay ties.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.calibration import estimators
from mixlab.calibration.bins import fill_cells, mass_edges, read_cells, width_edges
from mixlab.calibration.bootstrap import binned_intervals
from mixlab.calibration.intervals import Interval, tails_of
from mixlab.calibration.reliability import ReliabilityBins

# Errors of the top-1 answer in bins, of either kind: the panel's own choice of bins takes the place of the table's.
ESTIMATORS = {
    name: estimator
    for name, estimator in estimators.ESTIMATORS.items()
    if estimator.metric and estimator.bins == "width" and name != "resolution"
}
_RESAMPLES = 1000
_LEVEL = 0.95


@dataclass(frozen=True)
class Numbers:
    """What the panel says of a run at a temperature; `lean` is "over-confident", "under-confident" or neither."""

    temperature: float
    accuracy: float
    confidence: float  # the mean
    nll: float  # nats
    brier: float
    estimate: Interval
    lean: str


@dataclass(frozen=True, eq=False)
class Run:
    """A run as the browser has it. `table` [N, C] float32 holds logits, or probabilities where `probs` says so."""

    name: str
    table: Tensor
    labels: Tensor
    probs: bool
    fitted: float | None  # the temperature of least NLL, None where there is none

    def _log_probs(self, temperature: float) -> Tensor:
        logits = self.table.double().log() if self.probs else self.table.double()
        return (logits / temperature).log_softmax(1)

    def bins(self, temperature: float, kind: str, n_bins: int) -> tuple[Tensor, ReliabilityBins]:
        """The cells of mixlab.calibration.bins at a temperature, and the reliability diagram."""
        confidence = self._log_probs(temperature).amax(1).exp().float().double()
        inner = mass_edges(confidence, n_bins) if kind == "mass" else width_edges(n_bins, torch.float32)
        cells = fill_cells(confidence, self.table.argmax(1) == self.labels, inner)
        return cells, ReliabilityBins.from_cells(inner, cells)

    def measure(self, temperature: float, kind: str, n_bins: int, estimator: str) -> Numbers:
        """All numbers of the panel at a temperature, in bins of equal "width" or "mass"."""
        log_probs = self._log_probs(temperature)
        probs, truth = log_probs.exp(), self.labels[:, None]
        brier = probs.square().sum(1) - 2 * probs.gather(1, truth)[:, 0] + 1
        cells, bins = self.bins(temperature, kind, n_bins)
        confidence, lean = bins.mean_confidence_and_lean()
        metric = ESTIMATORS[estimator].metric
        generator = torch.Generator().manual_seed(0)
        low, high = binned_intervals(cells, [metric], _RESAMPLES, tails_of(_LEVEL), generator)[metric]
        return Numbers(
            temperature=temperature,
            accuracy=float(cells[:, 1, 0].sum()) / len(self.labels),
            confidence=confidence,
            nll=-float(log_probs.gather(1, truth).mean()),
            brier=float(brier.mean()),
            estimate=Interval(read_cells(metric, cells), low, high, len(self.labels), _LEVEL),
            lean=lean,
        )
