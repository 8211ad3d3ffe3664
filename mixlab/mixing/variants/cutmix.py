"""CutMix: a box of the partner, pasted in where it was."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.mixing.constants import constant
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Boxes


@dataclass(frozen=True)
class CutMix(Variant):
    """Yun et al., "CutMix", ICCV 2019, equations 1 and 2, with λ recomputed for the clipped box as in its code."""

    name = "cutmix"
    about = "a box of the partner pasted in; λ is the share of pixels kept (Yun et al., 2019)"

    def draw(self, ask: Request) -> MixPlan:
        """Sides √(1 − λ) of the image's, about a uniform center."""
        nominal = ask.lambdas()
        return box_plan(self.name, ask, nominal, torch.sqrt(1 - nominal.double()), ask.uniform(2))


def box_plan(
    name: str, ask: Request, nominal: Tensor, share: Tensor, center: Tensor, *, shrunk: bool = False
) -> MixPlan:
    """A plan that pastes boxes about a center, clipped at the border; λ is the share of pixels that they leave.

    Args:
        name: the variant's name.
        ask: the batch.
        nominal: [K, B] float32, λ as drawn.
        share: [K, B] float64, the box's side as a share of the image's side, before it is clipped.
        center: [K, B or 1, 2] float64 in [0, 1): down and across, as shares of height and width.
        shrunk: the box shows the partner's whole image, shrunk.
    """
    height, width = ask.x.shape[-2:]
    corners, left = clipped_boxes(share, center, (height, width))
    return MixPlan(
        name, ask.partner, left.to(nominal.dtype), nominal, Boxes(corners, (height, width), shrunk), ask.rolled
    )


def clipped_boxes(share: Tensor, center: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes about a center, clipped at the border of the image, and the share of its pixels that each leaves.

    Args:
        share: [...] float64, the box's side as a share of the image's side, before it is clipped.
        center: [..., 2] float64 in [0, 1): down and across, as shares of height and width.
        size: the image's height and width.

    Returns:
        Top, left, bottom and right, int64 [..., 4]; and λ, float64 [...].
    """
    sides, pixels = constant(size, torch.int64, share.device), size[0] * size[1]
    middle, half = (center * sides).long(), (share[..., None] * sides).long() // 2
    first, last = (middle - half).clamp(min=0), torch.minimum(middle + half, sides)
    return torch.cat([first, last], dim=-1), (pixels - (last - first).prod(-1)).double() / pixels
