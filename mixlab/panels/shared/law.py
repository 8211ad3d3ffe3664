"""The numbers that law.js draws from a seed, and the ends of the sliders; the law of λ itself is mixlab.mixing's."""

import torch
from torch import Tensor

from mixlab.mixing.variants.cutmix import clipped_boxes

ALPHA_LOW, ALPHA_HIGH = 0.01, 100.0  # both ends of the log slider
K_HIGH = 8
SEED_HIGH = 2**31 - 1
_WORD = 2**32


def uniforms(seed: int, n: int) -> Tensor:
    """The n numbers in (0, 1) that the browser draws from `seed` (mulberry32, Tommy Ettinger 2017), float64 [n]."""
    state, numbers = seed, []
    for _ in range(n):
        state = (state + 0x6D2B79F5) % _WORD
        z = (state ^ (state >> 15)) * (state | 1) % _WORD
        z ^= (z + (z ^ (z >> 7)) * (z | 61)) % _WORD
        numbers.append(((z ^ (z >> 14)) + 0.5) / _WORD)
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")


def cut_box(lam: float, size: tuple[int, int], row: int, column: int) -> tuple[tuple[int, int, int, int], float]:
    """CutMix's box (top, left, bottom, right) about a pixel, clipped to the image, and its true λ."""
    height, width = size
    center = torch.tensor([(row + 0.5) / height, (column + 0.5) / width], dtype=torch.float64, device="cpu")
    corners, true_lam = clipped_boxes(torch.tensor(1 - lam, dtype=torch.float64, device="cpu").sqrt(), center, size)
    top, left, bottom, right = corners.tolist()
    return (top, left, bottom, right), float(true_lam)
