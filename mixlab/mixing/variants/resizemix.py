"""ResizeMix: the partner's whole image, made small, pasted in."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.mixing.constants import constant
from mixlab.mixing.geometry import Size
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.cutmix import box_plan
from mixlab.mixing.variants.variant import Request, Variant

_SMALLEST, _LARGEST = 0.1, 0.8


@dataclass(frozen=True)
class ResizeMix(Variant):
    """Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", arXiv 2012.11101.

    The box has ⌊τ side⌋ of the image's sides, τ ~ U(0.1, 0.8), about a uniform pixel, and is shifted inside where it
    would reach over the border, as in the authors' code (`getbox_new`); the whole partner is shrunk into it, to the
    nearest pixel. λ = 1 − the share of pixels in the box, 0.77 in the mean for 32 by 32 pixels. The Mixer's alpha has
    no part in it: the nominal λ is 1 − τ², of signals 1 − τ, of volumes 1 − τ³. OpenMixup clips the box at the border
    instead and squeezes the image into what is left, which keeps 0.84 in the mean.
    """

    name = "resizemix"
    about = "the partner's whole image shrunk into a box; λ is the share of pixels kept (Qin et al., 2020)"
    takes_alpha = False
    takes_volumes = True

    def draw(self, ask: Request) -> MixPlan:
        """Sides of τ, about a uniform pixel."""
        size = tuple(ask.x.shape[2:])
        share = (_SMALLEST + (_LARGEST - _SMALLEST) * ask.uniform()).expand(ask.k, len(ask.x))
        nominal = (1 - share ** len(size)).float()
        corners, left = shifted_boxes(share, ask.uniform(len(size)), size)
        return box_plan(self.name, ask, nominal, corners, left, shrunk=True)


def shifted_boxes(share: Tensor, center: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Boxes about a center, shifted inside the image where they would reach over its border, and what each leaves.

    Args:
        share: [...] float64, the box's side as a share of the image's side, at most 1.
        center: [..., D] float64 in [0, 1): along each axis, as shares of its length.
        size: the image's height and width, or whatever D axes it has.

    Returns:
        First and last edges, for images top, left, bottom and right, int64 [..., 2 D]; and λ, float64 [...].
    """
    sides, pixels = constant(size, torch.int64, share.device), math.prod(size)
    lengths = (share[..., None] * sides).long().expand(*share.shape, len(size))
    first = torch.minimum(((center * sides).long() - lengths // 2).clamp(min=0), sides - lengths)
    return torch.cat([first, first + lengths], dim=-1), (pixels - lengths.prod(-1)).double() / pixels
