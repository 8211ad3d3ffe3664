"""Pictures of any mode and size, as Pillow opens them, to uint8 pixels."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mixlab._check import choice, integer

if TYPE_CHECKING:
    from PIL.Image import Image

SIDES = (8, 224)
RESIZINGS = ("crop", "squash")


def check_size(image_size: Any, resize: Any) -> tuple[int, str]:
    """The side of the images and the way to resize them, checked."""
    return integer("image_size", image_size, *SIDES), choice("resize", resize, RESIZINGS)


def pillow() -> Any:
    """Pillow's module `Image`; raises ImportError with the way out where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("pictures are read by Pillow: pip install pillow") from None
    return Image


def is_gray(picture: "Image") -> bool:
    """Whether a picture has no color by its mode; a palette counts as color."""
    return picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")


def pixels(picture: "Image", channels: int, side: int | None = None, resize: str = "crop") -> Tensor:
    """A picture as uint8 [channels, height, width], upright as its EXIF orientation says.

    Transparent parts show white. Gray of 16 bits is divided by 257. With a `side` the picture becomes a square: "crop"
    takes the largest square about its center, "squash" the whole picture; both resize by Pillow's bilinear filter,
    which averages on the way down.

    Raises ValueError for values that are neither 8 nor 16 bits.
    """
    image = pillow()
    from PIL import ImageOps

    if side is not None:
        picture.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a part of its size
    picture = _flat(ImageOps.exif_transpose(picture), image).convert("L" if channels == 1 else "RGB")
    if side is not None:
        size, bilinear = (side, side), image.Resampling.BILINEAR
        picture = ImageOps.fit(picture, size, bilinear) if resize == "crop" else picture.resize(size, bilinear)
    values = np.array(picture, dtype=np.uint8)
    values = values[None] if channels == 1 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(values))


def _flat(picture: Any, image: Any) -> Any:
    """The picture with 8 bits a channel, on white where it is transparent."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        values = np.asarray(picture)
        if picture.mode == "F" or values.min() < 0 or values.max() > 65_535:
            raise ValueError(f"its values must have 8 or 16 bits, got mode {picture.mode!r}")
        return image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return image.alpha_composite(image.new("RGBA", picture.size, "white"), picture)
    return picture
