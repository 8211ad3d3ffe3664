"""BatchNorm refresh: measure a network's BatchNorm statistics again, on clean images."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.data.dataset import Dataset
from mixlab.mixing.normalize import normalized
from mixlab.training.checks import check_measured


def refreshed_batchnorm(
    model: nn.Module, data: Dataset, *, images: int = 5000, batch_size: int = 250, seed: int = 0
) -> nn.Module:
    """A copy of the model whose BatchNorm statistics are those of clean training images; the weights are the same.

    Mixing independent pairs shrinks the variance between inputs, and between whatever is linear in them, by
    E[λ² + (1 − λ)²] = (α + 1)/(2α + 1): to ⅔ at α = 1. (A channel's variance shrinks a little less: it also counts how
    the mean image varies from place to place, which mixing leaves alone.) The running statistics of a model trained so
    describe mixtures, and at test time it meets clean images. Here mean and unbiased variance of each batch are
    averaged with equal weights (momentum=None), over images without augmentation, with every other layer (such as
    dropout) in evaluation mode.

    Args:
        model: takes normalized float images [B, C, H, W] and has at least one BatchNorm layer; it is not changed.
        data: gives the training images, which are normalized by `data.normalization`.
        images: counts them, drawn at random without repeats; all if there are fewer.
        batch_size: is the number of images at a time, at least 2; a shorter last batch is left out.
        seed: seeds the choice of images.

    Returns:
        nn.Module: the copy, in the modes and on the device of the model.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, or no layer with running statistics.
    """
    device = check_measured(model, data)
    most = len(data.train)
    count = min(_check.integer("images", images, 2), most)
    batch_size = min(_check.integer("batch_size", batch_size, 2), count)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    if most < 2:
        raise ValueError(f"data must hold at least 2 training images, got {data!r}")
    if not _tracking(model):
        raise ValueError(
            "model must have a BatchNorm layer with running statistics, as there is nothing else to refresh, got "
            f"{type(model).__name__} with none"
        )
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed), device="cpu")[:count]
    refreshed = copy.deepcopy(model)
    with _averaging(refreshed), torch.no_grad():
        for start in range(0, count - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size].to(data.train.images.device)
            batch = data.train.images[chosen].to(device).contiguous(memory_format=torch.channels_last)
            refreshed(normalized(batch, data.normalization))
    return refreshed


@contextmanager
def _averaging(model: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm layers start anew and average all batches with equal weights; other layers evaluate."""
    layers = _tracking(model)
    momenta = [layer.momentum for layer in layers]
    with evaluating(model):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for an average over all batches with equal weights
            layer.train()
        yield
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _tracking(model: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
