"""Augmentation against a loop over images in plain Python."""

import torch
from torch.nn import functional

from mixlab.augment import crop_and_flip, cutout


def numbered(batch: int = 40, height: int = 9, width: int = 7) -> torch.Tensor:
    return torch.randint(
        0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_every_result_is_a_crop_of_the_mirrored_image() -> None:
    images, pad = numbered(), 2
    before = images.clone()
    result = crop_and_flip(images, pad, torch.Generator().manual_seed(5))
    assert torch.equal(images, before)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    padded = functional.pad(images.float(), (pad,) * 4, mode="reflect").to(torch.uint8)
    seen = set()
    for i in range(len(images)):
        found = [
            (top, left, flipped)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            for flipped in (False, True)
            if torch.equal(_window(padded[i], top, left, flipped), result[i])
        ]
        assert len(found) == 1
        seen.update(found)
    assert {flipped for *_, flipped in seen} == {False, True}
    assert len({(top, left) for top, left, _ in seen}) > 12  # of 25 shifts, 40 images


def _window(padded: torch.Tensor, top: int, left: int, flipped: bool) -> torch.Tensor:
    window = padded[:, top : top + 9, left : left + 7]
    return window.flip(2) if flipped else window


def test_shifts_are_uniform() -> None:
    """A lone bright column moves by −1, 0 or 1, a third of the time each: chi-square, n = 6,000, p > 1e-4."""
    from scipy.stats import chisquare

    images = torch.zeros(6000, 1, 5, 5)
    images[:, :, :, 2] = 1  # flipping leaves it where it is
    result = crop_and_flip(images, 1, torch.Generator().manual_seed(0))
    counts = torch.bincount(result[:, 0, 2].argmax(1), minlength=5)
    assert counts[0] == counts[4] == 0
    assert chisquare(counts[1:4].numpy()).pvalue > 1e-4


def test_half_of_the_images_are_flipped() -> None:
    """Within 4.5 standard errors of 6,000."""
    images = torch.zeros(6000, 1, 2, 4)
    images[..., 0] = 1
    flipped = crop_and_flip(images, 0, torch.Generator().manual_seed(0))[:, 0, 0, 3]
    assert abs(flipped.mean() - 0.5) < 4.5 * (0.25 / 6000) ** 0.5


def test_the_generator_decides() -> None:
    images = numbered()
    one, two = (crop_and_flip(images, 3, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, crop_and_flip(images, 3, torch.Generator().manual_seed(10)))


def test_cutout_hides_one_clipped_square_with_the_mean() -> None:
    images = numbered(batch=200, height=12, width=10)
    before = images.clone()
    result = cutout(images, 4, torch.Generator().manual_seed(2))
    assert torch.equal(images, before)
    sizes = set()
    for image, cut in zip(images, result, strict=True):
        grey = image.float().mean((1, 2)).to(torch.uint8)
        hole = (cut == grey[:, None, None]).all(0)
        changed = (cut != image).any(0)
        assert bool((hole | ~changed).all())
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert height <= 4
        assert width <= 4
        sizes.add((height, width))
    assert (4, 4) in sizes
    assert len(sizes) > 3  # some are clipped at the border
