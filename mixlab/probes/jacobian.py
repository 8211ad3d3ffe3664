"""How steep a network is at its inputs: norms of the Jacobian of its answer, in each image.

vᵀJ is the gradient of v·f. Given v as grad_outputs, torch.autograd.grad imports sympy: 20 MB and a second.
"""

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.probes.per_image import OF, ROWS, PerImage, check_images, check_logits, outputs

KINDS = ("frobenius", "spectral")


@releasing_memory()
def jacobian_norm(
    model: nn.Module,
    x: Tensor,
    *,
    kind: str = "frobenius",
    of: str = "probs",
    draws: int | None = None,
    steps: int = 20,
    generator: torch.Generator | None = None,
) -> PerImage:
    """The norm of ∂f/∂x at each input: how much the answer can change for a small change of the image.

    "frobenius" is the root of the sum of squared entries. It is exact by one backward pass a class; with `draws` it is
    Hutchinson's estimate √(mean ‖vᵀJ‖²) over that many normal vectors v, for networks with many classes. "spectral" is
    the largest singular value, by power iteration on JᵀJ from below: the most that the answer moves per unit of the
    input. Its maximum over images is a lower bound of the network's Lipschitz constant, never the constant itself.
    Give mixed inputs, `plan.apply(x)`, to measure between examples.

    Args:
        model: maps inputs to logits [N, classes], each row on its own; it is read in evaluation mode.
        x: holds the inputs as the model takes them, float [N, ...]. Norms are per unit of these inputs: of normalized
            ones, not of pixels.
        kind: is "frobenius" or "spectral".
        of: is "probs" or "logits".
        draws: is the number of random vectors for "frobenius", at least 1, or None for the exact norm.
        steps: is the number of power iterations for "spectral", at least 1.
        generator: is the source of the random vectors, by default torch's global one.

    Returns:
        PerImage with the N norms.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.

    Source: Hutchinson 1990; Yoshida and Miyato, "Spectral Norm Regularization", 2017, for the iteration.
    """
    x = check_images("x", x)
    _check.choice("kind", kind, KINDS)
    _check.choice("of", of, OF)
    if draws is not None:
        draws = _check.integer("draws", draws, 1)
    steps = _check.integer("steps", steps, 1)
    generator = _check.generator(generator, x.device)
    parts = []
    with evaluating(model), torch.enable_grad():
        for images in torch.split(x, ROWS):
            if kind == "spectral":
                parts.append(_spectral(model, images, of, steps, generator))
            else:
                parts.append(_frobenius(model, images, of, draws, generator))
    return PerImage(torch.cat(parts).double().cpu())


def _answers(model: nn.Module, x: Tensor, of: str) -> Tensor:
    return outputs(check_logits(model(x), len(x)), of)


def _frobenius(model: nn.Module, x: Tensor, of: str, draws: int | None, generator: torch.Generator | None) -> Tensor:
    x = x.clone().requires_grad_()
    answers = _answers(model, x, of)
    if draws is None:
        vectors = torch.eye(answers.shape[1], dtype=answers.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        share = 1.0
    else:
        vectors = torch.randn(draws, *answers.shape, dtype=answers.dtype, device=x.device, generator=generator)
        share = 1 / draws
    total = x.new_zeros(len(x))
    for number, vector in enumerate(vectors):
        (slope,) = torch.autograd.grad((answers * vector).sum(), x, retain_graph=number + 1 < len(vectors))
        total += share * slope.flatten(1).square().sum(1)
    return total.sqrt()


def _spectral(model: nn.Module, x: Tensor, of: str, steps: int, generator: torch.Generator | None) -> Tensor:
    x = x.clone().requires_grad_()
    answers = _answers(model, x, of)
    # The derivative of vᵀJ with respect to v is J itself: two backward passes give J times a vector.
    dummy = torch.zeros_like(answers, requires_grad=True)
    (pulled,) = torch.autograd.grad((answers * dummy).sum(), x, create_graph=True)
    vector = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    for _ in range(steps):
        vector = vector / _length(vector)
        pushed: Tensor = torch.autograd.grad((pulled * vector).sum(), dummy, retain_graph=True)[0]
        (vector,) = torch.autograd.grad((answers * pushed).sum(), x, retain_graph=True)
    norms: Tensor = pushed.norm(dim=1)
    return norms


def _length(x: Tensor) -> Tensor:
    length: Tensor = x.flatten(1).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
    return length.view(-1, *[1] * (x.ndim - 1))
