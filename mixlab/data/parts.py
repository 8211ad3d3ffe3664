"""Stratified parts of labeled examples: every class keeps its share."""

import torch
from torch import Tensor


def stratified(labels: Tensor, size: int, *, seed: int) -> Tensor:
    """Return the sorted indices, int64 [size], of a stratified part; a larger part of the same seed holds the smaller.

    First every class gets one example, then the examples are shared out in proportion to the classes by the method of
    Webster (Sainte-Laguë), which no larger size ever takes a seat from. Of classes of equal size each gets
    size // classes, and the first size % classes of them in a seeded order get one more.

    Args:
        labels: int64 [N], on any device.
        size: counts the chosen examples, from the number of classes to N.
        seed: draws the examples of each class, and the order of classes that are equal.
    """
    labels = labels.cpu()
    counts = torch.bincount(labels)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator, device="cpu")
    ranks = torch.randperm(len(counts), generator=generator, device="cpu").argsort()
    grouped = order[labels[order].argsort(stable=True)]
    place = torch.arange(len(labels), device="cpu") - (counts.cumsum(0) - counts).repeat_interleave(counts)
    turn = (place + 0.5).double() / counts.repeat_interleave(counts)
    turn[place == 0] = 0
    by_class = ranks.repeat_interleave(counts).argsort(stable=True)
    first = by_class[turn[by_class].argsort(stable=True)][:size]
    return grouped[first].sort().values


def complement(indices: Tensor, count: int) -> Tensor:
    """The sorted indices, int64, of the `count` examples that are not among `indices`."""
    left = torch.ones(count, dtype=torch.bool, device="cpu")
    left[indices] = False
    return left.nonzero().flatten()


def held_out(labels: Tensor, share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of a training and a stratified test part, which has this share of the examples, at most a half.

    Raises ValueError if a class has a single example, as then one part would have none.
    """
    counts = torch.bincount(labels)
    alone = (counts == 1).nonzero().flatten().tolist()
    if alone:
        raise ValueError(f"every class must have at least 2 images, one of them to test, got 1 of class {alone[0]}")
    size = max(round(share * len(labels)), int((counts > 0).sum()))
    test = stratified(labels, size, seed=seed)
    return complement(test, len(labels)), test
