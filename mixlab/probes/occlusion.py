"""Images of which a part is hidden: a square at the center or anywhere, or random patches, by the share of pixels."""

import torch
from torch import Tensor

from mixlab import _check
from mixlab._torch_state import usual_defaults
from mixlab.data.dataset import IMAGES

PLACES = {
    "center": "a square at the center, where the object mostly is",
    "square": "a square anywhere inside, for each image",
    "patches": "patches of a grid, for each image",
}


@usual_defaults()
def occluded(images: Tensor, share: float, place: str = "square", *, grid: int = 8, seed: int = 0) -> Tensor:
    """Hide a share of each image behind gray, the batch's mean color.

    Args:
        images: are uint8 [N, channels, height, width].
        share: is the share of pixels to hide, from 0 to 1, met as nearly as whole pixels or patches allow.
        place: is "center", "square" or "patches".
        grid: counts the patches along a side for "patches", at least 1.
        seed: seeds the places. A larger share of the same seed hides what a smaller one hides, for "center" and
            "patches".

    Returns:
        uint8 like `images`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Yun et al., "CutMix", ICCV 2019, section 4.4 (center and boundary occlusion); Naseer et al., "Intriguing
    Properties of Vision Transformers", NeurIPS 2021, for random patches.
    """
    _check.tensor("images", images, IMAGES)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.numel() == 0:
        raise TypeError(f"images must be {IMAGES}, got {_check.shown(images)}")
    share = _check.number("share", share, 0, 1)
    _check.choice("place", place, PLACES)
    grid = _check.integer("grid", grid, 1)
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX))
    height, width = images.shape[2:]
    if place == "patches":
        hidden = _patches(len(images), share, grid, (height, width), generator)
    else:
        sides = round(share**0.5 * height), round(share**0.5 * width)
        slack = torch.tensor([height - sides[0], width - sides[1]])
        corners = slack.expand(len(images), 2) // 2
        if place == "square":
            corners = (torch.rand(len(images), 2, generator=generator) * (slack + 1)).long()
        rows, columns = torch.arange(height), torch.arange(width)
        inside = [
            (axis >= corners[:, i, None]) & (axis < corners[:, i, None] + sides[i])
            for i, axis in enumerate((rows, columns))
        ]
        hidden = inside[0][:, :, None] & inside[1][:, None]
    gray = images.float().mean((0, 2, 3)).round().to(torch.uint8)
    return torch.where(hidden[:, None].to(images.device), gray[:, None, None], images)


def _patches(count: int, share: float, grid: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Where pixels are hidden, bool [count, height, width]."""
    order = torch.rand(count, grid * grid, generator=generator).argsort(1).argsort(1)
    chosen = (order < round(share * grid * grid)).view(count, grid, grid)
    rows, columns = (torch.arange(side) * grid // side for side in size)
    return chosen[:, rows][:, :, columns]
