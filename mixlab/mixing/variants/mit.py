"""Mixup inference in training: two mixes of one pair, whose logits are taken apart again before the loss."""

from dataclasses import dataclass

import torch

from mixlab import _check
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Mask

_TRIES = 16


@dataclass(frozen=True)
class MIT(Variant):
    """Wang et al., "On the Pitfall of Mixup for Uncertainty Calibration", CVPR 2023: MIT-L, by its official code.

    Each pair is mixed twice, by λ₁ of at least ½ and λ₂ of at most ½. If the network were linear in between, its logits
    z₁ and z₂ would be λ₁ z_a + (1 − λ₁) z_b and λ₂ z_a + (1 − λ₂) z_b; `mixed_logits` solves for z_a and z_b, which
    have the plain labels of the two images. A plan holds 2 K mixes, the K of λ₁ and then those of λ₂: mix k belongs to
    mix K + k. λ of the label is 1 and 0, and nominal holds the λs; ordered leaves them as they are.

    λ₁ and λ₂ are drawn anew until they are `margin` apart, 16 times at the most so that CUDA need not be waited for;
    what is still too close after these, as for a large alpha, is moved apart. The official code draws on, has one pair
    of λs for the batch (shared_lam), and one forward for each of the two, whose batches BatchNorm sees apart. Its
    parser has alpha 0.5, two of its README's three commands 1.0. MIT-A, which takes the hidden states apart and mixes
    them anew after every block, is left out.

    Args:
        margin: is the least λ₁ − λ₂, from 0.01 to 1: the solution divides by it.

    Raises:
        TypeError, ValueError: a margin of another kind or out of range.
    """

    margin: float = 0.5

    name = "mit"
    about = "two mixes of a pair, logits taken apart again, plain labels (MIT-L: Wang et al., 2023)"
    decouples = True
    label_follows_pixels = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "margin", _check.number("margin", self.margin, 0.01, 1))

    @staticmethod
    def rows(k: int) -> int:
        """Two for each."""
        return 2 * k

    def draw(self, ask: Request) -> MixPlan:
        """Pairs of λs, as masks of one block."""
        lam = ask.lambdas(_TRIES, 2)
        larger = torch.maximum(lam, 1 - lam)
        upper, lower = larger[:, 0], 1 - larger[:, 1]
        first = (upper - lower >= self.margin).int().argmax(0, keepdim=True)
        upper, lower = upper.gather(0, first)[0], lower.gather(0, first)[0]
        short = (self.margin - (upper - lower)).clamp(min=0) / 2
        upper = (upper + short).clamp(max=1)
        lower = torch.minimum(lower - short, upper - self.margin).clamp(min=0)
        upper = torch.maximum(upper, lower + self.margin).clamp(max=1)
        nominal = torch.cat([upper, lower])
        label = torch.cat([torch.ones_like(upper), torch.zeros_like(lower)])
        way = Mask(nominal[..., None, None])
        return ask.plan(self.name, label, nominal, way, decoupled=True)
