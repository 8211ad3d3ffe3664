"""How flat a network's hidden states make each class: singular values of a class's states (Verma et al., ICML 2019)."""

import torch
from torch import Tensor

from mixlab import _check


def class_singular_values(hidden: Tensor, labels: Tensor) -> Tensor:
    """How far each class's hidden states spread along their own principal directions, as shares of the layer's spread.

    For each class the states are centered at their mean, and the singular values of that matrix divided by the root of
    its rows: the standard deviations along the class's principal directions, the largest first. To compare layers
    of different scale they are given in units of the whole layer's spread, the root mean square distance of all states
    from their common mean. So the squares of a class sum to 1 if it is as wide as the layer, and to 0 if it is a point.

    Verma et al., "Manifold Mixup" (ICML 2019), section 3, argue that where dim(H) ≥ d − 1 for d classes and what
    follows the layer can be any function, mixing there makes each class flat: at the least loss it keeps at most
    dim(H) − d + 1 directions. Their measure of flatness is the sum of a class's singular values without the largest,
    `values[:, 1:].sum(1)`; theirs are divided neither by the root of the rows nor by any spread.

    Args:
        hidden: holds one state for each example, float [N, ...]; further axes are flattened.
        labels: are int64 [N]; every class from 0 to the largest has a state.

    Returns:
        The singular values, float [classes, r], where r is the smaller of the dimension and the size of the largest
        class; a smaller class is filled up with zeros.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; states that are all equal, or a class without any.
    """
    states = _check.tensor("hidden", hidden, "float states [N, ...]")
    if not states.is_floating_point() or states.ndim < 2 or len(states) == 0:
        raise TypeError(f"hidden must be float states [N, ...], got {_check.shown(states)}")
    _check.class_labels("labels", labels, batch=len(states), device=states.device)
    states = states.detach().flatten(1).to(torch.promote_types(states.dtype, torch.float32))
    spread = (states - states.mean(0)).square().sum(1).mean().sqrt()
    if not bool(spread > 0):
        raise ValueError("hidden must hold states that differ, but their spread is 0 or not a number")
    counts = torch.bincount(labels)
    if not bool(counts.all()):
        missing = int((counts == 0).nonzero()[0])
        raise ValueError(f"labels must have every class up to the largest, but has no {missing}")
    values = states.new_zeros(len(counts), min(states.shape[1], int(counts.max())))
    for label in range(len(counts)):
        own = states[labels == label]
        own_values = torch.linalg.svdvals(own - own.mean(0)) / (len(own) ** 0.5 * spread)
        values[label, : len(own_values)] = own_values
    return values
