"""CutMix: a box of the partner, pasted in where it was."""

from dataclasses import dataclass

import torch

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.boxes import box_plan
from mixlab.mixing.variants.variant import Request, Variant


@dataclass(frozen=True)
class CutMix(Variant):
    """Yun et al., "CutMix", ICCV 2019, equations 1 and 2, with λ recomputed for the clipped box as in its code."""

    name = "cutmix"
    about = "a box of the partner pasted in; λ is the share of pixels kept (Yun et al., 2019)"

    def draw(self, ask: Request) -> MixPlan:
        """Sides √(1 − λ) of the image's, about a uniform center."""
        nominal = ask.lambdas()
        return box_plan(self.name, ask, nominal, torch.sqrt(1 - nominal.double()), ask.uniform(2))
