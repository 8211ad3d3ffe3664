"""How much a loss rises in a ball around a network's weights: plain, or adaptive, which rescaling cannot fool."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.probes.curvature import Loss, scalar, weights_of


@releasing_memory()
def sharpness(model: nn.Module, loss: Loss, radius: float, *, adaptive: bool = True, steps: int = 20) -> float:
    """The largest rise of a loss in a ball around the weights, as far as gradient ascent climbs: a lower bound.

    The plain ball is ‖δ‖₂ ≤ radius. The adaptive one is ‖δ / |w|‖₂ ≤ radius: each weight may change by a share of its
    own size. A layer multiplied by c, with the next divided by c, gives the same function: plain sharpness changes,
    adaptive sharpness does not.

    Args:
        model: holds the weights, those that require a gradient; it is read in evaluation mode and left as it was.
        loss: maps the model to a scalar, the same at every call.
        radius: is that of the ball, above 0.
        adaptive: measures the change of each weight against its own size.
        steps: counts the steps of ascent, at least 1; the largest rise of all of them is returned, so more steps never
            give less.

    Returns:
        max L(w + δ) − L(w), at least 0, in the loss's unit.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range; a loss that is no scalar.

    Source: Kwon et al., "ASAM", ICML 2021, definition 2; Dinh et al., "Sharp Minima Can Generalize", ICML 2017.
    """
    weights = weights_of(model)
    radius = _check.number("radius", radius, 1e-12, 1e12)
    adaptive = _check.flag("adaptive", adaptive)
    steps = _check.integer("steps", steps, 1)
    scales = [weight.detach().abs() if adaptive else torch.ones_like(weight) for weight in weights]
    best = 0.0
    # In units of the scales the ball is round: the ascent takes steps of half its radius and is pulled back into it.
    shift = [torch.zeros_like(weight) for weight in weights]
    with evaluating(model), torch.enable_grad():
        start = float(scalar(loss(model)).detach())
        for _ in range(steps):
            with moved(weights, shift, scales):
                slopes = torch.autograd.grad(scalar(loss(model)), weights, allow_unused=True)
            ascent = [
                torch.zeros_like(scale) if slope is None else scale * slope
                for slope, scale in zip(slopes, scales, strict=True)
            ]
            length = _norm(ascent)
            if length == 0:
                break
            shift = [part + radius / 2 * step / length for part, step in zip(shift, ascent, strict=True)]
            outside = _norm(shift) / radius
            if outside > 1:
                shift = [part / outside for part in shift]
            with moved(weights, shift, scales), torch.no_grad():
                best = max(best, float(scalar(loss(model))) - start)
    return best


@contextmanager
def moved(weights: list[nn.Parameter], shift: list[Tensor], scales: list[Tensor]) -> Iterator[None]:
    """The weights moved by shift · scales inside; afterwards, even after an error, they hold their own bits again."""
    kept = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, part, scale in zip(weights, shift, scales, strict=True):
                weight.add_(part * scale)
        yield
    finally:
        with torch.no_grad():
            for weight, own in zip(weights, kept, strict=True):
                weight.copy_(own)


def _norm(parts: list[Tensor]) -> float:
    return float(torch.stack([part.double().square().sum() for part in parts]).sum().sqrt())
