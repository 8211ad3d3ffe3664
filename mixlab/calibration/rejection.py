"""Accuracy-rejection curve, and the area under the risk-coverage curve (AURC) with its interval."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.intervals import Interval, share_interval
from mixlab.calibration.ks import runs_of_equals
from mixlab.calibration.predictions import Predictions, check_predictions


@dataclass(frozen=True)
class AccuracyRejection:
    """Accuracy of the most confident share, as float64 tensors on the CPU.

    Attributes:
        coverage: [m] share of the predictions that are kept, rising to 1; one point for each distinct confidence.
        accuracy: [m] share of right answers among them.
    """

    coverage: Tensor
    accuracy: Tensor


def accuracy_rejection(predictions: Predictions) -> AccuracyRejection:
    """The accuracy that remains when the least confident answers are given up, at each distinct confidence.

    Raises TypeError if predictions is no Predictions.

    Source: Nadeem et al., "Accuracy-rejection curves (ARCs) for comparing classification methods", MLSB 2010.
    """
    check_predictions(predictions)
    order, size = _descending(predictions)
    kept = size.cumsum(0)
    right = predictions.correct[order].double().cumsum(0)[kept - 1]
    return AccuracyRejection((kept.double() / len(predictions)).cpu(), (right / kept).cpu())


def aurc(predictions: Predictions) -> float:
    """Area under the risk-coverage curve: mean over k = 1 to n of the share of errors among the k most confident.

    Among equal confidences it is the mean over all their orders, so that the order of the rows does not matter.

    Raises TypeError if predictions is no Predictions.

    Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019,
        for the area; Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017, for the
        curve.
    """
    check_predictions(predictions)
    order, size = _descending(predictions)
    error = _mean_of_ties((~predictions.correct[order]).double(), size)
    return float((error.cumsum(0) / _ranks(error)).mean())


def aurc_interval(
    predictions: Predictions, n: int = 1000, level: float = 0.95, generator: torch.Generator | None = None
) -> Interval:
    """AURC with a confidence interval, from the influence of each prediction; nothing is resampled.

    A prediction changes the area by its own error, and by the rank of all below it. The variance of these influences,
    over their number, is that of the area; the interval is Student's on the logarithmic scale, as the area's law is
    skewed, with the degrees of freedom of a variance of values with their kurtosis. Without any error it goes from 0 to
    the high end of Wilson's interval for the share of errors, which is the area of a random order.

    Measured coverage of the population's area by 95% intervals, samples as for `ks_interval`:

        n         calibrated   over by 0.02   over by 0.05   over by 0.1   over and under by up to 0.05
        500       0.96         0.96           0.94           0.94          0.96
        2,000     0.94         0.94           0.95*          0.96          0.96
        10,000    0.95         0.95           0.96           0.95          0.96

    Args:
        predictions: predictions.
        n: not needed, but checked as for `ks_interval`.
        level: is the level of confidence, 0.5 to 0.999.
        generator: not needed, but checked as for `ks_interval`.

    Returns:
        Interval: n is the number of predictions.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.

    Source: Hampel, "The influence curve and its role in robust estimation", JASA 1974, for the area's integral
        of E[error; rank <= c] / c over c from 0 to 1.
    """
    from scipy.special import stdtrit

    check_predictions(predictions)
    _, level, _ = _check.resampling(n, level, generator)
    order, size = _descending(predictions)
    wrong = ~predictions.correct[order]
    error = _mean_of_ties(wrong.double(), size)
    rank = _ranks(error)
    value = float((error.cumsum(0) / rank).mean())
    if value == 0:
        return share_interval(0.0, len(error), level)
    own, moved = (_mean_of_ties(_sums_from_below(each / rank), size) for each in (torch.ones_like(error), error))
    influence = wrong * own - moved + error.mean() - value
    variance = float(influence.square().mean())
    kurtosis = float(influence.pow(4).mean()) / variance**2 if variance else 1.0
    freedom = 2 * len(error) / (kurtosis - 1) if kurtosis > 1 else math.inf
    reach = math.exp(float(stdtrit(freedom, (1 + level) / 2)) * (variance / len(error)) ** 0.5 / value)
    return Interval(value, value / reach, min(value * reach, 1.0), len(predictions), level)


def _descending(p: Predictions) -> tuple[Tensor, Tensor]:
    """Rows [N] from the most confident on, and how many [m] are in each run of equals."""
    conf, order = p.confidence.sort(descending=True)
    return order, runs_of_equals(conf)


def _mean_of_ties(values: Tensor, size: Tensor) -> Tensor:
    """Values [N] with the mean of its run in place of each."""
    total: Tensor = values.cumsum(0)[size.cumsum(0) - 1].diff(prepend=values.new_zeros(1))
    return (total / size).repeat_interleave(size)


def _sums_from_below(values: Tensor) -> Tensor:
    return values.flip(0).cumsum(0).flip(0)


def _ranks(like: Tensor) -> Tensor:
    return torch.arange(1, len(like) + 1, dtype=torch.float64, device=like.device)
