"""Crop, flip and cutout of a whole batch at once, on the tensors themselves, still uint8; and views for testing."""

from dataclasses import InitVar, dataclass
from typing import Any

import torch
from torch import Tensor

from mixlab import _check

BORDERS = ("mirror", "black")
FLIPS = ("random", "alternating")
VIEWS = (1, 2, 6)


@dataclass(frozen=True)
class Augmentation:
    """What is done to the training images of each batch: `mixlab.fit`'s augment and the crops of its TrainOptions.

    Args:
        augment: crops and flips the images; without it the next three options do nothing.
        flip: is "random" or "alternating".
        pad: is the largest shift of a crop in pixels, cut to `side` - 1.
        border: is "mirror" or "black".
        cutout_side: is the side in pixels of the square that is hidden; 0 hides none.
        side: is the shorter side of an image, in pixels.

    Raises:
        TypeError, ValueError: augment is no bool, or cutout_side is larger than an image.
    """

    augment: bool
    flip: str
    pad: int
    border: str
    cutout_side: int
    side: InitVar[int]

    def __post_init__(self, side: int) -> None:
        _check.flag("augment", self.augment)
        object.__setattr__(self, "pad", min(self.pad, side - 1))  # a border can be mirrored once
        _check.integer("cutout_side", self.cutout_side, 0, side)

    @property
    def alternates(self) -> bool:
        """Whether an image's flip depends on how it was flipped before."""
        return self.augment and self.flip == "alternating"

    @property
    def settings(self) -> dict[str, Any]:
        """The fields, in values that JSON has; None for those that do nothing."""
        moves = {"flip": self.flip, "pad": self.pad, "border": self.border if self.pad else None}
        used = moves if self.augment else dict.fromkeys(moves)
        return {"augment": self.augment, **used, "cutout_side": self.cutout_side}

    def __call__(self, images: Tensor, flip: Tensor | None, generator: torch.Generator) -> Tensor:
        """The images [B, C, H, W], moved, flipped and cut; `flip` [B] says which to flip, and None draws them."""
        if self.augment:
            images = crop_and_flip(images, self.pad, generator, flip=flip, border=self.border)
        if self.cutout_side:
            images = cutout(images, self.cutout_side, generator)
        return images


def crop_and_flip(
    images: Tensor, pad: int, generator: torch.Generator, *, flip: Tensor | None = None, border: str = "mirror"
) -> Tensor:
    """Shift every image by up to `pad` pixels each way, and flip half of them, or those that are named, left to right.

    Args:
        images: are [B, C, H, W] of any dtype, and are not changed.
        pad: is the largest shift in pixels, less than the height and the width.
        generator: draws the shifts and flips, on the images' device.
        flip: says which images are flipped, bool [B]; None draws them.
        border: fills what a crop shows of the outside: "mirror" with the image reflected, "black" with zeros.

    Returns:
        The crops [B, C, H, W], contiguous and of the same dtype.

    Source: He et al., "Deep Residual Learning", CVPR 2016, section 4.2, whose borders are black.
    """
    batch, channels, height, width = images.shape
    device = images.device
    shift = torch.randint(-pad, pad + 1, (2, batch, 1), generator=generator, device=device)
    if flip is None:
        flip = torch.rand(batch, generator=generator, device=device, dtype=torch.float32) < 0.5
    row = torch.arange(height, device=device) + shift[0]
    column = torch.arange(width, device=device) + shift[1]
    column = torch.where(flip[:, None], column.flip(1), column)
    place = (_mirrored(row, height)[:, :, None] * width + _mirrored(column, width)[:, None, :]).view(batch, 1, -1)
    moved = images.flatten(2).gather(2, place.expand(batch, channels, height * width)).view_as(images)
    if border == "black":
        inside = _inside(row, height)[:, None, :, None] & _inside(column, width)[:, None, None, :]
        moved.masked_fill_(~inside, 0)
    return moved


def alternated(first: Tensor, epoch: int) -> Tensor:
    """Which images are flipped in an epoch: `first` in even ones, the others in odd ones.

    So an image is seen as often one way as the other, where independent flips repeat themselves half of the time.

    Args:
        first: says which images are flipped in the first epoch, bool [N]; it is drawn once.
        epoch: is the number of the epoch, from 0.

    Returns:
        The flips, bool [N].

    Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, "alternating flip".
    """
    return ~first if epoch % 2 else first


def _inside(place: Tensor, size: int) -> Tensor:
    return (place >= 0) & (place < size)


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Reflect indices that left [0, size) back into it, the border pixel not repeated."""
    place = place.abs()
    return torch.where(place >= size, 2 * (size - 1) - place, place)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square of `side` pixels, clipped at the border, to the image's own mean in every image.

    Args:
        images: are [B, C, H, W] of any dtype, and are not changed.
        side: is the side of the square, in pixels.
        generator: draws the middle of each square, on the images' device.

    Returns:
        The images [B, C, H, W] with their squares, of the same dtype.

    Source: DeVries and Taylor, "Improved Regularization of CNNs with Cutout", 2017.
    """
    batch, _, height, width = images.shape
    device = images.device
    hidden = []
    for size in (height, width):
        start = torch.randint(0, size, (batch, 1), generator=generator, device=device) - side // 2
        place = torch.arange(size, device=device)
        hidden.append((place >= start) & (place < start + side))
    hole = hidden[0][:, None, :, None] & hidden[1][:, None, None, :]
    gray = images.float().mean((2, 3), keepdim=True).to(images.dtype)
    return torch.where(hole, gray, images)


def views_of(images: Tensor, count: int) -> list[tuple[float, Tensor]]:
    """Views of test images, each with the weight of its logits in the mean; the weights sum to 1.

    Args:
        images: are [B, C, H, W] of any dtype, at least 2 pixels high and wide, and are not changed.
        count: is 1 for the images alone, 2 for their mirror images as well, or 6: half of the weight on these two, half
            on both shifted by a pixel up and left, and down and right, the border mirrored.

    Returns:
        As many pairs (weight, images [B, C, H, W]).

    Source: airbench (Jordan, 2024), "multi-crop evaluation".
    """
    if count == 1:
        return [(1.0, images)]
    if count == 2:
        return [(0.5, images), (0.5, images.flip(3))]
    moved = [(0.25, _shifted(images, 1)), (0.25, _shifted(images, -1))]
    return [(weight * part, view) for weight, image in ((0.5, images), *moved) for part, view in views_of(image, 2)]


def check_views(views: Any) -> int:
    """The number of views, if it is 1, 2 or 6."""
    count = _check.integer("views", views, 1)
    if count not in VIEWS:
        raise ValueError(f"views must be 1, 2 or 6, got {_check.shown(views)}")
    return count


def _shifted(images: Tensor, by: int) -> Tensor:
    """The images moved up and to the left by `by` pixels, or down and to the right where it is negative."""
    row, column = (_mirrored(torch.arange(size, device=images.device) + by, size) for size in images.shape[2:])
    return images.index_select(2, row).index_select(3, column)
