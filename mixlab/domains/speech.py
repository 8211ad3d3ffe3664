"""Speech: spoken digits as waves and as log-mel spectrograms, a small network, and SpecAugment as a baseline.

What may be mixed: waves, as two voices at once; log-mel spectrograms, whose blend is no sound of two voices, as power
is not linear and a logarithm is taken of it; hidden states. CutMix cuts a span of time, a range of bands, or a box: see
`FORMS`.
"""

import io
import os
import re
import wave as wav
import zipfile

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.domains.problem import Problem
from mixlab.domains.public_data import Arrays, PublicData
from mixlab.domains.spectrogram import BANDS, RATE, log_mel
from mixlab.domains.spoken_tones import spoken_tones
from mixlab.machine import release_memory

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLES = RATE  # of each recording: its first second, silence after a shorter one

FORMS = {
    "waves": "[1, 8000] samples; CutMix cuts a span of time",
    "frames": "[32, 63] log-mel bands at 63 times; CutMix cuts a span of time",
    "bands": "[63, 32], the same lying on its side; CutMix cuts a range of frequency",
    "picture": "[1, 32, 63], the same as an image; CutMix cuts a box",
}
_REPOSITORY = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_SHAPES = {"waves": (1, "T"), "frames": (BANDS, "T"), "bands": ("T", BANDS), "picture": (1, BANDS, "T")}
_MEAN, _SPREAD = -9.0, 6.0  # about those of log-mel values of speech and silence


def _unpack(files: list[bytes]) -> Arrays:
    """Of the repository's zip: recordings end to end, in the order of digit, speaker and take."""
    pattern = re.compile(r".*/recordings/(\d)_(\w+)_(\d+)\.wav")
    with zipfile.ZipFile(io.BytesIO(files[0])) as archive:
        matches = [match for name in archive.namelist() if (match := pattern.fullmatch(name))]
        names = sorted({match[2] for match in matches})
        keys = sorted((int(match[1]), names.index(match[2]), int(match[3]), match[0]) for match in matches)
        parts = []
        for *_, name in keys:
            with wav.open(io.BytesIO(archive.read(name))) as recording:
                parts.append(np.frombuffer(recording.readframes(recording.getnframes()), "<i2"))
    columns = np.array([key[:3] for key in keys], np.int8).T
    return {
        "audio": np.concatenate(parts),
        "offsets": np.cumsum([0, *map(len, parts)]),
        "labels": columns[0],
        "speakers": columns[1],
        "takes": columns[2],
        "speaker_names": np.array(names),
    }


SPOKEN_DIGITS = PublicData(
    title="Free Spoken Digit Dataset (Jackson et al., CC BY-SA 4.0)",
    file="spoken_digits",
    urls=(f"{_REPOSITORY}/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip",),
    unpack=_unpack,
    sha256="af08da55527503718dbcc667f399ea0743c679b38c62ae5a142da9b61cf43a1c",
)


def load(
    which: str = "auto",
    *,
    form: str = "picture",
    held_out: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Problem:
    """3,000 recordings of ten digits by six speakers, each as loud as the others.

    Args:
        which: is "public", "generated" (tones that glide in ten ways, of six voices), or "auto"; see
            `mixlab.domains.public_data.PublicData.load`.
        form: is a key of FORMS, and says what of a recording is one example.
        held_out: is a speaker, whose 500 recordings are the test set; by default it is the official one, takes 0 to 4
            of every speaker and digit, and the training set has the other takes of the same speakers.
        root: is the folder of the cache.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; the message names it.
        DataError: "public" data that is not in the cache and cannot be fetched.
    """
    _check.choice("form", form, FORMS)
    arrays = SPOKEN_DIGITS.load(which, root)
    source = "generated tones, a stand-in for speech" if arrays is None else SPOKEN_DIGITS.title
    arrays = spoken_tones() if arrays is None else arrays
    names = tuple(str(name) for name in arrays["speaker_names"])
    if held_out is None:
        is_test = torch.from_numpy(arrays["takes"] < 5)
    else:
        is_test = torch.from_numpy(arrays["speakers"] == names.index(_check.choice("held_out", held_out, names)))
    y = torch.from_numpy(arrays["labels"].astype(np.int64))
    train, test = (
        (Waves(arrays, part) if form == "waves" else Waves(arrays, part).as_form(form), y[part])
        for part in ((~is_test).nonzero()[:, 0], is_test.nonzero()[:, 0])
    )
    return Problem("speech", source, train, test, DIGITS)


class Waves:
    """Recordings, which become float32 waves when they are asked for: as int16 they take a fifth of the memory.

    A wave is the first second of its recording, silence after a shorter one, with a mean square of 1, or 0 if the whole
    recording is silent.

    Args:
        arrays: are those of SPOKEN_DIGITS.
        recordings: says which of them, int64 [N].
    """

    def __init__(self, arrays: Arrays, recordings: Tensor) -> None:
        self.arrays, self.recordings = arrays, recordings

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """float32 [B, 1, 8000] of these rows: indices, a mask or a slice."""
        chosen = self.recordings[rows].tolist()
        result = torch.zeros(len(chosen), 1, SAMPLES, dtype=torch.float32, device="cpu")
        offsets = self.arrays["offsets"]
        for wave, recording in zip(result[:, 0], chosen, strict=True):
            end = min(offsets[recording + 1], offsets[recording] + SAMPLES)
            part = torch.from_numpy(self.arrays["audio"][offsets[recording] : end].astype(np.float32))
            wave[: len(part)] = part / part.square().mean().sqrt().clamp(min=1e-9)
        return result

    def as_form(self, form: str) -> Tensor:
        """All of them in another of the FORMS."""
        parts = [as_form(self[start : start + 64][:, 0], form) for start in range(0, len(self), 64)]
        release_memory()  # of the spectra, several times that of the result
        return torch.cat(parts)


def as_form(x: Tensor, form: str) -> Tensor:
    """Waves [N, T] in one of the FORMS; log-mel values are brought to a mean of about 0 and a deviation of about 1."""
    if _check.choice("form", form, FORMS) == "waves":
        return x[:, None]
    bands = (log_mel(x) - _MEAN) / _SPREAD
    return {"frames": bands, "bands": bands.transpose(1, 2).contiguous(), "picture": bands[:, None]}[form]


class SpeechNet(nn.Module):
    """A small CNN on log-mel spectrograms: three convolutions that halve both axes, and the mean over time.

    Args:
        num_classes: is the number of logits.
        form: is that of the examples, a key of FORMS; of waves it computes the spectrogram first, as its layer
            "spectrogram", so that waves can be mixed before it ("input") or spectrograms after it.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("input", "spectrogram", "stage1", "stage2")

    def __init__(self, num_classes: int, *, form: str = "picture", seed: int = 0) -> None:
        super().__init__()
        num_classes = _check.integer("num_classes", num_classes, 2)
        with spared(_check.integer("seed", seed, 0, _check.SEED_MAX)), usual_defaults():
            self.spectrogram = Spectrogram(form)
            self.stage1, self.stage2, self.stage3 = _stage(1, 16), _stage(16, 32), _stage(32, 64)
            self.head = nn.Linear(64 * BANDS // 8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of examples [B, ...] of its form."""
        states: Tensor = self.stage3(self.stage2(self.stage1(self.spectrogram(x))))
        logits: Tensor = self.head(states.mean(3).flatten(1))
        return logits


class Spectrogram(nn.Module):
    """Examples of any form as pictures."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = _check.choice("form", form, FORMS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, 32, frames] of x [B, ...]. Raises ValueError for x of another form, or with other bands than 32."""
        wanted = _SHAPES[self.form]
        if x.ndim != 1 + len(wanted) or any(n not in ("T", side) for n, side in zip(wanted, x.shape[1:], strict=True)):
            shape = ", ".join(map(str, ["batch", *wanted]))
            raise ValueError(f"x must be [{shape}] in form {self.form!r}, got {_check.shown(x)}")
        if self.form == "waves":
            return as_form(x[:, 0], "picture")
        return {"frames": x[:, None], "bands": x.transpose(1, 2)[:, None], "picture": x}[self.form]


def spec_augment(x: Tensor, generator: torch.Generator, *, bands: int = 8, frames: int = 16) -> Tensor:
    """Pictures [B, 1, M, T] with a range of bands and a span of time hidden: one each, of up to these widths.

    What is hidden gets the mean of its example. For `train(..., augment=spec_augment)`.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2, without time warping.
    """
    if _check.tensor("x", x, "pictures [B, 1, M, T]").ndim != 4:
        raise ValueError(f"x must be pictures [B, 1, M, T], got {_check.shown(x)}")
    bands, frames = _check.integer("bands", bands, 0), _check.integer("frames", frames, 0)
    hidden = _span(x.shape[2], bands, len(x), generator)[:, None, :, None]
    hidden = hidden | _span(x.shape[3], frames, len(x), generator)[:, None, None, :]
    return torch.where(hidden, x.mean((1, 2, 3), keepdim=True), x)


def _span(length: int, most: int, batch: int, generator: torch.Generator) -> Tensor:
    """A span of 0 to `most` places, uniform in width, then in place: bool [batch, length]."""
    width = torch.randint(0, min(most, length) + 1, (batch, 1), generator=generator, device="cpu")
    chance = torch.rand(batch, 1, generator=generator, dtype=torch.float64, device="cpu")
    first = (chance * (length - width + 1)).long()
    place = torch.arange(length, device="cpu")
    return (place >= first) & (place < first + width)


def _stage(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
