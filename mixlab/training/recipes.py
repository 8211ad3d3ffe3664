"""Whole trainings by name: a network and every setting, where they come from, and what has been claimed for them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mixlab import _check, models
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.normalize import normalized
from mixlab.training.options import TrainOptions
from mixlab.training.schedules import Cosine, Linear, Steps
from mixlab.training.trainer import Trainer

_WHITENED_BY = 5000  # training images whose patches set the first filters, as in airbench


@dataclass(frozen=True)
class Recipe:
    """A network and the settings it is trained with, here or as a stored run.

        recipe = recipes.speedrun()
        trainer = recipe.fit(data, mx.Mixer("mixup"))
        run = mx.run(recipe.build(data), data, mx.Mixer("mixup"), name=recipe.model, **recipe.settings)

    Attributes:
        name: is what RECIPES calls it.
        about: says what it is, its source, and what has been claimed for it.
        model: is a name of `mixlab.models`.
        settings: are keywords of `mixlab.fit` and `mixlab.run`.
        whitens: says whether the network's first layer whitens the patches of the data it is trained on.
    """

    name: str
    about: str
    model: str
    settings: dict[str, Any]
    whitens: bool = False

    def build(self, data: Dataset, *, seed: int = 0) -> nn.Module:
        """The network in its initial state, for the classes of `data`."""
        check_dataset(data)
        images = {"images": normalized(data.train.images[:_WHITENED_BY], data.normalization)} if self.whitens else {}
        model: nn.Module = getattr(models, self.model)(len(data.classes), channels=data.channels, seed=seed, **images)
        return model

    def fit(
        self, data: Dataset, mixer: Mixer | None = None, *, seed: int = 0, device: torch.device | str | None = None
    ) -> Trainer:
        """A Trainer at its start, to iterate over. Arguments as for `mixlab.fit`; `seed` seeds the weights too."""
        return Trainer(self.build(data, seed=seed), data, mixer, seed=seed, device=device, **self.settings)


def quick(epochs: int = 8) -> Recipe:
    """What `mixlab.fit` does if nothing else is asked for, with the net for two CPU cores.

    Args:
        epochs: counts the passes over the training images.
    """
    settings = {
        "epochs": _check.integer("epochs", epochs, 1),
        "batch_size": 128,
        "learning_rate": 0.3,
        "options": TrainOptions(),
    }
    return Recipe("quick", "a small net in minutes on two CPU cores: the defaults of mx.fit", "quick", settings)


def speedrun() -> Recipe:
    """CIFAR-10 to 94% in ten epochs: the recipe of airbench94 (Jordan, 2024).

    There, 94.01% is the mean of 1,000 runs, in 3.83 s each on an A100 without torch.compile. What differs here: 10.0
    epochs in place of 9.9, which is 480 steps for 476; weights in float32 with the arithmetic in bfloat16 where that is
    fast, for float16 throughout; every batch has crops of its own, where airbench crops a whole epoch at once, which is
    the same law; and all six views are used for each record, not for the last alone.

    Seen so far, without a GPU: one run, seed 0, nothing mixed, on one CPU core in bfloat16 (47 minutes, torch 2.14.1):
    94.02% of the 10,000 test images by six views, 93.17% by one.

    airbench's learning rate and weight decay are for 1,024 examples whose losses are summed, and for steps that do not
    grow with momentum; in the terms of `mixlab.fit`, whose loss is a mean, they are 1.5 and 0.00133.
    """
    momentum = 0.85
    settings = {
        "epochs": 10,
        "batch_size": 1024,
        "learning_rate": 11.5 / (1 + 1 / (1 - momentum)),
        "label_smoothing": 0.2,
        "options": TrainOptions(
            schedule=Linear(((0, 0.2), (0.23, 1), (1, 0.07))),
            momentum=momentum,
            weight_decay=0.0153 / 11.5,
            decay_biases=True,
            bias_rate=64.0,
            freeze={"whiten.bias": 3},
            lookahead=True,
            flip="alternating",
            pad=2,
            views=6,
        ),
    }
    about = "CIFAR-10 to 94% in ten epochs, after airbench94 (Jordan, 2024: 94.01%, mean of 1,000 runs)"
    return Recipe("speedrun", about, "airbench", settings, whitens=True)


def standard(model: str = "resnet18", epochs: int = 200) -> Recipe:
    """The long training of the papers, to reproduce their tables.

    "resnet18" is trained as by OpenMixup (Li et al., 2022): batches of 100, a cosine from 0.1, weight decay 1e-4. The
    errors on CIFAR-10 in its table, after 200 epochs, medians over the last ten, are 5.13% without mixing, 4.30% with
    mixup at α = 1, and 3.89% with CutMix at α = 0.2; on CIFAR-100 they are 23.58, 21.48 and 20.55%.

    "preact_resnet18" is trained as by the authors of mixup (Zhang et al., ICLR 2018, and their code): batches of 128,
    0.1 divided by ten at a half and at three quarters, weight decay 1e-4. For their code they give 5.53% on CIFAR-10
    without mixing, and 4.24% with mixup at α = 1, medians over the last ten of 200 epochs; their network normalizes
    after its first convolution, which Manifold Mixup's and ours does not.

    Both have momentum without Nesterov's step, decay biases and normalization too, shift by up to four pixels with
    black borders, and draw one λ for each batch: `mixlab.Mixer("mixup", shared_lam=True)`. Images are normalized here
    by the data's own statistics, where OpenMixup's standard deviations are a fifth smaller.

    Args:
        model: is "resnet18" or "preact_resnet18".
        epochs: counts the passes over the training images.
    """
    claims = {
        "resnet18": "CIFAR-10 at 5.13% error, with mixup 4.30, with CutMix 3.89, as OpenMixup reports it",
        "preact_resnet18": "CIFAR-10 at 5.53% error, with mixup 4.24, as the authors of mixup report it",
    }
    claim = claims[_check.choice("model", model, claims)]
    settings = {
        "epochs": _check.integer("epochs", epochs, 1),
        "batch_size": 100 if model == "resnet18" else 128,
        "learning_rate": 0.1,
        "options": TrainOptions(
            schedule=Cosine() if model == "resnet18" else Steps((0.5, 0.75), 0.1),
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            decay_biases=True,
            pad=4,
            border="black",
        ),
    }
    return Recipe("standard", f"the papers' long training: {claim}", model, settings)


RECIPES = {recipe.name: recipe.about for recipe in (quick(), speedrun(), standard())}
