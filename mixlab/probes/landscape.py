"""The loss along a line and in a plane around a network's weights, in directions fit to its filters."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.probes.curvature import Loss, scalar, weights_of
from mixlab.probes.sharpness import moved


def filter_normalized(model: nn.Module, *, generator: torch.Generator | None = None) -> list[Tensor]:
    """A random direction in which each filter has the length of the network's own; biases and norms stay.

    Without this, the picture of a network with large weights looks flat, whatever its loss does.

    Args:
        model: holds the weights, those that require a gradient.
        generator: is the source of randomness on the weights' device, by default torch's global one.

    Returns:
        A tensor for each weight, in the order of `model.parameters()`; zeros for weights of fewer than two axes.

    Source: Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, section 4.
    """
    weights = weights_of(model)
    generator = _check.generator(generator, weights[0].device)
    directions = []
    for weight in weights:
        own = weight.detach()
        if own.ndim < 2:
            directions.append(torch.zeros_like(own))
            continue
        noise = torch.randn(own.shape, dtype=own.dtype, device=own.device, generator=generator)
        lengths = noise.flatten(1).norm(dim=1), own.flatten(1).norm(dim=1)
        share = (lengths[1] / lengths[0].clamp(min=torch.finfo(own.dtype).tiny)).view(-1, *[1] * (own.ndim - 1))
        directions.append(noise * share)
    return directions


@releasing_memory()
def loss_on_grid(
    model: nn.Module, loss: Loss, directions: Sequence[Sequence[Tensor]], *axes: Sequence[float]
) -> Tensor:
    """The loss at w + a·d₁ (+ b·d₂): along a line for one direction, in a plane for two.

        across = filter_normalized(model)
        along = loss_on_grid(model, loss, [across], torch.linspace(-1, 1, 21).tolist())

    Args:
        model: holds the weights, those that require a gradient; it is read in evaluation mode and left as it was.
        loss: maps the model to a scalar, or to several numbers [M] of one pass; the same at every call.
        directions: holds one direction or two, each a tensor for each weight, as `filter_normalized` gives them.
        axes: are the positions along each direction, as many lists as there are directions.

    Returns:
        Float64 [len(axes[0])] or [len(axes[0]), len(axes[1])] on the CPU, with [M] behind it if there are several.

    Raises:
        TypeError, ValueError: directions that do not fit the weights, or not as many axes; a loss that is no float.
    """
    weights = weights_of(model)
    if len(directions) not in (1, 2) or len(axes) != len(directions):
        raise ValueError(f"axes must be one for each of 1 or 2 directions, got {len(axes)} for {len(directions)}")
    if not all(axes):
        raise ValueError("axes must hold at least one position each, got none")
    for direction in directions:
        if [part.shape for part in direction] != [weight.shape for weight in weights]:
            raise ValueError("directions must hold a tensor for each weight of the model, of its shape")
    places = [[_check.number("axes", value, -1e6, 1e6) for value in axis] for axis in axes]
    ones = [torch.ones_like(weight) for weight in weights]
    losses = []
    with evaluating(model), torch.no_grad():
        for point in itertools.product(*places):
            shift = [
                sum((a * part for a, part in zip(point, parts, strict=True)), torch.zeros_like(parts[0]))
                for parts in zip(*directions, strict=True)
            ]
            with moved(weights, shift, ones):
                found = loss(model)
                several = isinstance(found, Tensor) and found.ndim == 1 and found.is_floating_point()
                losses.append((found if several else scalar(found)).to("cpu", torch.float64))
    return torch.stack(losses).view([len(axis) for axis in places] + list(losses[0].shape))
