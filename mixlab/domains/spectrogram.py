"""Spectrograms of speech: power by the short-time Fourier transform, log-mel bands, and back to a wave."""

import math
from functools import cache

import torch
from torch import Tensor

from mixlab import _check

RATE = 8000  # samples a second
WINDOW = 256  # samples that a frame looks at, 32 ms
HOP = 128  # samples from frame to frame, 16 ms
BANDS = 32  # mel bands from 0 to 4,000 Hz
FLOOR = 1e-6  # added to the power before the logarithm: 60 dB below a power of 1


def power(waves: Tensor) -> Tensor:
    """|STFT|² / Σ w² of waves [..., T], with a Hann window w: [..., 129, 1 + T // 128], in units of the wave's square.

    The wave continues as its mirror image at both ends. Power is not linear in the wave: that of a blend has the
    cross term 2 λ (1 − λ) Re(S S′*) besides the powers of both, times λ² and (1 − λ)².
    """
    return stft(_waves(waves)).abs().square() / _window().square().sum()


def log_mel(waves: Tensor) -> Tensor:
    """ln(1e-6 + mel bands of the power) of waves [..., T]: [..., 32, 1 + T // 128].

    Source of the bands: triangles on the mel scale 2595 log₁₀(1 + f / 700 Hz), which HTK and torchaudio use by default.
    """
    return torch.log(FLOOR + mel_filters().T @ power(waves))


@cache
def mel_filters() -> Tensor:
    """The share of each frequency in each mel band, float32 [129, 32]; triangles of height 1."""
    frequencies = torch.linspace(0, RATE / 2, WINDOW // 2 + 1, dtype=torch.float64, device="cpu")
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    mel = torch.linspace(0, top, BANDS + 2, dtype=torch.float64, device="cpu")
    corners = 700 * (10 ** (mel / 2595) - 1)
    rising = (frequencies[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies[:, None]) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def wave_of(spectrogram: Tensor, length: int, *, steps: int = 32) -> Tensor:
    """A wave [N, length] or [length] whose `power` is about this, [N, 129, frames] or [129, frames].

    Power has no phase. It is looked for in `steps` rounds (Griffin and Lim, "Signal estimation from modified short-time
    Fourier transform", IEEE TASSP 32, 1984): the STFT of each guess has the phase of the next.
    """
    length, steps = _check.integer("length", length, WINDOW), _check.integer("steps", steps, 1)
    wanted = f"powers of at least 0, [{WINDOW // 2 + 1}, {1 + length // HOP}] or several of these"
    shape = (WINDOW // 2 + 1, 1 + length // HOP)
    if _check.tensor("spectrogram", spectrogram, wanted).shape[-2:] != shape or bool((spectrogram < 0).any()):
        raise ValueError(f"spectrogram must be {wanted}, got {_check.shown(spectrogram)}")
    magnitude = (spectrogram * _window().square().sum()).sqrt()
    phase = torch.zeros_like(magnitude)
    for _ in range(steps):
        wave = torch.istft(torch.polar(magnitude, phase), WINDOW, HOP, window=_window(), length=length)
        phase = stft(wave).angle()
    return wave


def stft(waves: Tensor) -> Tensor:
    """The short-time Fourier transform of waves [..., T]: complex [..., 129, 1 + T // 128]."""
    flat = waves.reshape(-1, waves.shape[-1])
    spectrum: Tensor = torch.stft(flat, WINDOW, HOP, window=_window(), return_complex=True)
    return spectrum.view(*waves.shape[:-1], *spectrum.shape[1:])


def _waves(waves: object) -> Tensor:
    wanted = f"float32 waves [..., T] of at least {WINDOW} samples"
    tensor = _check.tensor("waves", waves, wanted)
    if tensor.dtype != torch.float32 or tensor.ndim == 0 or tensor.shape[-1] < WINDOW:
        raise ValueError(f"waves must be {wanted}, got {_check.shown(tensor)}")
    return tensor


@cache
def _window() -> Tensor:
    return torch.hann_window(WINDOW, dtype=torch.float32, device="cpu")
