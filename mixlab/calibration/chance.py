"""What chance alone would show: labels drawn anew from the stated confidences, as if each of them were true."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixlab.calibration.bins import fill_cells
from mixlab.calibration.calibration_error import inner_edges
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import ReliabilityBins
from mixlab.calibration.smooth import smooth_curve

DRAWS, SMOOTH_DRAWS = 1000, 200  # draws behind a band; a smooth curve costs more than a few bins
# Rows whose confidence is the same to 1/FINE are drawn together: a band costs the same for any number of rows.
FINE = 200


@dataclass(frozen=True)
class ChanceBins:
    """A reliability diagram as numbers, and where chance would put the accuracy of each bin.

    Attributes:
        bins: what has been measured.
        low, high: ends of 95% of the accuracies that a calibrated model with these confidences would show: [n_bins]
            float64 on the CPU, NaN where a bin is empty.
    """

    bins: ReliabilityBins
    low: Tensor
    high: Tensor

    @property
    def beyond(self) -> Tensor:
        """The bins whose accuracy chance alone would rarely show: [n_bins] bool."""
        return (self.bins.accuracy < self.low) | (self.bins.accuracy > self.high)


def chance_bins(predictions: Predictions, bins: str, n_bins: int, generator: torch.Generator) -> ChanceBins:
    """Bins of equal width ("width") or equal counts ("mass") with their band, for predictions on the CPU."""
    confidence = predictions.confidence
    inner = inner_edges(predictions, bins, n_bins)
    bars = ReliabilityBins.from_cells(inner, fill_cells(confidence, predictions.correct, inner))
    fine = (confidence * FINE).round().long().clamp(max=FINE) + (FINE + 1) * torch.bucketize(confidence, inner)
    key, group = torch.unique(fine, return_inverse=True)
    size = torch.bincount(group).double()
    return _with_band(bars, size, torch.bincount(group, confidence) / size, key // (FINE + 1), generator)


def chance_of_sums(bins: ReliabilityBins, generator: torch.Generator) -> ChanceBins:
    """The band where only sums are known: each answer has the mean confidence of its bin. A little wider at most."""
    filled = bins.count > 0
    return _with_band(bins, bins.count[filled].double(), bins.confidence[filled], filled.nonzero()[:, 0], generator)


def _with_band(
    bins: ReliabilityBins, size: Tensor, confidence: Tensor, place: Tensor, generator: torch.Generator
) -> ChanceBins:
    """The band from groups of answers: how many, how confident, in which bin."""
    shape = (DRAWS, len(size))
    drawn = torch.binomial(size.expand(shape), confidence.clamp(max=1).expand(shape), generator=generator)
    filled, column = torch.unique(place, return_inverse=True)
    right = torch.zeros(DRAWS, len(filled), dtype=torch.float64).index_add_(1, column, drawn)
    low, high = torch.full((2, len(bins.count)), torch.nan, dtype=torch.float64)
    low[filled] = right.quantile(0.025, 0, interpolation="lower") / bins.count[filled]
    high[filled] = right.quantile(0.975, 0, interpolation="higher") / bins.count[filled]
    return ChanceBins(bins, low, high)


def smooth_band(
    predictions: Predictions, bandwidth: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, and ends of 95%, of the smooth curves of calibrated models, NaN where p has no curve; p on the CPU.

    Each is [points]. The mean is that of the confidences under the kernel, but for the noise of SMOOTH_DRAWS draws.
    """
    other = (predictions.answer + 1) % predictions.num_classes
    curves = []
    for _ in range(SMOOTH_DRAWS):
        right = torch.rand(len(predictions), dtype=torch.float64, generator=generator) < predictions.confidence
        world = replace(predictions, labels=torch.where(right, predictions.answer, other))
        curves.append(smooth_curve(world, bandwidth=bandwidth).accuracy)
    worlds = torch.stack(curves)
    low, high = worlds.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 0)
    return worlds.mean(0), low, high
