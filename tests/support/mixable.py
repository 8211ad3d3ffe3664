"""A small batch in float64, and networks for it."""

import torch
from seeding import seeded
from torch import Tensor, nn

BATCH, CLASSES = 6, 4


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.rand(BATCH, 3, 8, 8, dtype=dtype, generator=seeded(1)), torch.arange(BATCH) % CLASSES


def net(*, linear: bool = False, norm: bool = False) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        parts: list[nn.Module] = [nn.Flatten(), nn.Linear(3 * 64, 10)]
        parts += [nn.BatchNorm1d(10)] if norm else []
        parts += [] if linear else [nn.Tanh()]
        return nn.Sequential(*parts, nn.Linear(10, CLASSES)).double()
