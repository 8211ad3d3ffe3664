"""A monotone map of the confidence: isotonic regression."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.calibration.predictions import Predictions, check_predictions, mean_nll

_AHEAD = 1e-9  # by how much, relatively, the answer stays ahead where isotonic regression would let another class pass


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A fitted monotone map of the confidence; called on Predictions, it gives Predictions. Answers do not change.

    Attributes:
        confidence, accuracy: [K] float64, the corners of the map, which is straight between them and level outside.
        n: how many predictions it was fitted on.
        nll_before, nll_after: mean NLL of these predictions in nats, as they were and calibrated.
    """

    confidence: Tensor
    accuracy: Tensor
    n: int
    nll_before: float
    nll_after: float

    def __call__(self, predictions: Predictions) -> Predictions:
        """The predictions with the confidence mapped, and the rest of each row scaled so that it sums to 1."""
        check_predictions(predictions)
        answer = predictions.answer[:, None]
        rest = predictions.probs.double().scatter(1, answer, 0.0)
        total = rest.sum(1, keepdim=True)
        even = torch.full_like(rest, 1 / (predictions.num_classes - 1)).scatter(1, answer, 0.0)
        rest = torch.where(total > 0, rest / total, even)
        runner_up = rest.amax(1)
        tie = runner_up / (1 + runner_up)  # the confidence at which the runner-up would have as much
        wanted = torch.maximum(self._mapped(predictions.confidence), tie * (1 + _AHEAD))[:, None]
        return Predictions.from_probs(
            (rest * (1 - wanted)).scatter(1, answer, wanted), predictions.labels, predictions.classes
        )

    def _mapped(self, confidence: Tensor) -> Tensor:
        x, y = (part.to(confidence.device) for part in (self.confidence, self.accuracy))
        if len(x) == 1:
            return y.expand_as(confidence)
        left = (torch.searchsorted(x, confidence) - 1).clamp(0, len(x) - 2)
        place = ((confidence - x[left]) / (x[left + 1] - x[left])).clamp(0, 1)
        return torch.lerp(y[left], y[left + 1], place)

    def __repr__(self) -> str:
        corners = f"{len(self.confidence):,} corners, n = {self.n:,}"
        return f"Isotonic({corners}, NLL {self.nll_before:.4f} -> {self.nll_after:.4f})"


def fit_isotonic(predictions: Predictions) -> Isotonic:
    """The monotone map from confidence to accuracy that is nearest in squares, by `scipy.optimize.isotonic_regression`.

    It maps the confidence of the answer alone. One map for each class, then normalized (Zadrozny and Elkan's way),
    needs C times the data, changes answers, and leaves the confidence that a row ends with calibrated by nothing. Here
    the answer stays, and with it accuracy: its probability is held just above the runner-up's where the map would let
    that pass. The other classes keep their proportions (equal shares where all had 0). A share of right answers counts
    as 1 - 1/(n + 2) at most and 1/(n + 2) at least (Laplace's rule for n out of n), so that one wrong answer does not
    cost an infinite NLL.

    Args:
        predictions: held-out predictions.

    Raises:
        TypeError: p is no Predictions.

    Source: Zadrozny, Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
    """
    check_predictions(predictions)
    # scipy's and not scikit-learn's, which is the same map but takes 70 MB of a lesson's memory
    from scipy.optimize import isotonic_regression

    level, place, count = torch.unique(predictions.confidence.cpu(), return_inverse=True, return_counts=True)
    share = torch.zeros_like(level).index_add(0, place, predictions.correct.double().cpu()) / count
    least = 1 / (len(predictions) + 2)
    fitted = torch.from_numpy(isotonic_regression(share.numpy(), weights=count.double().numpy()).x)
    fitted = fitted.clamp(least, 1 - least)
    bend = torch.ones(len(level), dtype=torch.bool)  # a point between two equal ones is no corner
    bend[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    x, y = (part[bend].to(predictions.labels.device) for part in (level, fitted))
    after = Isotonic(x, y, len(predictions), math.nan, math.nan)(predictions)
    return Isotonic(
        x,
        y,
        len(predictions),
        mean_nll(predictions.logits.double(), predictions.labels),
        mean_nll(after.logits, predictions.labels),
    )
