"""What law.js draws, once more in Python: for the still pictures, and for lessons that ask which λs are on show."""

import numpy as np

ALPHA_LOW, ALPHA_HIGH = 0.01, 100.0  # both ends of the log slider
K_HIGH = 8
SEED_HIGH = 2**31 - 1
_WORD = 2**32


def uniforms(seed: int, n: int) -> np.ndarray:
    """The n numbers in (0, 1) that the browser draws from `seed` (mulberry32, Tommy Ettinger 2017), float64 [n]."""
    state, numbers = seed, np.empty(n)
    for i in range(n):
        state = (state + 0x6D2B79F5) % _WORD
        z = (state ^ (state >> 15)) * (state | 1) % _WORD
        z ^= (z + (z ^ (z >> 7)) * (z | 61)) % _WORD
        numbers[i] = ((z ^ (z >> 14)) + 0.5) / _WORD
    return numbers


def quantiles(alpha: float, u: np.ndarray) -> np.ndarray:
    """The λ with P(λ' < λ) = u for λ' ~ Beta(alpha, alpha), elementwise."""
    from scipy.special import betaincinv

    return np.asarray(betaincinv(alpha, alpha, u))


def cut_box(lam: float, size: tuple[int, int], row: int, column: int) -> tuple[tuple[int, int, int, int], float]:
    """CutMix's box (top, left, bottom, right) about a center, clipped to the image, and its true λ.

    Source: Yun et al., "CutMix", ICCV 2019, equations 2 and 3.
    """
    height, width = size
    half_height, half_width = (int(side * (1 - lam) ** 0.5) // 2 for side in size)
    top, bottom = max(row - half_height, 0), min(row + half_height, height)
    left, right = max(column - half_width, 0), min(column + half_width, width)
    return (top, left, bottom, right), 1 - (bottom - top) * (right - left) / (height * width)
