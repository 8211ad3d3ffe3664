"""Spirals in the plane and a net with a hidden layer of two numbers: small enough to see what mixing does inside."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared

WIDTH = 64  # of the layers before and after the bottleneck


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
        n: points in all, at least two for each class.
        noise: standard deviation of both coordinates about the arm, from 0 to 1.
        turns: how often an arm winds round the center, from 0 to 4.
        classes: 2 or 3 arms.
        generator: source of randomness on the CPU (default: the global one).

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


class SpiralNet(nn.Module):
    """A net for the plane with a hidden layer of two numbers: three blocks, the bottleneck, two blocks, a read-out.

    It has no BatchNorm, so that nothing but the loss decides how large the hidden states are. The hyperbolic tangent
    leaves no unit dead, which happens with ReLU about a layer of two.

    Args:
        classes: how many logits to give, at least 2.
        seed: of the initial weights; the global random state is left alone.
    """

    mixing_points = ("input", "block1", "block2", "block3", "bottleneck", "block4", "block5")

    def __init__(self, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        classes = _check.integer("classes", classes, 2)
        seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
        with spared(seed):
            self.block1, self.block2, self.block3 = _blocks(2, WIDTH, WIDTH, WIDTH)
            self.bottleneck = nn.Linear(WIDTH, 2)
            self.block4, self.block5 = _blocks(2, WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, classes)

    def hidden(self, x: Tensor) -> Tensor:
        """The bottleneck's states [B, 2] of points [B, 2]."""
        states: Tensor = self.bottleneck(self.block3(self.block2(self.block1(x))))
        return states

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of points [B, 2]."""
        logits: Tensor = self.head(self.block5(self.block4(self.hidden(x))))
        return logits


def _blocks(*widths: int) -> list[nn.Sequential]:
    return [nn.Sequential(nn.Linear(before, after), nn.Tanh()) for before, after in pairwise(widths)]


def class_singular_values(hidden: Tensor, labels: Tensor) -> Tensor:
    """How far each class's hidden states spread along their own principal directions, as shares of the layer's spread.

    For each class the states are centered at their mean, and the singular values of that matrix divided by the root of
    its rows: the standard deviations along the class's principal directions, the largest first. To compare layers
    of different scale they are given in units of the whole layer's spread, the root mean square distance of all states
    from their common mean. So the squares of a class sum to 1 if it is as wide as the layer, and to 0 if it is a point.

    Verma et al., "Manifold Mixup" (ICML 2019), section 3, argue that where dim(H) ≥ d − 1 for d classes and what
    follows the layer can be any function, mixing there makes each class flat: at the least loss it keeps at most
    dim(H) − d + 1 directions. Their measure of flatness is the sum of a class's singular values without the largest,
    `values[:, 1:].sum(1)`; theirs are divided neither by the root of the rows nor by any spread.

    Args:
        hidden: float [N, ...], one state for each example; further axes are flattened.
        labels: int64 [N]; every class from 0 to the largest has a state.

    Returns:
        float [classes, r], r the smaller of the dimension and the size of the largest class; a smaller class is filled
        up with zeros.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; states that are all equal, or a class without any.
    """
    states = _check.tensor("hidden", hidden, "float states [N, ...]")
    if not states.is_floating_point() or states.ndim < 2 or len(states) == 0:
        raise TypeError(f"hidden must be float states [N, ...], got {_check.shown(states)}")
    _check.class_labels("labels", labels, batch=len(states), device=states.device)
    states = states.detach().flatten(1).to(torch.promote_types(states.dtype, torch.float32))
    spread = (states - states.mean(0)).square().sum(1).mean().sqrt()
    if not bool(spread > 0):
        raise ValueError("hidden must hold states that differ, but their spread is 0 or not a number")
    counts = torch.bincount(labels)
    if not bool(counts.all()):
        missing = int((counts == 0).nonzero()[0])
        raise ValueError(f"labels must have every class up to the largest, but has no {missing}")
    values = states.new_zeros(len(counts), min(states.shape[1], int(counts.max())))
    for label in range(len(counts)):
        own = states[labels == label]
        found = torch.linalg.svdvals(own - own.mean(0)) / (len(own) ** 0.5 * spread)
        values[label, : len(found)] = found
    return values
