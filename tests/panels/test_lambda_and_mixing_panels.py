"""The panels without a browser: their numbers, their traits, their errors, the picture that stands in for them."""

import base64
import re
from html import unescape
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from refusals import refuses
from scipy import special

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.panels.mixing_panel.mixing_panel import OTHERS, mix_bytes, paste
from mixlab.panels.shared.law import cut_box, uniforms
from mixlab.panels.shared.pairs import label_words


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0, 100.0])
def test_the_drawn_lambdas_are_scipys_quantiles_of_the_seeds_numbers(alpha: float) -> None:
    expected = special.betaincinv(alpha, alpha, uniforms(3, 2000).numpy())
    np.testing.assert_allclose(mx.panels.lambda_panel(alpha=alpha, seed=3).drawn, expected, rtol=2e-6, atol=1e-290)


def test_the_images_below_the_dots_are_the_pair_at_those_lambdas(data: Dataset) -> None:
    panel = mx.panels.lambda_panel(alpha=0.5, k=8, data=data)
    assert panel.images is not None
    a, b = panel.images.astype(float)
    exact = panel.pair[:, None, None, None] * a + (1 - panel.pair[:, None, None, None]) * b
    assert np.abs(panel.mixes - exact).max() <= 0.5
    panel.variant = "cutmix"
    own = (panel.mixes == panel.images[0]).all(-1).mean((1, 2))
    assert (own >= panel.pair - 1e-9).all()  # every pixel that is not pasted is x's
    assert "img" in panel.still()
    refuses(lambda: mx.panels.lambda_panel().mixes, ValueError, "mixes", "data=")
    small = Split(data.train.images[..., :31], data.train.labels)
    refuses(
        lambda: mx.panels.lambda_panel(data=Dataset("s", small, small, data.classes)), ValueError, "data", "32 × 31"
    )


def test_cutmix_lambdas_are_those_of_pixels_counted(data: Dataset) -> None:
    panel = mx.panels.mixing_panel(data, pairs=2)
    size = np.zeros((32, 32, 1), np.uint8)
    for panel.lam in (0.0, 0.31, 0.7, 0.999, 1.0):
        for panel.row, panel.column in ((0, 0), (31, 5), (16, 16)):
            box, _ = cut_box(panel.lam, (32, 32), panel.row, panel.column)
            assert panel.true_lam == pytest.approx(1 - paste(size, size + 1, box).mean(), abs=1e-12)


def test_bytes_are_mixed_as_the_plan_mixes_them(data: Dataset) -> None:
    images = data.train.images[:2]
    a, b = images.permute(0, 2, 3, 1).numpy()
    for lam in (0.0, 0.25, 0.5, 0.7, 1.0):
        plan = mx.MixPlan("mixup", torch.tensor([1, 0]), torch.full((1, 2), lam), torch.full((1, 2), lam))
        expected = plan.apply(images)[0].permute(1, 2, 0).numpy()
        assert np.abs(mix_bytes(a, b, lam).astype(int) - expected).max() <= (lam not in (0.0, 1.0))


def test_pairs_are_training_images_of_two_classes_where_there_are_two(data: Dataset) -> None:
    panel, again, other = (mx.panels.mixing_panel(data, pairs=20, seed=seed) for seed in (4, 4, 5))
    assert panel._images == again._images != other._images
    pixels = data.train.images.permute(0, 2, 3, 1).flatten(1).numpy()
    places = [np.flatnonzero((pixels == image).all(1)) for image in panel.images.reshape(40, -1)]
    assert len({int(place) for (place,) in places}) == 40
    classes = [data.classes[label] for label in data.train.labels[np.concatenate(places)]]
    for panel.pair in range(20):
        assert panel.names == tuple(classes[2 * panel.pair : 2 * panel.pair + 2])
        assert panel.names[0] != panel.names[1]
    keep = data.train.labels == 0
    one = Dataset("one", Split(data.train.images[keep], data.train.labels[keep]), data.test, data.classes)
    assert mx.panels.mixing_panel(one, pairs=3).names == (data.classes[0], data.classes[0])


def test_a_soft_label_in_words() -> None:
    words = [label_words(lam, ("cat", "dog")) for lam in (0.7, 1.0, 0.0, 0.004, 0.125)]
    assert words == ["0.70 cat + 0.30 dog", "1.00 cat", "1.00 dog", "1.00 dog", "0.13 cat + 0.87 dog"]
    assert label_words(0.3, ("cat", "cat")) == "1.00 cat"


def test_the_strip_runs_from_x_to_its_partner(data: Dataset) -> None:
    panel = mx.panels.mixing_panel(data)
    panel.k = 8
    by_lam, by_true_lam = panel.strip
    assert [mix.lam for mix in by_lam] == sorted((mix.lam for mix in by_lam), reverse=True)
    true_lams = [cut_box(mix.lam, (32, 32), mix.row, mix.column)[1] for mix in by_true_lam]
    assert true_lams == sorted(true_lams, reverse=True)
    assert set(by_lam) == set(by_true_lam)


@pytest.mark.parametrize("variant", OTHERS)
@pytest.mark.parametrize("own", [True, False])
def test_the_third_row_is_what_the_mixer_mixes(variant: str, own: bool, data: Dataset) -> None:
    net = mx.models.quick(len(data.classes), seed=5 if own else 0)
    panel = mx.panels.mixing_panel(data, pairs=3, model=net if own else None)
    panel.variant, panel.pair, panel.k, panel.alpha, panel.seed = variant, 2, 4, 2.0, 9
    x = torch.from_numpy(panel.images[2]).permute(0, 3, 1, 2).contiguous()
    y = torch.tensor([data.classes.index(name) for name in panel.names])
    mixer = mx.Mixer(variant, 2.0, 4, ordered=True, partners="reversed")
    g = torch.Generator().manual_seed(9)
    plan = mixer.plan(x, y, model=net, normalize=data.normalization, generator=g)
    row = panel.third
    expected = plan.apply(x).view(plan.k, 2, 3, 32, 32)[:, 0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(row.images, expected)
    assert row.lams == plan.lam[:, 0].tolist() == sorted(row.lams, reverse=True)
    assert panel._pictures == expected.tobytes()
    assert panel._answer["lams"] == row.lams
    assert row.words.startswith(f"{variant}: {mx.VARIANTS[variant]}.")
    whose = "saliency of your net." if own else "saliency of an untrained net: give model= a trained one."
    assert (whose in row.words) == (variant in ("puzzle", "saliencymix"))
    assert ("It mixes inside the net" in row.words) == (variant == "manifold")
    assert ("not the share of the pixels" in row.words) == (variant in ("inputonly", "mit", "perturbed"))
    assert ("K = 4 gives 5 mixes." in row.words) == (variant == "regmixup")
    assert ("K = 4 gives 8 mixes." in row.words) == (variant == "mit")
    assert f"{row.words} λ = {', '.join(f'{lam:.2f}' for lam in row.lams)}." in panel.describe()
    panel.alpha *= 4
    assert np.array_equal(panel.third.images, row.images) == ("α has no part in it." in row.words)


@pytest.mark.parametrize(("variant", "k"), [("regmixup", 7), ("mit", 4)])
def test_the_third_row_has_place_for_eight(variant: str, k: int, data: Dataset) -> None:
    panel = mx.panels.mixing_panel(data, pairs=2)
    panel.variant, panel.k = variant, 8
    assert len(panel.third.lams) == len(panel.third.images) == 8
    assert f" K = {k} gives 8 mixes, as many as fit here." in panel.third.words


def test_a_variant_that_cannot_mix_these_images_says_so(data: Dataset) -> None:
    odd = Split(data.train.images[..., :31, :31].contiguous(), data.train.labels)
    panel = mx.panels.mixing_panel(Dataset("odd", odd, odd, data.classes), pairs=2)
    panel.variant = "puzzle"
    assert panel.third.lams == []
    assert panel._pictures == b""
    words = panel._answer["words"]
    assert "It cannot mix these images: blocks must divide the side of the images, 31 pixels" in words
    assert words in panel.describe()
    assert words[:40] in unescape(panel.still())
    panel.variant = "resizemix"
    assert len(panel.third.lams) == panel.k


def test_gray_images_are_shown_in_gray_and_a_model_of_colors_cannot_see_them(data: Dataset) -> None:
    gray = Split(data.train.images[:, :1].contiguous(), data.train.labels)
    panel = mx.panels.mixing_panel(Dataset("gray", gray, gray, data.classes), pairs=2, model=mx.models.quick(10))
    assert panel.images.shape == (2, 2, 32, 32, 3)
    assert (panel.images == panel.images[..., :1]).all()
    panel.variant = "saliencymix"
    assert panel.third.lams == []
    assert "It cannot mix these images: " in panel.third.words
    assert "but got 1 channels instead." in panel.third.words


def test_a_drag_is_answered_and_leaves_the_state(data: Dataset) -> None:
    panel = mx.panels.mixing_panel(data, pairs=2)
    before, lams = panel.state, panel._answer["lams"]
    panel._wanted = {"pair": 1, "alpha": 7.0, "k": 3, "seed": 4, "variant": "resizemix"}
    assert panel.state == before
    assert len(panel._answer["lams"]) == 3
    panel.row = 3
    assert len(panel._answer["lams"]) == 3
    panel.k = 2
    assert panel._answer["lams"] == panel.third.lams != lams
    refuses(lambda: setattr(panel, "_wanted", {**panel._wanted, "alpha": 700}), ValueError, "alpha", "got 700")


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
def test_the_picture_says_what_the_panel_shows(variant: str, data: Dataset) -> None:
    for panel in (mx.panels.lambda_panel(alpha=0.2, variant=variant), mx.panels.mixing_panel(data)):
        html, words = unescape(panel.still()), panel.describe()
        assert f'alt="{words}"' in html
        assert f"<figcaption>{words} <strong>Run this cell" in html
        assert base64.b64decode(re.search(r"base64,([^\"]+)", html)[1]).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_describe_gives_the_numbers_of_the_moment() -> None:
    panel = mx.panels.lambda_panel(alpha=1, k=2)
    first, second = panel.pair
    assert [first, second] == sorted(panel.drawn[:2], reverse=True)
    assert panel.describe() == (
        "The law of λ for mixup at α = 1: the larger part of a mix weighs θ̄ = 0.750 on average, "
        f"P(0.1 < λ < 0.9) = 0.800. One pair, K = 2: λ = {first:.2f}, {second:.2f}."
    )
    panel.variant = "none"
    assert panel.describe() == "No mixing: every λ is 1, and each image keeps its own label."


def test_the_picture_follows_the_state_once_it_is_shown(shown: SimpleNamespace) -> None:
    panel = mx.panels.lambda_panel()
    panel.alpha = 0.5
    assert shown.first == shown.updates == []
    panel._ipython_display_()
    widget, picture = shown.first
    assert widget["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert widget["text/plain"] == picture["text/plain"] == panel.describe()
    assert f'class="{panel._still}"' in picture["text/html"]
    panel.k = 2
    panel.k = 2
    with panel.hold_trait_notifications():  # as when the browser sends several at once
        panel.alpha, panel.seed = 3.0, 9
    assert len(shown.updates) == 2
    assert shown.updates[-1]["text/plain"] == panel.describe()
