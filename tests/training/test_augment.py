"""Augmentation against a loop over images in plain Python."""

import itertools

import torch
from scipy.stats import chisquare
from seeding import seeded
from torch.nn import functional

from mixlab.training.augment import VIEWS, alternated, crop_and_flip, cutout, views_of


def numbered(batch: int = 40, height: int = 9, width: int = 7) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=seeded(1))


def window(padded: torch.Tensor, top: int, left: int, flipped: bool) -> torch.Tensor:
    cut = padded[:, top : top + 9, left : left + 7]
    return cut.flip(2) if flipped else cut


def test_every_result_is_a_crop_of_the_mirrored_image_or_with_a_black_border_the_same_crop_of_zeros() -> None:
    images, pad = numbered() | 1, 2  # no black pixel of their own
    before = images.clone()
    mirror, black = (crop_and_flip(images, pad, seeded(5), border=border) for border in ("mirror", "black"))
    assert torch.equal(images, before)
    assert (mirror.shape, mirror.dtype) == (images.shape, torch.uint8)
    mirrored = functional.pad(images.float(), (pad,) * 4, mode="reflect").to(torch.uint8)
    padded = functional.pad(images, (pad,) * 4)
    places = list(itertools.product(range(2 * pad + 1), range(2 * pad + 1), (False, True)))
    seen = set()
    for i in range(len(images)):
        (place,) = [place for place in places if torch.equal(window(mirrored[i], *place), mirror[i])]
        assert torch.equal(window(padded[i], *place), black[i])
        seen.add(place)
    assert {flipped for *_, flipped in seen} == {False, True}
    assert len({(top, left) for top, left, _ in seen}) > 12  # of 25 shifts, 40 images


def test_shifts_are_uniform() -> None:
    """A lone bright column moves by −1, 0 or 1, a third of the time each: chi-square, n = 6,000, p > 1e-4."""
    images = torch.zeros(6000, 1, 5, 5)
    images[:, :, :, 2] = 1  # flipping leaves it where it is
    result = crop_and_flip(images, 1, seeded(0))
    counts = torch.bincount(result[:, 0, 2].argmax(1), minlength=5)
    assert counts[0] == counts[4] == 0
    assert chisquare(counts[1:4].numpy()).pvalue > 1e-4


def test_half_of_the_images_are_flipped() -> None:
    """Within 4.5 standard errors of 6,000."""
    images = torch.zeros(6000, 1, 2, 4)
    images[..., 0] = 1
    flipped = crop_and_flip(images, 0, seeded(0))[:, 0, 0, 3]
    assert abs(flipped.mean() - 0.5) < 4.5 * (0.25 / 6000) ** 0.5


def test_cutout_hides_one_clipped_square_with_the_mean() -> None:
    images = numbered(batch=200, height=12, width=10)
    before = images.clone()
    result = cutout(images, 4, seeded(2))
    assert torch.equal(images, before)
    sizes = set()
    for image, cut in zip(images, result, strict=True):
        gray = image.float().mean((1, 2)).to(torch.uint8)
        hole = (cut == gray[:, None, None]).all(0)
        changed = (cut != image).any(0)
        assert bool((hole | ~changed).all())
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert max(height, width) <= 4
        sizes.add((height, width))
    assert (4, 4) in sizes
    assert len(sizes) > 3  # some are clipped at the border


def test_named_images_are_flipped_and_the_rest_are_not() -> None:
    images, flip = numbered(), torch.rand(40, generator=seeded(3)) < 0.5
    result = crop_and_flip(images, 0, seeded(5), flip=flip)
    for image, moved, flipped in zip(images, result, flip.tolist(), strict=True):
        assert torch.equal(moved, image.flip(2) if flipped else image)


def test_alternating_flips_show_both_sides_equally_often() -> None:
    first = torch.rand(100, generator=seeded()) < 0.5
    before = first.clone()
    assert torch.equal(sum(alternated(first, epoch).long() for epoch in range(10)), torch.full((100,), 5))
    assert torch.equal(alternated(first, 0), before)
    assert torch.equal(first, before)


def test_six_views_are_airbenchs() -> None:
    """Mirror of each of: nothing, and windows of the image padded by one mirrored pixel; weights as in its sums."""
    images = numbered(batch=3, height=6, width=5)
    for count in VIEWS:
        weights, views = zip(*views_of(images, count), strict=True)
        assert (len(views), sum(weights)) == (count, 1)
        assert torch.equal(views[0], images)
    padded = functional.pad(images.float(), (1, 1, 1, 1), mode="reflect").to(torch.uint8)
    wanted = [(0.5, images), (0.25, padded[:, :, 2:, 2:]), (0.25, padded[:, :, :-2, :-2])]
    found = views_of(images, 6)
    for place, (weight, image) in enumerate(wanted):
        for part, turned in ((found[2 * place], image), (found[2 * place + 1], image.flip(3))):
            assert part[0] == weight / 2
            assert torch.equal(part[1], turned)
