"""Crop, flip and cutout of a whole batch at once, on the tensors themselves, still uint8."""

import torch
from torch import Tensor


def crop_and_flip(images: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Shift every image by up to `pad` pixels each way, its border mirrored, and flip half of them left to right.

    Args:
        images: [B, C, H, W] of any dtype; not changed. `pad` is less than H and W.
        pad: the largest shift, in pixels; less than the height and the width.
        generator: source of randomness on the images' device.

    Returns:
        [B, C, H, W], contiguous. Source: He et al., "Deep Residual Learning", CVPR 2016, section 4.2, with mirrored
        borders in place of black ones.
    """
    batch, channels, height, width = images.shape
    device = images.device
    shift = torch.randint(-pad, pad + 1, (2, batch, 1), generator=generator, device=device)
    flip = torch.rand(batch, 1, generator=generator, device=device) < 0.5
    row = _mirrored(torch.arange(height, device=device) + shift[0], height)
    column = _mirrored(torch.arange(width, device=device) + shift[1], width)
    column = torch.where(flip, column.flip(1), column)
    place = (row[:, :, None] * width + column[:, None, :]).view(batch, 1, height * width)
    return images.flatten(2).gather(2, place.expand(batch, channels, height * width)).view_as(images)


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Reflect indices that left [0, size) back into it, the border pixel not repeated."""
    place = place.abs()
    return torch.where(place >= size, 2 * (size - 1) - place, place)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square of `side` pixels, clipped at the border, to the image's own mean in every image.

    Args:
        images: [B, C, H, W] of any dtype; not changed.
        side: of the square, in pixels.
        generator: source of randomness on the images' device.

    Returns:
        [B, C, H, W]. Source: DeVries and Taylor, "Improved Regularization of CNNs with Cutout", 2017.
    """
    batch, _, height, width = images.shape
    device = images.device
    hidden = []
    for size in (height, width):
        start = torch.randint(0, size, (batch, 1), generator=generator, device=device) - side // 2
        place = torch.arange(size, device=device)
        hidden.append((place >= start) & (place < start + side))
    hole = hidden[0][:, None, :, None] & hidden[1][:, None, None, :]
    grey = images.float().mean((2, 3), keepdim=True).to(images.dtype)
    return torch.where(hole, grey, images)
