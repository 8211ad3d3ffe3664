"""Figures of mixing: the density is scipy's, and the images are the batch's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import beta
from seeding import seeded

from mixlab.mixing.mixer import Mixed, Mixer
from mixlab.plots import picture, plot_lambda, plot_mixed

CLASSES = ("cat", "dog", "bird")


def mixed(dtype: torch.dtype = torch.uint8, batch: int = 4, k: int = 2) -> tuple[torch.Tensor, Mixed]:
    g = seeded()
    x = torch.randint(0, 256, (batch, 3, 8, 8), generator=g).to(dtype)
    return x, Mixer("mixup", 1.0, k, ordered=True)(x, torch.arange(batch) % 3, generator=g)


@pytest.mark.parametrize("name", ["$5 bill$", "a\\b", "x^2_$", r"$\nothing$"])
def test_names_of_classes_are_drawn_as_they_are(name):
    x, batch = mixed()
    ax = plot_mixed(batch, x=x, classes=(name, "dog", "bird"))
    assert f"x: {name}" in [text.get_text() for text in ax.texts]
    assert picture(ax).png()  # a formula that is none would raise here
    assert not any(text.get_parse_math() for text in ax.texts)


@pytest.mark.parametrize("classes", [["a"], ["a", "b"], "abc"])
def test_too_few_names_of_classes_are_refused(classes):
    with pytest.raises(ValueError, match=f"^classes must hold .* each label, here at least 3, got .*{classes[0]}"):
        plot_mixed(mixed()[1], classes=classes)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0, 1e5])
def test_lambda_curve_is_the_density(alpha):
    ax = plot_lambda(alpha)
    x, y = ax.get_lines()[0].get_data()
    np.testing.assert_allclose(y, beta(alpha, alpha).pdf(x), rtol=1e-6, atol=1e-12)
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.07)  # what lies beyond 1e-6 is not drawn
    assert ax.get_ylim()[1] >= y[(x > 0.1) & (x < 0.9)].max()


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        (0.2, "high at 0 and 1, lowest at one half. Both images show in 32.7% of mixes"),
        (1, "flat. Both images show in 80.0% of mixes"),
        (8, "highest at one half. Both images show in more than 99.9% of mixes"),
        (1e-6, "high at 0 and 1, lowest at one half. Both images show in less than 0.1% of mixes"),
    ],
)
def test_the_law_in_words(alpha, words):
    assert words in picture(plot_lambda(alpha)).alt


def test_mixed_grid_holds_the_images_of_eight_pairs_at_most_between_their_sources():
    x, batch = mixed(k=3)
    ax = plot_mixed(batch, x=x, classes=CLASSES)
    tiles = [image.get_array() for image in ax.images]
    columns = torch.cat([x, batch.x, x[batch.plan.partner]]).permute(0, 2, 3, 1) / 255
    np.testing.assert_allclose(tiles, columns, atol=1e-7)
    lam = float(batch.lam[0])
    texts = [text.get_text().replace("\n", " ") for text in ax.texts]
    a, b = (CLASSES[int(labels[0])] for labels in (batch.y_a, batch.y_b))
    assert texts[0] == f"x: {a}"
    assert texts[4] == (f"{lam:.2f} {a} + {1 - lam:.2f} {b}" if a != b else f"1.00 {a}")
    assert picture(ax).alt.startswith("4 pairs of images, 3 mixes of each by mixup. First row: x: ")
    assert len(plot_mixed(mixed(batch=12, k=1)[1]).images) == 8
    assert "2 pairs of images, 1 mix of each" in picture(plot_mixed(mixed(batch=2, k=1)[1])).alt


def test_float_images_are_brought_to_the_range_of_a_screen():
    _, batch = mixed(torch.float32)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    whole = batch.x / 255
    normal = replace(batch, x=(whole - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    undone = plot_mixed(normal, normalize=(mean, std))
    np.testing.assert_allclose(undone.images[0].get_array(), whole[0].permute(1, 2, 0), atol=1e-6)
    stretched = np.stack([image.get_array() for image in plot_mixed(batch).images])
    assert (stretched.min(), stretched.max()) == (0, 1)
    gray = replace(batch, x=batch.x[:, :1])
    assert plot_mixed(gray).images[0].get_array().shape == (8, 8)
