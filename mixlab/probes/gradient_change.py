"""How fast a loss's gradient turns along a training path: what "smoother gradients" means, measured."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.probes.curvature import Loss, scalar, weights_of


@releasing_memory()
def gradient_change(model: nn.Module, loss: Loss, path: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """‖∇L(w′) − ∇L(w)‖ / ‖w′ − w‖ for each step of a training path: large where gradients turn.

    The largest is a lower bound of the Lipschitz constant of the gradient on the path.

    Args:
        model: gets the states of the path one after the other, in evaluation mode; its own comes back at the end.
        loss: maps the model to a scalar, the same at every call; give the same one to the networks that you compare.
        path: holds T ≥ 2 state dicts of the model in order of training, as copies.

    Returns:
        Float64 [T − 1] on the CPU.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; fewer than two states, or two equal ones in a row.

    Source: Santurkar et al., "How Does Batch Normalization Help Optimization?", NeurIPS 2018, section 3.1.
    """
    weights = weights_of(model)
    if len(path) < 2:
        raise ValueError(f"path must hold at least two state dicts, got {len(path)}")
    own = {name: part.detach().clone() for name, part in model.state_dict().items()}
    points = []
    try:
        with evaluating(model), torch.enable_grad():
            for state in path:
                model.load_state_dict(state)
                slopes = torch.autograd.grad(scalar(loss(model)), weights)
                points.append(
                    [torch.cat([part.detach().double().flatten() for part in parts]) for parts in (weights, slopes)]
                )
    finally:
        model.load_state_dict(own)
    changes = []
    for (before, slope), (after, next_slope) in itertools.pairwise(points):
        length = (after - before).norm()
        if length == 0:
            raise ValueError("path must hold states that differ from one to the next, got two equal ones")
        changes.append(float((next_slope - slope).norm() / length))
    return torch.tensor(changes, dtype=torch.float64, device="cpu")
