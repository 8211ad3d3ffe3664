"""Boxes in an image, and the share of pixels they leave."""

from typing import Any

import torch
from torch import Tensor

from mixlab.mixing.constants import constant
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request


def box_plan(name: str, ask: Request, nominal: Tensor, share: Tensor, center: Tensor, **options: Any) -> MixPlan:
    """A plan that pastes boxes about a center, clipped at the border; λ is the share of pixels that they leave.

    Args:
        name: the variant's name.
        ask: the batch.
        nominal: [K, B] float32, λ as drawn.
        share: [K, B] float64, the box's side as a share of the image's side, before it is clipped.
        center: [K, B or 1, 2] float64 in [0, 1): down and across, as shares of height and width.
        options: further fields of the plan.
    """
    height, width = ask.x.shape[-2:]
    sides = constant((height, width), torch.int64, ask.x.device)
    middle, half = (center * sides).long(), (share[..., None] * sides).long() // 2
    first, last = (middle - half).clamp(min=0), torch.minimum(middle + half, sides)
    pixels = height * width
    lam = ((pixels - (last - first).prod(-1)).double() / pixels).to(nominal.dtype)
    box = torch.cat([first, last], dim=-1)
    return MixPlan(name, ask.partner, lam, nominal, box, (height, width), ask.rolled, **options)
