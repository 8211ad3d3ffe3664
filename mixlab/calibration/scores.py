"""Accuracy and proper scores of predictions: NLL, Brier, and Murphy's decomposition."""

from dataclasses import dataclass

from torch import Tensor

from mixlab.calibration.bins import read_cells
from mixlab.calibration.calibration_error import cells_of
from mixlab.calibration.predictions import Predictions, check_predictions, square_sums


@dataclass(frozen=True)
class Murphy:
    """The mean squared error of the confidence, (1/N) sum (confidence - correct)^2, taken apart over bins.

    reliability - resolution + uncertainty + within is that mean exactly. With conf_b, acc_b the means of a bin:

    Attributes:
        reliability: sum_b n_b/N (conf_b - acc_b)^2; less is better.
        resolution: sum_b n_b/N (acc_b - acc)^2; more is better.
        uncertainty: acc (1 - acc), which is no doing of the model's confidence.
        within: (1/N) sum_i (conf_i - conf_b)^2 - 2 (conf_i - conf_b) (correct_i - acc_b), what binning leaves out; it
            is 0 if all confidences of a bin are equal, and negative where confidence orders the answers within bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float

    @property
    def brier(self) -> float:
        """The sum of the four: the Brier score of the top-1 answer."""
        return self.reliability - self.resolution + self.uncertainty + self.within


def accuracy(predictions: Predictions) -> float:
    """Share of right answers."""
    return float(check_predictions(predictions).correct.double().mean())


def nll(predictions: Predictions) -> float:
    """Mean negative log likelihood in nats; infinite if a true class was given the probability 0."""
    return float(nll_rows(check_predictions(predictions)).mean())


def brier(predictions: Predictions) -> float:
    """Mean over rows of the sum over classes of (p_k - y_k)^2 (Brier 1950), from 0 to 2."""
    check_predictions(predictions)
    return float(brier_rows(predictions.probs, predictions.labels).mean())


def murphy(predictions: Predictions, *, bins: str = "width", n_bins: int = 15) -> Murphy:
    """Murphy's decomposition of the top-1 answer's Brier score, with what happens within bins.

    Args:
        predictions: predictions.
        bins: "width" or "mass" as for `calibration_error`.
        n_bins: 1 to 10,000.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Murphy 1973, "A new vector partition of the probability score"; the terms within bins are those of
    Stephenson et al. 2008, "Two extra components in the Brier score decomposition", eq. 5, here as one sum.
    """
    cells = cells_of(check_predictions(predictions), bins, n_bins)
    size, conf, right = cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]
    filled, total = size.clamp(min=1), size.sum()
    spread = cells[..., 2].sum() - (conf.square() / filled).sum()
    together = cells[:, 1, 1].sum() - (conf * right / filled).sum()
    accuracy = right.sum() / total
    return Murphy(
        reliability=read_cells("reliability", cells),
        resolution=read_cells("resolution", cells),
        uncertainty=float(accuracy * (1 - accuracy)),
        within=float((spread - 2 * together) / total),
    )


def nll_rows(predictions: Predictions) -> Tensor:
    """NLL of each row in nats, [N] float64."""
    if predictions.given_logits is None:
        return nll_of_probs(predictions.probs, predictions.labels)
    logits = predictions.given_logits  # finite where a probability rounds to 0
    return logits.logsumexp(1).double() - logits.gather(1, predictions.labels[:, None])[:, 0].double()


def nll_of_probs(probs: Tensor, labels: Tensor) -> Tensor:
    """NLL of each row of probabilities [N, C], [N] float64."""
    return -probs.gather(1, labels[:, None])[:, 0].double().log()


def brier_rows(probs: Tensor, labels: Tensor) -> Tensor:
    """Brier score of each row of probabilities [N, C], [N] float64."""
    p_true = probs.gather(1, labels[:, None])[:, 0].double()
    return (1 - p_true).square() + square_sums(probs) - p_true.square()
