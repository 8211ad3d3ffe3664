"""The exercises of lesson 10, when things go wrong."""

from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.exercises.verdict import STILL_OPEN, Verify, near


def _step(answer: Any) -> str | None:
    """A function step(x, gradient, radius): the pixels after FGSM, within [0, 1]."""
    if not callable(answer):
        return f"the answer is a function step(x, gradient, radius), but you gave {_check.shown(answer)}."
    g = torch.Generator().manual_seed(10)
    x, gradient, radius = torch.rand(3, 4, 4, generator=g), torch.randn(3, 4, 4, generator=g), 0.1
    x[0, 0] = torch.tensor([0.0, 1.0, 0.05, 0.95])
    given = answer(x.clone(), gradient.clone(), radius)
    if given is None or given is ...:
        return STILL_OPEN
    if not isinstance(given, Tensor) or given.shape != x.shape:
        return f"the attacked pixels are a tensor like x, but yours is {_check.shown(given)}."
    up, down = x + radius * gradient.sign(), x - radius * gradient.sign()
    slips = {
        "pixels leave [0, 1]: clamp them": up,
        "that goes down the loss; an attack goes up": down.clamp(0, 1),
        "that goes down the loss, and pixels leave [0, 1]": down,
        "that takes the gradient itself; its sign is wanted": (x + radius * gradient).clamp(0, 1),
        "that is the change alone; add it to x": radius * gradient.sign(),
    }
    return _alike(given, up.clamp(0, 1), slips)


def _alike(given: Tensor, truth: Tensor, slips: dict[str, Tensor]) -> str | None:
    if torch.allclose(given, truth, atol=1e-6):
        return None
    said = (slip for slip, wrong in slips.items() if torch.allclose(given, wrong, atol=1e-6))
    return f"{next(said, 'each pixel moves by the radius, up or down, and stays within [0, 1]')}."


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
    if not callable(answer):
        return f"the answer is a function worst(correct, labels), but you gave {_check.shown(answer)}."
    labels = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + [5] * 6)  # classes 3 and 4 have no image
    correct = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0]).bool()
    given = answer(correct.clone(), labels.clone())
    if given is None or given is ...:
        return STILL_OPEN
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
