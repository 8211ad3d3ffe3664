"""The drawn set: balanced, repeatable, what the dials promise, and figures that are what they are called."""

import pytest
import torch
from refusals import refuses

from mixlab.data import shapes
from mixlab.machine import using_threads


def test_of_every_ten_pictures_each_shows_another_class():
    images, labels = shapes.draw(500, seed=5)
    assert (images.shape, images.dtype) == ((500, 3, 32, 32), torch.uint8)
    assert len(set(shapes.CLASSES)) == 10
    assert torch.equal(labels.view(50, 10).sort(dim=1).values, torch.arange(10).expand(50, 10))


def test_a_seed_repeats_bit_for_bit_on_any_number_of_threads_and_fewer_pictures_are_the_first_of_more():
    first = shapes.draw(600, seed=7, label_noise=0.3)
    state = torch.get_rng_state()
    with using_threads(torch.get_num_threads() + 1):
        again = shapes.draw(507, seed=7, label_noise=0.3)
    assert torch.equal(first[0][:507], again[0])
    assert torch.equal(first[1][:507], again[1])
    assert torch.equal(state, torch.get_rng_state())


def test_seeds_and_streams_draw_other_pictures():
    sheets = [shapes.draw(500, seed=0)[0], shapes.draw(500, seed=1)[0], shapes.draw(500, stream=shapes.TEST)[0]]
    assert len({picture.numpy().tobytes() for sheet in sheets for picture in sheet}) == 1_500


def test_label_noise_changes_labels_by_its_chance_and_no_picture():
    clean_images, clean = shapes.draw(3_000, seed=2)
    images, noisy = shapes.draw(3_000, seed=2, label_noise=0.4)
    assert torch.equal(images, clean_images)
    wrong = clean != noisy
    assert abs(wrong.float().mean() - 0.4) < 0.045  # five standard errors
    shift = torch.bincount((noisy - clean)[wrong] % 10, minlength=10)
    assert shift[0] == 0
    assert (shift[1:] - 1_200 / 9).abs().max() < 56  # five standard deviations about equal shares
    assert (shapes.draw(500, label_noise=1.0)[1] != shapes.draw(500)[1]).all()


def test_difficulty_keeps_the_labels_and_lowers_what_a_linear_rule_can_tell():
    """Nearest class mean of the gray pictures, fitted on one stream and scored on the other."""

    def accuracy(difficulty):
        (x, y), (x_new, y_new) = (shapes.draw(500, stream=s, difficulty=difficulty) for s in (0, 1))
        gray, gray_new = ((a.float().mean(1).flatten(1) - a.float().mean((1, 2, 3))[:, None]).abs() for a in (x, x_new))
        means = torch.stack([gray[y == label].mean(0) for label in range(10)])
        return (torch.cdist(gray_new, means).argmin(1) == y_new).float().mean().item()

    easy, middle, hard = accuracy(0.0), accuracy(0.5), accuracy(1.0)
    assert easy > middle + 0.05 > hard + 0.05
    assert easy > 0.3
    assert torch.equal(shapes.draw(100, difficulty=0.1)[1], shapes.draw(100, difficulty=0.9)[1])


def test_outlines_cover_the_area_of_the_figures_they_name():
    """Area by counting grid points, against the figure's formula (weight 0)."""
    axis = (torch.arange(600, dtype=torch.float64) + 0.5) * 0.005 - 1.5
    p = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[:, None]
    area = {
        name: float((outline(p, torch.zeros(1, 1, 1, dtype=torch.float64)) < 0).sum()) * 0.005**2
        for name, outline in zip(shapes.CLASSES, shapes._OUTLINES, strict=True)
    }
    sine, pi = torch.sin(torch.tensor(torch.pi / 5)).item(), torch.pi
    tangent = {n: torch.tan(torch.tensor(pi / n)).item() for n in (3, 5)}
    expected = {
        "disc": pi * 0.95**2,
        "ring": pi * (0.95**2 - 0.65**2),
        "square": 1.6**2,
        "frame": 1.7**2 - (1.7 - 4 * 0.13) ** 2,
        "triangle": 3 * 0.55**2 * tangent[3],
        "pentagon": 5 * 0.82**2 * tangent[5],
        "star": 5 * 1.1 * 0.42 * sine,
        "cross": 2 * 2 * 0.48 - 0.48**2,
        "heart": 1.1**2 + pi * 0.55**2,
    }
    for name, value in expected.items():
        assert area[name] == pytest.approx(value, rel=0.01), name
    assert 0.8 < area["crescent"] < pi - pi * 0.8**2 + 0.6


def test_a_gauge_is_a_centered_bar_and_leaves_the_rest_of_the_picture_alone():
    images, _ = shapes.draw(16, seed=3)
    before = images.clone()
    found = shapes.with_gauge(images, torch.arange(16))
    assert torch.equal(images, before)
    assert torch.equal(found[:, :, :29], images[:, :, :29])
    for level in range(16):
        row = [0] * (15 - level) + [255] * (2 * level + 2) + [0] * (15 - level)
        assert torch.equal(found[level, :, 29:], torch.tensor(row, dtype=torch.uint8).expand(3, 3, 32))


def test_wrong_arguments_are_named():
    refuses(lambda: shapes.draw(0), ValueError, "count", "at least 1", "got 0")
    refuses(lambda: shapes.draw(5, label_noise=1.5), ValueError, "label_noise", "0 to 1", "got 1.5")
