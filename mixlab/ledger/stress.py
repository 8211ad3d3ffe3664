"""Claims that take trainings of seconds: wrong labels, three brakes at once, a very small network, turns on the way."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.data.dataset import Dataset, Split
from mixlab.data.noise import with_wrong_labels
from mixlab.machine import release_memory
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.normalize import normalized
from mixlab.models import quick
from mixlab.probes import gradient_change
from mixlab.training.trainer import Trainer

WRONG, SMOOTHING, JITTER = 0.5, 0.3, 0.5  # of the labels; of the labels; how much darker or brighter a color becomes
STRONG = Mixer("mixup", alpha=8.0)
COPIES, SEEN = 4, 100  # of a network in training, at even times; images whose gradient is followed


def under_stress(data: Dataset, seeds: int = 3, epochs: int = 10) -> dict[str, list[float]]:
    """The claims on wrong labels, brakes, small networks and turns: by key, a number for each seed, as Ledger has it.

    Nothing is stored: these trainings are no evidence for claims on usual ones.

    Args:
        data: is learned and tested on.
        seeds: counts the trainings of each kind, at least 3.
        epochs: is for how long wrong labels are learned and gradients followed; the brakes get half of it, the small
            net twice it.
    """
    seeds, epochs = _check.integer("seeds", seeds, 3), _check.integer("epochs", epochs, 1)
    kinds = {"label-noise": _wrong_labels, "brakes": _brakes, "small-net": _small_net, "turns": _turns}
    changes = {key: [change(data, seed, epochs) for seed in range(seeds)] for key, change in kinds.items()}
    release_memory()  # a notebook needs it for what comes next
    return changes


def _wrong_labels(data: Dataset, seed: int, epochs: int) -> float:
    noisy = with_wrong_labels(data, WRONG, "symmetric", seed=seed).data
    strong, plain = (_accuracy(_usual(data, seed), noisy, mixer, seed, epochs) for mixer in (STRONG, None))
    return strong - plain


def _brakes(data: Dataset, seed: int, epochs: int) -> float:
    few = max(epochs // 2, 1)
    braked = _accuracy(_usual(data, seed), _jittered(data, seed), STRONG, seed, few, label_smoothing=SMOOTHING)
    return braked - _accuracy(_usual(data, seed), data, None, seed, few)


def _small_net(data: Dataset, seed: int, epochs: int) -> float:
    mixed, plain = (_accuracy(_small(data, seed), data, mixer, seed, 2 * epochs) for mixer in (Mixer("mixup"), None))
    return mixed - plain


def _turns(data: Dataset, seed: int, epochs: int) -> float:
    mixed, plain = (_turn(data, seed, epochs, mixer) for mixer in (Mixer("mixup"), None))
    return 100 * (mixed / plain - 1)


def _turn(data: Dataset, seed: int, epochs: int, mixer: Mixer | None) -> float:
    """By how much the gradient of the loss on clean images changes between copies of a network in training."""
    net = _usual(data, seed)
    x, y = normalized(data.train.images[:SEEN], data.normalization), data.train.labels[:SEEN]

    def copied() -> dict[str, Tensor]:
        return {name: part.detach().clone() for name, part in net.state_dict().items()}

    records = Trainer(
        net, data, mixer, seed=seed, epochs=epochs, every=max(epochs // COPIES, 1), batch_size=64, augment=False
    )
    path = [copied(), *(copied() for _ in records)]
    return gradient_change(net, lambda net: cross_entropy(net(x), y), path).mean().item()


def _accuracy(net: nn.Module, data: Dataset, mixer: Mixer | None, seed: int, epochs: int, **more: Any) -> float:
    """Test accuracy after a training, in points."""
    settings = {"epochs": epochs, "every": epochs, "batch_size": 64, "augment": False} | more
    *_, last = Trainer(net, data, mixer, seed=seed, **settings)
    return 100 * last.test_accuracy


def _jittered(data: Dataset, seed: int) -> Dataset:
    """The training images, each color of each of them darker or brighter by a factor of its own."""
    images, stream = data.train.images, torch.Generator("cpu").manual_seed(seed)
    gain = torch.empty(*images.shape[:2], 1, 1, dtype=torch.float32, device="cpu")
    gain.uniform_(1 - JITTER, 1 + JITTER, generator=stream)
    changed = (images * gain).clamp(0, 255).round().byte()
    return Dataset(data.name, Split(changed, data.train.labels), data.test, data.classes)


def _usual(data: Dataset, seed: int) -> nn.Module:
    return quick(len(data.classes), channels=data.channels, seed=seed)


def _small(data: Dataset, seed: int) -> nn.Module:
    """Two convolutions and a read-out: fewer than 2,000 weights for ten classes."""
    with spared(seed), usual_defaults():
        first = nn.Conv2d(data.channels, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        second = nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()
        return nn.Sequential(*first, *second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, len(data.classes)))
