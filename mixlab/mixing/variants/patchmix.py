"""PatchMix: a random set of the patches of a grid comes from the partner."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.constants import constant
from mixlab.mixing.geometry import Size, spread
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Mask


@dataclass(frozen=True)
class PatchMix(Variant):
    """The "random" masks of Liu et al., "TokenMix", ECCV 2022, with labels by area, as CutMix has them.

    Of n patches, (1 − λ) n, rounded, come from the partner. TokenMix's code takes half of 14 × 14 patches and 14 more,
    in blocks by default, and weighs labels by what another network sees in the patches.

    Args:
        patches: counts the patches along each side of the image.
    """

    patches: int = 4

    name = "patchmix"
    about = "random patches of a grid come from the partner; λ is the share kept (after Liu et al., 2022)"

    def __post_init__(self) -> None:
        object.__setattr__(self, "patches", _check.integer("patches", self.patches, 2))

    def draw(self, ask: Request) -> MixPlan:
        """Which patches the example keeps."""
        nominal, side = ask.lambdas(), self.patches
        kept = side**2 - ((1 - nominal.double()) * side**2).round()
        rank = ask.uniform(side**2).argsort(-1).argsort(-1)
        mask = (rank < kept[..., None]).to(nominal.dtype)
        left = (mask * _areas(side, (ask.x.shape[2], ask.x.shape[3]), mask.device)).sum(-1)
        way = Mask(mask.view(*nominal.shape, side, side))
        return ask.plan(self.name, left.clamp(0, 1), nominal, way)


def _areas(grid: int, size: Size, device: torch.device) -> Tensor:
    """The share of the image's pixels that each patch has, float32 [grid²]; equal where the grid divides the image."""
    number = torch.arange(grid**2, device="cpu").view(grid, grid)
    pixels = torch.bincount(spread(number, (size[0], size[1])).flatten(), minlength=grid**2)
    return constant(tuple((pixels / pixels.sum()).tolist()), torch.float32, device)
