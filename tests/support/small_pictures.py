"""A small data set of random pictures, a network with BatchNorm and dropout for it, and its images in float64."""

import torch
from seeding import seeded
from torch import Tensor, nn

import mixlab as mx
from mixlab.data import Split


def small_data(counts=(30, 30, 30), side: int = 8, seed: int = 0) -> mx.Dataset:
    """Random pictures, brighter where the class is higher; `counts` of each class in train."""
    stream = seeded(seed)

    def split(each) -> Split:
        labels = torch.arange(len(each)).repeat_interleave(torch.tensor(each))
        noise = torch.randint(0, 130, (len(labels), 3, side, side), generator=stream)
        ramp = torch.arange(side).view(1, 1, 1, side) * 4
        return Split((noise + ramp + 20 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)

    return mx.Dataset("small", split(counts), split((7,) * len(counts)), tuple("abcdefghij"[: len(counts)]))


def small_model(classes: int = 3, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, classes)
        )


def clean(data: mx.Dataset) -> Tensor:
    """The training images, normalized in float64."""
    mean, std = (torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1) for part in data.normalization)
    return (data.train.images.double() / 255 - mean) / std
