"""Loss and error in one random plane around the weights of each network, measured a row at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab.machine import torch_threads, using_threads
from mixlab.probes.landscape import filter_normalized, loss_on_grid

HEIGHTS = {"loss": "cross-entropy", "error": "share of wrong answers"}
RADII = (0.5, 1.0)  # filter lengths: how far from the weights mean rises are taken


@dataclass(frozen=True, eq=False)
class Planes:
    """What is measured so far of a plane around each network.

    Attributes:
        step: counts the rows measured, of all networks together.
        axis: holds the positions along both directions, rising from −1 to 1 filter lengths; the middle one is 0.
        heights: is float64 [networks, 2, side, side], losses in nats and errors as shares, by a and b of w + a·d₁ +
            b·d₂; NaN where nothing is measured yet.
    """

    step: int
    axis: tuple[float, ...]
    heights: Tensor
    train_loss: float = math.nan  # nothing is trained

    @property
    def epoch(self) -> float:
        """Rows measured of each network."""
        return self.step / len(self.heights)

    @property
    def done(self) -> bool:
        """Whether every point is measured."""
        return not bool(self.heights.isnan().any())

    def centers(self, height: str) -> list[float]:
        """The loss or the error of each network as it is."""
        middle = len(self.axis) // 2
        return [float(heights[middle, middle]) for heights in self._of(height)]

    def rises(self, height: str) -> list[list[float]]:
        """By how much it is higher on average at the points within each of the RADII, for each network."""
        places = torch.tensor(self.axis, dtype=torch.float64, device="cpu")
        distances = (places[:, None].square() + places.square()).sqrt()
        within = [distances <= radius + 1e-9 for radius in RADII]
        return [
            [float(heights[near].mean()) - center for near in within]
            for heights, center in zip(self._of(height), self.centers(height), strict=True)
        ]

    def _of(self, height: str) -> Tensor:
        return self.heights[:, list(HEIGHTS).index(height)]


class PlaneWalk:
    """Measures the planes, a row of one network at a step and the networks in turn; a `Training` for a Session.

    Args:
        networks: are in evaluation mode while they are measured, and come out as they were.
        x: holds the inputs as the networks take them, [N, ...].
        targets: holds each input's probabilities, [N, classes].
        axis: holds the positions along both directions.
        seed: draws the directions; networks of one architecture get the same noise, each fit to its own filters.
    """

    def __init__(
        self, networks: Sequence[nn.Module], x: Tensor, targets: Tensor, axis: Sequence[float], *, seed: int
    ) -> None:
        self._networks, self._x, self._targets, self._axis = list(networks), x, targets, tuple(axis)
        self._threads, why = torch_threads()
        self.picked = f"{self._threads} threads ({why})"
        self.batch_size, self.steps_per_epoch = len(x) * len(axis), len(networks)
        self.steps, self.step_count = len(networks) * len(axis), 0
        self.model = self._networks[0]  # the one at work
        self._directions = [_two_directions(network, seed, x.device) for network in networks]
        shape = (len(networks), len(HEIGHTS), len(axis), len(axis))
        self._heights = torch.full(shape, math.nan, dtype=torch.float64, device="cpu")
        self.loss_so_far = (0.0, 0)

    @property
    def done(self) -> bool:
        """Whether every row is measured."""
        return self.step_count == self.steps

    def step(self) -> None:
        """Measure the next row."""
        row, number = divmod(self.step_count, len(self._networks))
        self.model = self._networks[number]
        with using_threads(self._threads):
            measured = loss_on_grid(self.model, self._measure, self._directions[number], [self._axis[row]], self._axis)
        self._heights[number, :, row] = measured[0].T
        self.step_count += 1

    def evaluate(self) -> Planes:
        """What is measured so far."""
        return Planes(self.step_count, self._axis, self._heights.clone())

    def _measure(self, model: nn.Module) -> Tensor:
        logits = model(self._x).float()
        wrong = logits.argmax(1) != self._targets.argmax(1)
        return torch.stack([functional.cross_entropy(logits, self._targets), wrong.float().mean()])


def _two_directions(network: nn.Module, seed: int, device: torch.device) -> list[list[Tensor]]:
    generator = torch.Generator(device).manual_seed(seed)
    return [filter_normalized(network, generator=generator) for _ in range(2)]
