"""Mixup read as label smoothing plus a perturbation: the terms of its second-order expansion, measured one by one."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.mixing.beta import check_alpha, lambda_moments, sample_lambda
from mixlab.probes.per_image import PerImage, check_images, check_logits


@dataclass(frozen=True)
class Expansion:
    """The mixup loss of a network and the terms that it is made of to second order, in nats, each a number an image.

    With θ = max(λ, 1 − λ) and its mean θ̄, an example is first drawn toward the mean of the data, x̃ = x̄ + θ̄(x − x̄) and
    ỹ = ȳ + θ̄(y − ȳ), and then perturbed by δ and ε of mean 0, which hold what θ and the partner change.

    Attributes:
        smoothed: the loss at x̃ against ỹ: label smoothing toward the classes' shares, on shrunken images.
        jacobian: ½ E[δᵀJᵀHJδ], H = diag(p) − ppᵀ: keeps the answer from changing with the image. Never negative.
        curvature: ½ E[(p − ỹ)·δᵀ∇²f δ]: 0 for a network of ReLUs, whose logits are linear in pieces.
        alignment: −E[ε·Jδ]: pays where the logits move as the labels do.
        mixup: the mixup loss itself, over the same draws of θ and partner.
    """

    smoothed: PerImage
    jacobian: PerImage
    curvature: PerImage
    alignment: PerImage
    mixup: PerImage

    @property
    def total(self) -> PerImage:
        """The sum of the four terms; what it lacks of `mixup` is of third order, or jumps at the kinks of ReLUs."""
        terms = (self.smoothed, self.jacobian, self.curvature, self.alignment)
        return PerImage(torch.stack([term.values for term in terms]).sum(0))


@releasing_memory()
def expansion(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    alpha: float,
    *,
    draws: int = 100,
    generator: torch.Generator | None = None,
) -> Expansion:
    """Measure the second-order expansion of the mixup loss of Carratino et al., with these N examples as the data.

    Args:
        model: maps inputs to logits [N, classes], each row on its own; it is read in evaluation mode, in the inputs'
            precision. Its logits must be twice differentiable, as those of PyTorch's own layers are.
        x: holds the inputs as the model takes them, float [N, ...].
        y: holds int64 class labels [N].
        alpha: gives λ ~ Beta(alpha, alpha).
        draws: counts the draws of θ and a partner for each image, at least 1; each costs two passes.
        generator: is the source of randomness on x's device, by default torch's global one.

    Returns:
        Expansion, over the same draws for all of its terms. The parts of first order are 0 in the mean and left out.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.

    Source: Carratino, Cissé, Jenatton and Vert, "On Mixup Regularization", JMLR 2022; the terms are derived anew, for
    the cross entropy of a softmax, which is linear in the label.
    """
    x = check_images("x", x)
    _check.class_labels("y", y, batch=len(x), device=x.device)
    alpha = check_alpha(alpha)
    draws = _check.integer("draws", draws, 1)
    generator = _check.generator(generator, x.device)
    theta_bar = lambda_moments(alpha).theta_bar
    with evaluating(model), torch.enable_grad():
        classes = check_logits(model(x[:1]), 1).shape[1]
        labels = functional.one_hot(y, classes).to(x.dtype)
        x_mean, y_mean = x.mean(0, keepdim=True), labels.mean(0, keepdim=True)
        inputs, targets = x_mean + theta_bar * (x - x_mean), y_mean + theta_bar * (labels - y_mean)
        inputs.requires_grad_()
        live = check_logits(model(inputs), len(x))
        logits = live.detach()
        probs = logits.softmax(1)
        # vᵀJ as a function of v has the derivative J; for v = p − ỹ its derivative in x is the weighted Hessian.
        residual = (probs - targets).requires_grad_()
        (pulled,) = torch.autograd.grad((live * residual).sum(), inputs, create_graph=True)
        sums = x.new_zeros(4, len(x), dtype=torch.float64)
        for _ in range(draws):
            lam = sample_lambda(alpha, (len(x),), device=x.device, generator=generator).to(x.dtype)
            theta = torch.maximum(lam, 1 - lam)
            partner = torch.randint(0, len(x), (len(x),), device=x.device, generator=generator)
            mixed, mixed_labels = _mix(x, partner, theta), _mix(labels, partner, theta)
            delta, epsilon = mixed - inputs.detach(), mixed_labels - targets
            slope, bent = torch.autograd.grad(
                (pulled * delta).sum(), (residual, inputs), retain_graph=True, materialize_grads=True
            )
            spread = (probs * slope.square()).sum(1) - (probs * slope).sum(1).square()
            terms = (
                spread / 2,
                (bent * delta).flatten(1).sum(1) / 2,
                -(epsilon * slope).sum(1),
                -(mixed_labels * _logits(model, mixed).log_softmax(1)).sum(1),
            )
            sums += torch.stack(terms)
        smoothed = -(targets * logits.log_softmax(1)).sum(1)
    jacobian, curvature, alignment, mixup = (PerImage((part / draws).cpu()) for part in sums)
    return Expansion(PerImage(smoothed.double().cpu()), jacobian, curvature, alignment, mixup)


def _mix(x: Tensor, partner: Tensor, theta: Tensor) -> Tensor:
    share = theta.view(-1, *[1] * (x.ndim - 1))
    return share * x + (1 - share) * x[partner]


@torch.no_grad()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(x)
    return logits
