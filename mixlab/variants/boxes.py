"""Boxes in an image, and the share of pixels they leave."""

from typing import Any

import torch
from torch import Tensor

from mixlab.plans import MixPlan
from mixlab.variants.variant import Request


def box_plan(name: str, ask: Request, nominal: Tensor, share: Tensor, centre: Tensor, **options: Any) -> MixPlan:
    """A plan that pastes boxes about a centre, clipped at the border; λ is the share of pixels that they leave.

    Args:
        name: the variant's name.
        ask: the batch.
        nominal: [K, B] float32, λ as drawn.
        share: [K, B] float64, the box's side as a share of the image's side, before it is clipped.
        centre: [K, B or 1, 2] float64 in [0, 1): down and across, as shares of height and width.
        options: further fields of the plan.
    """
    height, width = ask.x.shape[-2:]
    edges = []
    for place, side in zip(centre.unbind(-1), (height, width), strict=True):
        middle, half = (place * side).long(), (share * side).long() // 2
        edges.append(((middle - half).clamp(min=0), (middle + half).clamp(max=side)))
    (top, bottom), (left, right) = edges
    pixels = height * width
    lam = ((pixels - (bottom - top) * (right - left)).double() / pixels).to(nominal.dtype)
    box = torch.stack([top, left, bottom, right], dim=-1)
    return MixPlan(name, ask.partner, lam, nominal, box, (height, width), ask.rolled, **options)
