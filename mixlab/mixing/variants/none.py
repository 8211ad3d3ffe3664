"""No mixing: the baseline, in the same form as the rest."""

from dataclasses import dataclass

import torch

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import AsIs


@dataclass(frozen=True)
class NoMixing(Variant):
    """Every example is its own partner; K repeats it."""

    name = "none"
    about = "every example as it is"
    pairs = False
    takes_alpha = False
    takes_images = False

    def draw(self, ask: Request) -> MixPlan:
        """Weights of 1."""
        ones = torch.ones(ask.k, len(ask.x), dtype=torch.float32, device=ask.x.device)
        return ask.plan(self.name, ones, ones, AsIs())
