"""A scale and a shift for the logit of each class, fitted by NLL."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.calibration.predictions import Predictions, check_predictions, mean_nll

_STEPS = 100  # Newton steps at most; ten are many
_PRIOR = 10.0  # standard deviation of the shifts, and of the scales times the size of the logits


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """A fitted scale and shift of each class's logit; called on Predictions, it gives Predictions. Answers may change.

    Attributes:
        scale, shift: [C] float64; the shifts have mean 0, as a constant added to all of them changes nothing.
        n: how many predictions it was fitted on.
        nll_before, nll_after: mean NLL of these predictions in nats, as they were and calibrated.
    """

    scale: Tensor
    shift: Tensor
    n: int
    nll_before: float
    nll_after: float

    def __call__(self, predictions: Predictions) -> Predictions:
        """Predictions of scale * logits + shift."""
        logits = _finite_logits(predictions)
        if predictions.num_classes != len(self.scale):
            raise ValueError(
                f"predictions must be of {len(self.scale)} classes, as what was fitted, got {predictions.num_classes}"
            )
        scale, shift = (part.to(logits.device) for part in (self.scale, self.shift))
        return Predictions.from_logits(
            (logits.double() * scale + shift).to(logits.dtype), predictions.labels, predictions.classes
        )

    def __repr__(self) -> str:
        low, high = (float(edge) for edge in torch.aminmax(self.scale))
        return (
            f"VectorScaling({len(self.scale)} classes, scales {low:.3f} to {high:.3f}, n = {self.n:,}, "
            f"NLL {self.nll_before:.4f} -> {self.nll_after:.4f})"
        )


def fit_vector_scaling(predictions: Predictions) -> VectorScaling:
    """A scale and a shift for the logit of each class, by NLL: softmax(scale * logits + shift), Newton in float64.

    A normal prior of mean 0 and deviation 10, on each shift and on each scale times the root mean square of the logits,
    keeps the fit finite where a class is absent or all answers are right; elsewhere it is too weak to matter, if the
    logits of a row lie about 0. Unlike a temperature, the fit depends on what was added to the logits of a row, so it
    wants them as the network gave them.

    Args:
        predictions: held-out predictions with finite logits.

    Raises:
        TypeError, ValueError: p is no Predictions, or has a probability of 0 and so no finite logit.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    logits = _finite_logits(predictions).double()
    size = float(logits.square().mean().sqrt()) or 1.0
    z = logits / size
    theta = torch.zeros(2, predictions.num_classes, dtype=torch.float64, device=z.device)

    def total(theta: Tensor) -> Tensor:
        """The sum of the NLLs, less the logarithm of the prior."""
        log_probs = (z * theta[0] + theta[1]).log_softmax(1)
        return theta.square().sum() / (2 * _PRIOR**2) - log_probs.gather(1, predictions.labels[:, None]).sum()

    now = total(theta)
    for _ in range(_STEPS):
        slope, curvature = _vector_derivatives(z, predictions.labels, theta)
        step = torch.linalg.solve(curvature, slope.flatten()).view_as(theta)
        gain = float((step * slope).sum())  # twice what a parabola would fall
        if gain < 1e-12 * len(predictions):
            break
        share = 1.0
        while share > 1e-6 and not total(theta - share * step) <= now - 1e-4 * share * gain:
            share /= 2
        theta = theta - share * step
        now = total(theta)
    scale, shift = theta[0] / size, theta[1] - theta[1].mean()
    return VectorScaling(
        scale,
        shift,
        len(predictions),
        mean_nll(logits, predictions.labels),
        mean_nll(logits * scale + shift, predictions.labels),
    )


def _vector_derivatives(z: Tensor, labels: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient [2, C] and Hessian [2C, 2C], by scales and shifts, of vector scaling's objective."""
    classes = z.shape[1]
    probs = (z * theta[0] + theta[1]).softmax(1)
    both = torch.cat([z * probs, probs], 1)
    curvature = -(both.T @ both)
    for row, column, power in ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        block = curvature[row * classes : (row + 1) * classes, column * classes : (column + 1) * classes]
        block.diagonal().add_((z**power * probs).sum(0))
    curvature.diagonal().add_(_PRIOR**-2)
    residual = probs.scatter_add(1, labels[:, None], torch.full_like(z[:, :1], -1.0))
    return torch.stack([(z * residual).sum(0), residual.sum(0)]) + theta / _PRIOR**2, curvature


def _finite_logits(p: Predictions) -> Tensor:
    """The logits, once none is minus infinity."""
    logits = check_predictions(p).logits
    broken = int(logits.isinf().any(1).sum())
    if broken:
        raise ValueError(
            f"predictions must have a finite logit for every class, got {broken:,} of {len(p):,} rows with a "
            "probability of 0; make them with Predictions.from_logits"
        )
    return logits
