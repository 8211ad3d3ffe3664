"""A net for the plane with a hidden layer of two numbers: small enough to see what mixing does inside."""

from itertools import pairwise

from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults

WIDTH = 64  # of the layers before and after the bottleneck


class SpiralNet(nn.Module):
    """A net for the plane with a hidden layer of two numbers: three blocks, the bottleneck, two blocks, a read-out.

    It has no BatchNorm, so that nothing but the loss decides how large the hidden states are. The hyperbolic tangent
    leaves no unit dead, which happens with ReLU about a layer of two.

    Args:
        classes: is the number of logits, at least 2.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("input", "block1", "block2", "block3", "bottleneck", "block4", "block5")

    def __init__(self, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        classes = _check.integer("classes", classes, 2)
        seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
        with spared(seed), usual_defaults():
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
