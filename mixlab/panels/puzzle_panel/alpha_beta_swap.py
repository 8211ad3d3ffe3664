"""The α–β swap, the kind of solver that the reference code uses: a local minimum, beside the exact one."""

from itertools import combinations

import torch
from torch import Tensor

from mixlab.mixing.variants.puzzle.mincut import least_energy


def swap_labels(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Labels by α–β swap until no swap helps, int64 [N, height, width]; arguments as of `mincut.least_energy`.

    It begins with label 0 everywhere. Each swap exchanges two labels among the cells that have one of them, the best
    way there is: a binary problem, which `least_energy` solves for the whole batch.

    Source: Boykov, Veksler and Zabih, "Fast approximate energy minimization via graph cuts", 2001.
    """
    steps = unary.shape[1] - 1
    labels = torch.zeros_like(unary[:, 0], dtype=torch.int64)
    energy, helped = energy_of(labels, unary, down, right), True
    while helped:
        helped = False
        for low, high in combinations(range(steps + 1), 2):
            free = (labels == low) | (labels == high)
            cost = torch.stack([_beside_fixed(labels, ~free, level, unary, down, right) for level in (low, high)], 1)
            apart = ((high - low) / steps) ** 2
            below, beside = free[:, :-1] & free[:, 1:], free[:, :, :-1] & free[:, :, 1:]
            raised = least_energy(cost, apart * below * down, apart * beside * right)
            swapped = torch.where(free, low + (high - low) * raised, labels)
            lowered = energy_of(swapped, unary, down, right)
            better = lowered < energy - 1e-9 * energy.abs()  # rounding alone is no gain
            labels = torch.where(better[:, None, None], swapped, labels)
            energy = torch.where(better, lowered, energy)
            helped |= bool(better.any())
    return labels


def _beside_fixed(labels: Tensor, fixed: Tensor, level: int, unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """What each cell costs at `level`, with its borders to fixed cells."""
    cost = unary[:, level].clone()
    gap = fixed * ((level - labels) / (unary.shape[1] - 1)).square()
    cost[:, :-1] += down * gap[:, 1:]
    cost[:, 1:] += down * gap[:, :-1]
    cost[:, :, :-1] += right * gap[:, :, 1:]
    cost[:, :, 1:] += right * gap[:, :, :-1]
    return cost


def energy_of(labels: Tensor, unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The energy of labels [N, height, width] in float64, [N]; the rest as of `mincut.least_energy`."""
    share = labels.double() / (unary.shape[1] - 1)
    total = unary.double().gather(1, labels[:, None]).sum((1, 2, 3))
    total = total + (down * share.diff(dim=1).square()).sum((1, 2))
    return total + (right * share.diff(dim=2).square()).sum((1, 2))
