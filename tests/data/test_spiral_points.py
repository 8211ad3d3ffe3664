"""Spirals: points on their arms, spread evenly."""

import math

import pytest
import torch
from seeding import seeded

from mixlab.data import spirals


@pytest.mark.parametrize("classes", [2, 3])
def test_without_noise_the_points_lie_on_the_arms(classes: int) -> None:
    x, y = spirals(301, noise=0, turns=1.5, classes=classes, generator=seeded(1))
    assert (x.shape, x.dtype, y.dtype) == ((301, 2), torch.float32, torch.int64)
    for (a, b), label in zip(x.double().tolist(), y.tolist(), strict=True):
        radius = math.hypot(a, b)
        turn = math.atan2(b, a) / (2 * math.pi) - 1.5 * radius - label / classes
        assert abs(turn - round(turn)) < 1e-4 / max(radius, 1e-3)
        assert radius <= 1 + 1e-6
    assert torch.bincount(y).tolist() == [301 // classes + (label < 301 % classes) for label in range(classes)]


def test_points_fill_the_disc_evenly_and_noise_is_as_asked() -> None:
    x, _ = spirals(20_000, noise=0, generator=seeded(2))
    inner = float((x.norm(dim=1) < 0.5).double().mean())
    assert inner == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 20_000))
    straight, y = spirals(20_000, noise=0.2, turns=0, generator=seeded(2))  # arms along the first axis
    assert float(straight[:, 1].std()) == pytest.approx(0.2, rel=0.03)
    assert float(straight[y == 0, 0].mean()) == pytest.approx(2 / 3, abs=0.02)
