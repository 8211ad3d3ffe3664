"""One kind of trouble at six levels: the pictures, what a network answers, and its accuracy and ECE with intervals."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mixlab._torch_state import evaluating
from mixlab.calibration.estimators import estimate
from mixlab.calibration.intervals import Interval
from mixlab.calibration.predictions import Predictions
from mixlab.data.dataset import Split
from mixlab.machine import releasing_memory
from mixlab.mixing.normalize import Statistics, normalized
from mixlab.panels.shared.pairs import bytes_of
from mixlab.probes.attack import fgsm, pgd
from mixlab.probes.corruption import CORRUPTIONS, corrupt
from mixlab.probes.occlusion import PLACES, occluded

LEVELS = range(6)  # 0 is the image as it is
SHARES = (0, 0.1, 0.2, 0.3, 0.4, 0.5)  # of the pixels, hidden
RADII = (0, 0.25, 0.5, 1, 2, 4)  # of attacks, in 1/255
STEPS = 6  # of PGD, fewer than a measurement takes: a panel must answer soon
ATTACKS = {"fgsm": "one step along the gradient", "pgd": f"{STEPS} steps along the gradient"}
KINDS = {  # of a menu: the family with the name, and a line about it
    **{name: (f"{kind.family}: {name.replace('_', ' ')}", kind.about) for name, kind in CORRUPTIONS.items()},
    **{place: (f"occlusion: {place}", about) for place, about in PLACES.items()},
    **{attack: (f"attack: {attack.upper()}", about) for attack, about in ATTACKS.items()},
}
_ROWS = 100  # images that go through a network at once


@dataclass(frozen=True, eq=False)
class Levels:
    """One network under one kind, an entry for each level.

    Attributes:
        pictures: uint8 [levels, shown, H, W, 3], what the network saw of the first images.
        said: the class it answers, int64 [levels, shown].
        sure: its confidence, float64 [levels, shown].
        truth: its probability of the true class, float64 [levels, shown].
        accuracy, ece: over all images, with the intervals of `mixlab.estimate`.
    """

    pictures: np.ndarray
    said: Tensor
    sure: Tensor
    truth: Tensor
    accuracy: list[Interval]
    ece: list[Interval]


def words_of(kind: str, level: int) -> str:
    """A level in words: "severity 3", "30% hidden", "radius 1/255"; "as it is" at 0."""
    if level == 0:
        return "as it is"
    if kind in CORRUPTIONS:
        return f"severity {level}"
    return f"{100 * SHARES[level]:.0f}% hidden" if kind in PLACES else f"radius {RADII[level]:g}/255"


@releasing_memory()
def levels_of(net: nn.Module, split: Split, normalize: Statistics, kind: str, shown: int) -> Levels:
    """Measure a network on a split at each level of a kind; `shown` counts the first images whose pictures are kept."""
    looks = [_changed(net, split, normalize, kind, level) for level in LEVELS]
    read = [_read(net, images, split.labels, normalize) for images in looks]
    rows = torch.arange(shown, device="cpu")
    return Levels(
        np.stack([_bytes(images[:shown]) for images in looks]),
        torch.stack([p.probs[:shown].argmax(1) for p in read]),
        torch.stack([p.confidence[:shown].double() for p in read]),
        torch.stack([p.probs[rows, split.labels[:shown]].double() for p in read]),
        [estimate(p, "accuracy") for p in read],
        [estimate(p, "ece") for p in read],
    )


def _changed(net: nn.Module, split: Split, normalize: Statistics, kind: str, level: int) -> Tensor:
    """The images at a level: uint8, or float in [0, 1] where this very network is attacked."""
    if level == 0:
        return split.images
    if kind in CORRUPTIONS:
        return corrupt(split.images, kind, level)
    if kind in PLACES:
        return occluded(split.images, SHARES[level], kind)
    radius = RADII[level] / 255
    if kind == "fgsm":
        return fgsm(net, split, normalize, radius).pixels
    return pgd(net, split, normalize, radius, steps=STEPS).pixels


def _read(net: nn.Module, images: Tensor, labels: Tensor, normalize: Statistics) -> Predictions:
    with evaluating(net), torch.no_grad():
        logits = torch.cat([net(normalized(part, normalize)).float() for part in torch.split(images, _ROWS)])
    return Predictions.from_logits(logits, labels)


def _bytes(images: Tensor) -> np.ndarray:
    return bytes_of(images if images.dtype == torch.uint8 else (255 * images).round().to(torch.uint8))
