"""Corrupted images: the kinds and severities of CIFAR-10-C, drawn anew for any batch, and the user's own copy of it."""

import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab._torch_state import usual_defaults
from mixlab.data.dataset import IMAGES, Split

SEVERITIES = (1, 2, 3, 4, 5)
_ROWS = 10_000  # test images, which CIFAR-10-C holds once for each severity


class Corruption(NamedTuple):
    """One kind: its family, a line for menus, and what it does to float images in [0, 1] at each severity."""

    family: str
    about: str
    levels: tuple[tuple[float, ...], ...]
    change: Callable[..., Tensor]


@usual_defaults()
def corrupt(images: Tensor, kind: str, severity: int, *, seed: int = 0) -> Tensor:
    """Corrupt a batch of images, the same way for the same seed.

    Kinds and numbers are those that CIFAR-10-C was made with, for 32 × 32 pixels; lengths in pixels grow with the
    side. They are drawn anew here: images differ from the published files in their noise and, where ImageMagick or
    OpenCV made those, in how a motion blur or fog is drawn. Frost, which pastes photographs, and spatter are left out.

    Args:
        images: are uint8 [N, channels, height, width], of 1 or 3 channels.
        kind: is a key of CORRUPTIONS.
        severity: is 1 to 5.
        seed: seeds what is random. Corrupt a test set as a whole: each batch of it would get the same noise.

    Returns:
        uint8 like `images`, on their device.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions", ICLR 2019, and the
    script make_cifar_c.py of their repository.
    """
    wanted = f"{IMAGES} and 1 or 3 channels"
    _check.tensor("images", images, wanted)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise TypeError(f"images must be {wanted}, got {_check.shown(images)}")
    chosen = CORRUPTIONS[_check.choice("kind", kind, CORRUPTIONS)]
    severity = _check.integer("severity", severity, 1, 5)
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX))
    x = images.cpu().float().div_(255)
    changed = chosen.change(x, *chosen.levels[severity - 1], generator=generator)
    return (255 * changed).clamp_(0, 255).round_().to(torch.uint8).to(images.device)


def load_cifar10c(kind: str, severity: int, *, root: str | os.PathLike[str]) -> Split:
    """The published CIFAR-10-C images of one kind and severity, from the user's own copy of the files.

    Args:
        kind: is the name of a file without its ".npy", such as "fog" or "frost".
        severity: is 1 to 5.
        root: is the folder that holds the files, with labels.npy (https://zenodo.org/records/2535967).

    Returns:
        Split of 10,000 images in the order of CIFAR-10's test set; the file is mapped, not read as a whole.

    Raises:
        TypeError, ValueError: a wrong argument, a file that is not there, or one that holds something else.
    """
    import numpy as np

    severity = _check.integer("severity", severity, 1, 5)
    if not isinstance(kind, str) or not isinstance(root, (str, os.PathLike)):
        raise TypeError(f"kind must be a text and root a path, got {_check.shown(kind)} and {_check.shown(root)}")
    folder = Path(root).expanduser()
    if not (folder / f"{kind}.npy").is_file() or not (folder / "labels.npy").is_file():
        there = sorted(path.stem for path in folder.glob("*.npy") if path.stem != "labels")
        raise ValueError(f"kind must be one of the files in {folder} beside labels.npy, {there}, got {kind!r}")
    whole = np.load(folder / f"{kind}.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    if whole.shape != (5 * _ROWS, 32, 32, 3) or whole.dtype != np.uint8 or labels.shape != (5 * _ROWS,):
        raise ValueError(
            f"root must hold images uint8 (50000, 32, 32, 3), got {whole.dtype} {whole.shape} in {kind}.npy"
        )
    part = slice((severity - 1) * _ROWS, severity * _ROWS)
    images = torch.from_numpy(np.array(whole[part])).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.from_numpy(labels[part].astype(np.int64)))


def _normal(x: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape or x.shape, generator=generator)


def gaussian_noise(x: Tensor, sigma: float, *, generator: torch.Generator) -> Tensor:
    """Adds normal noise."""
    return x + sigma * _normal(x, generator)


def shot_noise(x: Tensor, photons: float, *, generator: torch.Generator) -> Tensor:
    """Counts photons: Poisson noise, `photons` at white."""
    return torch.poisson(x * photons, generator=generator) / photons


def impulse_noise(x: Tensor, share: float, *, generator: torch.Generator) -> Tensor:
    """Sets a share of the values to black or white."""
    draw = torch.rand(x.shape, generator=generator)
    return torch.where(draw < share / 2, 0.0, torch.where(draw < share, 1.0, x))


def speckle_noise(x: Tensor, sigma: float, *, generator: torch.Generator) -> Tensor:
    """Adds normal noise in proportion to the value."""
    return x + x * sigma * _normal(x, generator)


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel with one kernel [h, w] for all images, or one for each [N, h, w]; mirrored at the border."""
    count, channels = x.shape[:2]
    height, width = kernel.shape[-2:]
    pad = ((width - 1) // 2, width // 2, (height - 1) // 2, height // 2)
    padded = functional.pad(x, pad, mode="reflect")
    weight = kernel.expand(count, height, width).repeat_interleave(channels, 0)[:, None]
    grouped = functional.conv2d(padded.flatten(0, 1)[None], weight, groups=count * channels)
    return grouped.view(x.shape)


def _bell(sigma: float, *, reach: float = 4.0) -> Tensor:
    radius = max(1, round(reach * sigma))
    bell = torch.exp(-torch.arange(-radius, radius + 1).square() / (2 * sigma * sigma))
    return (bell[:, None] * bell) / bell.sum() ** 2


def gaussian_blur(x: Tensor, sigma: float, *, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG001
    """Blurs with a bell of sigma pixels at a side of 32."""
    return _convolved(x, _bell(sigma * _scale(x)))


def _scale(x: Tensor) -> float:
    return min(x.shape[-2:]) / 32


def defocus_blur(x: Tensor, radius: float, alias: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Blurs with a disk, its edge softened."""
    radius = radius * _scale(x)
    reach = math.ceil(radius) + 1
    away = torch.arange(-reach, reach + 1).float().square()
    disk = ((away[:, None] + away).sqrt() <= radius).float()
    edge = functional.conv2d(disk[None, None], _bell(max(alias, 0.1), reach=1.0)[None, None], padding="same")[0, 0]
    return _convolved(x, edge / edge.sum())


def glass_blur(x: Tensor, sigma: float, reach: float, rounds: float, *, generator: torch.Generator) -> Tensor:
    """Swaps neighboring pixels between two blurs."""
    x = gaussian_blur(x, max(sigma, 0.1))
    reach = max(1, round(reach * _scale(x)))
    height, width = x.shape[-2:]
    for _ in range(int(rounds)):
        shift = torch.randint(-reach, reach, (2, len(x), height, width), generator=generator)  # as there, never +reach
        rows = (torch.arange(height)[:, None] + shift[0]).clamp(0, height - 1)
        columns = (torch.arange(width) + shift[1]).clamp(0, width - 1)
        places = (rows * width + columns).flatten(1)[:, None].expand(-1, x.shape[1], -1)
        x = x.flatten(2).gather(2, places).view(x.shape)
    return gaussian_blur(x, max(sigma, 0.1))


def motion_blur(x: Tensor, radius: float, sigma: float, *, generator: torch.Generator) -> Tensor:
    """Blurs to one side along a line, at an angle of −45° to 45°, one for each image."""
    return _along(x, radius, sigma, -45.0, 45.0, generator)


def _along(x: Tensor, radius: float, sigma: float, low: float, high: float, generator: torch.Generator) -> Tensor:
    scale = _scale(x)
    steps = torch.arange(0, max(2, round(radius * scale)) + 1).float()
    weight = torch.exp(-steps.square() / (2 * (sigma * scale) ** 2))
    angle = torch.deg2rad(low + (high - low) * torch.rand(len(x), generator=generator))
    reach = len(steps) - 1
    kernel = torch.zeros(len(x), 2 * reach + 1, 2 * reach + 1)
    rows = (reach + steps * angle.sin()[:, None]).round().long()
    columns = (reach + steps * angle.cos()[:, None]).round().long()
    which = torch.arange(len(x))[:, None].expand_as(rows)
    kernel.index_put_((which, rows, columns), weight.expand_as(rows), accumulate=True)
    return _convolved(x, kernel / weight.sum())


def zoom_blur(x: Tensor, most: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Averages zooms of 1, 1.01, ... up to the most."""
    total, count = x.clone(), 1
    for step in range(round((most - 1) * 100)):
        total, count = total + _zoomed(x, 1 + step / 100), count + 1
    return total / count


def _zoomed(x: Tensor, factor: float) -> Tensor:
    theta = torch.tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]]).expand(len(x), 2, 3)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def snow(
    x: Tensor, mean: float, spread: float, zoom: float, least: float, radius: float, sigma: float, keep: float,
    *, generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Whitens the image and lets flakes fall through it."""
    flakes = _zoomed(mean + spread * _normal(x, generator, len(x), 1, *x.shape[2:]), zoom)
    flakes = torch.where(flakes < least, 0.0, flakes).clamp(0, 1)
    flakes = _along(flakes, radius, sigma, 45.0, 135.0, generator)
    gray = x.mean(1, keepdim=True)
    return keep * x + (1 - keep) * torch.maximum(x, 1.5 * gray + 0.5) + flakes + flakes.flip(2, 3)


def fog(x: Tensor, strength: float, decay: float, *, generator: torch.Generator) -> Tensor:
    """Lays a random cloud over the image: noise summed over scales, each finer one weaker by the decay."""
    cloud = torch.zeros(len(x), 1, *x.shape[2:])
    side, weight = 2, 1.0
    while side <= max(x.shape[2:]):
        noise = 2 * torch.rand(len(x), 1, side, side, generator=generator) - 1
        cloud += weight * functional.interpolate(noise, size=x.shape[2:], mode="bicubic", align_corners=True)
        side, weight = 2 * side, weight / decay
    low, high = cloud.amin((2, 3), keepdim=True), cloud.amax((2, 3), keepdim=True)
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + strength * (cloud - low) / (high - low)) * brightest / (brightest + strength)


def brightness(x: Tensor, more: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Adds to the largest channel of each pixel and scales the others with it: V of HSV."""
    value = x.amax(1, keepdim=True)
    return torch.where(value > 0, x / value.clamp(min=1e-6) * (value + more).clamp(max=1), min(more, 1.0))


def contrast(x: Tensor, factor: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Draws each channel toward its mean over the image."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def saturate(x: Tensor, factor: float, more: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Changes S of HSV, at the same V."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    old = (value - least) / value.clamp(min=1e-6)
    new = (old * factor + more).clamp(0, 1)
    return torch.where(old > 0, value - (value - x) * new / old.clamp(min=1e-6), x)


def elastic(x: Tensor, push: float, sigma: float, slant: float, *, generator: torch.Generator) -> Tensor:
    """Slants the image and moves its pixels by a smooth random field; lengths are shares of the side."""
    side = min(x.shape[-2:])
    theta = torch.eye(2, 3).repeat(len(x), 1, 1)
    theta += 3 * slant * (2 * torch.rand(theta.shape, generator=generator) - 1)  # three points a third of a side away
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    if push > 0:
        noise = 2 * torch.rand(len(x), 2, *x.shape[2:], generator=generator) - 1
        field = _smooth(noise, sigma * side) * push * side
        grid = grid + field.permute(0, 2, 3, 1) * 2 / side
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _smooth(x: Tensor, sigma: float) -> Tensor:
    radius = min(round(3 * sigma), min(x.shape[-2:]) - 1)
    bell = torch.exp(-torch.arange(-radius, radius + 1).square() / (2 * sigma * sigma))
    return _convolved(_convolved(x, (bell / bell.sum())[:, None]), (bell / bell.sum())[None])


def pixelate(x: Tensor, share: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Shrinks to a share of the side by areas, and back."""
    small = [max(1, int(side * share)) for side in x.shape[2:]]
    return functional.interpolate(
        functional.interpolate(x, size=small, mode="area"), size=x.shape[2:], mode="nearest-exact"
    )


def jpeg(x: Tensor, quality: float, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Stores the image as a JPEG of this quality, and reads it back."""
    import numpy as np
    from PIL import Image

    parts = []
    for image in (255 * x).round().to(torch.uint8):
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(file, "JPEG", quality=int(quality))
        with Image.open(file) as stored:
            parts.append(torch.from_numpy(np.array(stored)).view(*x.shape[2:], -1).permute(2, 0, 1))
    return torch.stack(parts).float() / 255


def _levels(*numbers: float) -> tuple[tuple[float, ...], ...]:
    return tuple((number,) for number in numbers)


CORRUPTIONS = {
    "gaussian_noise": Corruption("noise", "normal noise", _levels(0.04, 0.06, 0.08, 0.09, 0.1), gaussian_noise),
    "shot_noise": Corruption("noise", "too few photons", _levels(500, 250, 100, 75, 50), shot_noise),
    "impulse_noise": Corruption("noise", "pixels black or white", _levels(0.01, 0.02, 0.03, 0.05, 0.07), impulse_noise),
    "speckle_noise": Corruption("noise", "noise in the light", _levels(0.06, 0.1, 0.12, 0.16, 0.2), speckle_noise),
    "gaussian_blur": Corruption("blur", "a soft lens", _levels(0.4, 0.6, 0.7, 0.8, 1), gaussian_blur),
    "defocus_blur": Corruption(
        "blur", "out of focus", ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)), defocus_blur
    ),
    "glass_blur": Corruption(
        "blur",
        "behind frosted glass",
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        glass_blur,
    ),
    "motion_blur": Corruption("blur", "a moving camera", ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), motion_blur),
    "zoom_blur": Corruption("blur", "moving toward it", _levels(1.06, 1.11, 1.16, 1.21, 1.26), zoom_blur),
    "snow": Corruption(
        "weather",
        "falling snow",
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        snow,
    ),
    "fog": Corruption("weather", "a cloud of fog", ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)), fog),
    "brightness": Corruption("weather", "too much light", _levels(0.05, 0.1, 0.15, 0.2, 0.3), brightness),
    "contrast": Corruption("digital", "gray and flat", _levels(0.75, 0.5, 0.4, 0.3, 0.15), contrast),
    "saturate": Corruption("digital", "odd colors", ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), saturate),
    "elastic": Corruption(
        "digital",
        "bent and slanted",
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        elastic,
    ),
    "pixelate": Corruption("digital", "coarse pixels", _levels(0.95, 0.9, 0.85, 0.75, 0.65), pixelate),
    "jpeg": Corruption("digital", "JPEG's blocks", _levels(80, 65, 58, 50, 40), jpeg),
}
