"""The exercises of lesson 10, when things go wrong."""

from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.exercises.verdict import Verify, alike, near, result_of


def _step(answer: Any) -> str | None:
    """A function step(x, gradient, radius): the pixels after FGSM, within [0, 1]."""
    g = torch.Generator().manual_seed(10)
    x, gradient, radius = torch.rand(3, 4, 4, generator=g), torch.randn(3, 4, 4, generator=g), 0.1
    x[0, 0] = torch.tensor([0.0, 1.0, 0.05, 0.95])
    given = result_of(answer, "step(x, gradient, radius)", x, gradient, radius)
    if not isinstance(given, Tensor) or given.shape != x.shape:
        return f"the attacked pixels are a tensor like x, but yours is {_check.shown(given)}."
    up, down = x + radius * gradient.sign(), x - radius * gradient.sign()
    slips = {
        "pixels leave [0, 1]: clamp them.": up,
        "that goes down the loss; an attack goes up.": down.clamp(0, 1),
        "that goes down the loss, and pixels leave [0, 1].": down,
        "that takes the gradient itself; its sign is wanted.": (x + radius * gradient).clamp(0, 1),
        "that is the change alone; add it to x.": radius * gradient.sign(),
    }
    otherwise = "each pixel moves by the radius, up or down, and stays within [0, 1]."
    return alike(given, up.clamp(0, 1), slips, otherwise)


def _share(answer: Any) -> str | None:
    """The largest share of symmetric noise, of ten classes, at which the right label still leads."""
    slips = {
        "the limit for pair flips; here the wrong labels are spread over nine classes": 0.5,
        "1/10, the share of right labels at the limit; the share of wrong ones is asked for": 0.1,
        "8/9: compare 1 − s with s/9": 8 / 9,
        "in percent; give it from 0 to 1": 90.0,
    }
    return near(answer, 0.9, within=5e-3, slips=slips)


def _worst(answer: Any) -> str | None:
    """A function worst(correct, labels): the lowest accuracy of a class."""
    labels = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + [5] * 6)  # classes 3 and 4 have no image
    correct = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0]).bool()
    given = result_of(answer, "worst(correct, labels)", correct, labels)
    slips = {
        "the accuracy of all images": 0.65,
        "the mean over classes": (6 / 8 + 1 / 4 + 1 / 2 + 5 / 6) / 4,
        "the best class's": 5 / 6,
        "what the class with the fewest images has": 1 / 2,
        "1 minus the accuracy of the best class": 1 / 6,
        "that of a class without images: leave those out": 0.0,
    }
    return near(given, 1 / 4, within=1e-6, slips=slips)


EXERCISES: dict[str, Verify] = {"trouble/step": _step, "trouble/share": _share, "trouble/worst": _worst}
