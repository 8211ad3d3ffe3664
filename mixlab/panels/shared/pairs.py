"""Pairs of training images, as the panels show them and as a mixer takes them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import _check, models
from mixlab.data.dataset import Dataset, Split

MOST = 64  # pairs sent to a browser


def label_words(lam: float, names: tuple[str, str]) -> str:
    """A soft label in words: "0.70 cat + 0.30 dog"."""
    share = int(100 * lam + 0.5)
    if names[0] == names[1] or share == 100:
        return f"1.00 {names[0]}"
    if share == 0:
        return f"1.00 {names[1]}"
    return f"{share / 100:.2f} {names[0]} + {(100 - share) / 100:.2f} {names[1]}"


def bytes_of(images: Tensor) -> np.ndarray:
    """uint8 images [..., C, H, W] of 1 or 3 channels as the browser paints them: [..., H, W, 3]."""
    wide = images.expand(*images.shape[:-3], 3, *images.shape[-2:])
    return np.ascontiguousarray(wide.movedim(-3, -1).numpy())


def mix_bytes(a: np.ndarray, b: np.ndarray, lam: float) -> np.ndarray:
    """λ a + (1 − λ) b for uint8 arrays, computed in float64 and rounded to the nearest, halves to even."""
    return np.rint(lam * a.astype(np.float64) + (1 - lam) * b.astype(np.float64)).astype(np.uint8)


def paste(a: np.ndarray, b: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """a with the box (top, left, bottom, right) of b pasted in; both [H, W, C]."""
    top, left, bottom, right = box
    mixed: np.ndarray = a.copy()
    mixed[top:bottom, left:right] = b[top:bottom, left:right]
    return mixed


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images with a net that can look at them.

    Attributes:
        images: [pairs, 2, C, H, W] uint8, x and x′.
        labels: [pairs, 2] int64.
        classes: the names of the labels.
        normalize: (mean, std) that bring the images to what the model takes.
        model: the caller's, or an untrained one.
        trained: whether it is the caller's.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    normalize: tuple[tuple[float, ...], tuple[float, ...]]
    model: nn.Module
    trained: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.images.shape[-2:]
        return height, width

    @property
    def whose(self) -> str:
        """Whose saliency this is, in words."""
        return "saliency of your net" if self.trained else "saliency of an untrained net: give model= a trained one"

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """For each pair, the classes of x and x′."""
        return [(self.classes[first], self.classes[second]) for first, second in self.labels.tolist()]

    @cached_property
    def pixels(self) -> np.ndarray:
        """The images for the browser, [pairs, 2, H, W, 3] uint8."""
        return bytes_of(self.images)


def choose_pairs(data: Dataset, pairs: int, seed: int, model: nn.Module | None) -> Pairs:
    """Pairs of training images, none twice, each of two classes where there are two.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a data set from mixlab.load, got {_check.shown(data)}")
    pairs = _check.integer("pairs", pairs, 1, MOST)
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module that gives logits, or None, got {_check.shown(model)}")
    split = data.train
    channels = split.images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"data must hold images of 1 or 3 channels, got {channels} channels")
    if len(split) < 2 * pairs:
        raise ValueError(
            f"pairs must leave two images for each pair, got {pairs} pairs of {len(split)} training images"
        )
    chosen = torch.tensor(_choose(split, pairs, seed), device="cpu")
    images = split.images[chosen]
    net = models.quick(max(2, len(data.classes)), channels=channels) if model is None else model
    return Pairs(images, split.labels[chosen], data.classes, data.normalization, net, model is not None)


def _choose(split: Split, pairs: int, seed: int) -> list[tuple[int, int]]:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed), device="cpu").tolist()
    first, rest = order[:pairs], order[pairs:]
    chosen = []
    for i in first:
        partner = next((j for j in rest if split.labels[j] != split.labels[i]), rest[0])
        rest.remove(partner)
        chosen.append((i, partner))
    return chosen
