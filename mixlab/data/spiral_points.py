"""Spirals: points of two or three classes in the plane."""

import math

import torch
from torch import Tensor

from mixlab import _check
from mixlab._torch_state import usual_defaults


@usual_defaults()
def spirals(
    n: int = 600,
    *,
    noise: float = 0.03,
    turns: float = 1.0,
    classes: int = 2,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Points on two or three arms of a spiral about the origin, each arm a class.

    An arm runs from the center to radius 1, its angle grows with the radius, and its points are spread evenly over the
    disc.

    Args:
        n: counts all points, at least two for each class.
        noise: is the standard deviation of both coordinates about the arm, from 0 to 1.
        turns: says how often an arm winds round the center, from 0 to 4.
        classes: is the number of arms, 2 or 3.
        generator: draws the points, on the CPU (default: the global one).

    Returns:
        x float32 [n, 2] and y int64 [n]; the classes take turns, so each has as many points as the others, or one less.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    classes = _check.integer("classes", classes, 2, 3)
    n = _check.integer("n", n, 2 * classes)
    noise, turns = _check.number("noise", noise, 0, 1), _check.number("turns", turns, 0, 4)
    generator = _check.generator(generator, torch.device("cpu"))
    y = torch.arange(n) % classes
    radius = torch.rand(n, generator=generator).sqrt()
    angle = 2 * math.pi * (turns * radius + y / classes)
    x = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + noise * torch.randn(n, 2, generator=generator), y
