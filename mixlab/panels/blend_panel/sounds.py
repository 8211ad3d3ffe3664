"""Two recordings blended as waves, and as spectrograms with a wave looked for: what the blend panel plays and draws."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixlab import _check
from mixlab.domains.spectrogram import FLOOR, WINDOW, log_mel, power, wave_of

STOPS = 11  # λ in tenths
_QUIET, _LOUD = -14.0, 5.0  # log-mel values drawn darkest and brightest


class Sounds(NamedTuple):
    """At each λ: heat uint8 [STOPS, 32, frames], low bands first, and waves int16 [STOPS, T], as loud as each other."""

    heat: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
    waves: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]"


def blended_waves(a: Tensor, b: Tensor) -> Tensor:
    """λ a + (1 − λ) b of waves [T], at each λ: [STOPS, T]."""
    lam = torch.linspace(0, 1, STOPS, dtype=a.dtype, device="cpu")[:, None]
    return lam * a + (1 - lam) * b


def blended_spectrograms(a: Tensor, b: Tensor) -> Tensor:
    """Waves [STOPS, T] whose log power is about λ log P(a) + (1 − λ) log P(b)."""
    lam = torch.linspace(0, 1, STOPS, dtype=a.dtype, device="cpu")[:, None, None]
    first, second = (torch.log(FLOOR + power(wave)) for wave in (a, b))
    return wave_of((lam * first + (1 - lam) * second).exp(), len(a))


def sounds(waves: Tensor) -> Sounds:
    """What is drawn and played of waves float32 [STOPS, T]."""
    heat = (log_mel(waves) - _QUIET) / (_LOUD - _QUIET)
    loudest = waves.abs().amax(1, keepdim=True).clamp(min=1e-6)
    return Sounds(
        (255 * heat.clamp(0, 1)).round().to(torch.uint8).numpy(),
        (32767 * waves / loudest).round().to(torch.int16).numpy(),
    )


def check_waves(value: object) -> tuple[Tensor, Tensor]:
    """Return two float32 waves of one length."""
    wanted = f"waves must be two float32 waves [T] of one length, at least {WINDOW} samples, got "
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(part, Tensor) for part in value):
        raise TypeError(wanted + _check.shown(value))
    a, b = value
    if a.dtype != torch.float32 or a.ndim != 1 or len(a) < WINDOW or a.shape != b.shape or b.dtype != a.dtype:
        raise ValueError(f"{wanted}{_check.shown(a)} and {_check.shown(b)}")
    return a, b
