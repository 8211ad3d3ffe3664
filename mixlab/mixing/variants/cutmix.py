"""CutMix: a box of the partner, pasted in where it was; a span of a signal, a block of a volume."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.mixing.constants import constant
from mixlab.mixing.geometry import Size
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Boxes


@dataclass(frozen=True)
class CutMix(Variant):
    """Yun et al., "CutMix", ICCV 2019, equations 1 and 2, with λ recomputed for the clipped box as in its code.

    Of a signal [B, C, T] it cuts a span of 1 − λ of its length, of a volume or video [B, C, D, H, W] a block with sides
    of (1 − λ)^⅓, the same in all channels.
    """

    name = "cutmix"
    about = "a box of the partner pasted in; λ is the share of pixels kept (Yun et al., 2019)"
    takes_volumes = True

    def draw(self, ask: Request) -> MixPlan:
        """Sides √(1 − λ) of the image's, about a uniform center."""
        nominal, size = ask.lambdas(), tuple(ask.x.shape[2:])
        pasted = 1 - nominal[:, : ask.places[1]].double()
        share = torch.sqrt(pasted) if len(size) == 2 else pasted ** (1 / len(size))
        corners, left = clipped_boxes(share, ask.uniform(len(size)), size)
        return box_plan(self.name, ask, nominal, corners, left)


def box_plan(
    name: str, ask: Request, nominal: Tensor, corners: Tensor, left: Tensor, *, shrunk: bool = False
) -> MixPlan:
    """The plan that pastes boxes [K, B or 1, 2 D]: λ is the share of pixels that they leave, float64 [K, B or 1]."""
    way = Boxes(corners.expand(*nominal.shape, -1), tuple(ask.x.shape[2:]), shrunk)
    return ask.plan(name, left.to(nominal.dtype).expand_as(nominal), nominal, way)


def clipped_boxes(share: Tensor, center: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Boxes about a center, clipped at the border of the image, and the share of its pixels that each leaves.

    Args:
        share: [...] float64, the box's side as a share of the image's side, before it is clipped.
        center: [..., D] float64 in [0, 1): along each axis, as shares of its length.
        size: the image's height and width, or whatever D axes it has.

    Returns:
        First and last edges, for images top, left, bottom and right, int64 [..., 2 D]; and λ, float64 [...].
    """
    sides, pixels = constant(size, torch.int64, share.device), math.prod(size)
    middle, half = (center * sides).long(), (share[..., None] * sides).long() // 2
    first, last = (middle - half).clamp_(min=0), torch.minimum(middle + half, sides)
    return torch.cat([first, last], dim=-1), (pixels - (last - first).prod(-1)).double().div_(pixels)
