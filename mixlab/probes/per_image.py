"""A number for each image, and the interval of its mean over images: what most probes give."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.data.dataset import Split
from mixlab.machine import releasing_memory
from mixlab.mixing.normalize import Statistics, normalized


@dataclass(frozen=True, eq=False)
class PerImage:
    """A number for each image.

    Attributes:
        values: float64 [N], on the CPU.
    """

    values: Tensor

    def interval(self, level: float = 0.95) -> Interval:
        """Student's interval of the mean over images; it says nothing of what another training would give."""
        return mean_interval(self.values.tolist(), level)

    def difference(self, other: "PerImage", level: float = 0.95) -> Interval:
        """The interval of the mean of `self` − `other` over the same images, paired: the images' own spread cancels."""
        if not isinstance(other, PerImage) or other.values.shape != self.values.shape:
            came = f"{len(other.values)} numbers" if isinstance(other, PerImage) else _check.shown(other)
            raise ValueError(f"other must be a PerImage of the same {len(self.values)} images, got {came}")
        return mean_interval((self.values - other.values).tolist(), level)

    def __repr__(self) -> str:
        return f"PerImage({self.interval() if len(self.values) > 1 else self.values.tolist()})"


def check_images(name: str, x: Tensor, like: Tensor | None = None) -> Tensor:
    """Return float inputs [N, ...] of at least one example, of the shape and device of `like`."""
    wanted = "float inputs [N, ...] as the model takes them"
    _check.tensor(name, x, wanted)
    if not x.is_floating_point() or x.ndim < 2 or x.numel() == 0:
        raise TypeError(f"{name} must be {wanted}, got {_check.shown(x)}")
    if like is not None and (x.shape != like.shape or x.device != like.device):
        raise ValueError(f"{name} must have the shape and device of the first inputs, got {_check.shown(x)}")
    return x.detach()


def check_logits(logits: object, rows: int) -> Tensor:
    """Return what a model gave if it is one row of float logits for each input."""
    wanted = f"model must return float logits [{rows}, classes]"
    if not isinstance(logits, Tensor):
        raise TypeError(f"{wanted}, got {_check.shown(logits)}")
    if logits.ndim != 2 or len(logits) != rows or not logits.is_floating_point():
        raise ValueError(f"{wanted}, got {_check.shown(logits)}")
    return logits


def outputs(logits: Tensor, of: str) -> Tensor:
    """The logits, or the probabilities that they stand for; half types are widened."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.softmax(1) if of == "probs" else wide


OF = ("probs", "logits")
ROWS = 100  # inputs that go through the model at once: more would only raise the peak of memory


@releasing_memory()
def answers(model: nn.Module, split: Split, normalize: Statistics) -> Tensor:
    """The class that the model gives each image of a split, int64 [N]."""
    with evaluating(model), torch.no_grad():
        parts = torch.split(split.images, ROWS)
        return torch.cat([check_logits(model(normalized(x, normalize)), len(x)).argmax(1) for x in parts])
