"""Generated digits: two tones that glide in one of ten ways, in six voices; a stand-in where there is no speech."""

import numpy as np

from mixlab.domains.public_data import Arrays
from mixlab.domains.spectrogram import RATE

_VOICES, _TAKES = 6, 50


def spoken_tones() -> Arrays:
    """Arrays as those of the Free Spoken Digit Dataset: 3,000 recordings of 0.25 to 0.6 s in int16, at 8 kHz.

    A digit is where two formants begin and end; a voice is a pitch and a tract that scales them; a take adds its own
    tempo, small errors of all these, and noise. Voices and takes overlap enough for some digits to be mistaken.
    """
    stream = np.random.default_rng(0)
    formants = stream.uniform((350, 1000), (900, 2600), (10, 2, 2))  # of each digit: at its start and end
    pitches, tracts = np.linspace(90, 220, _VOICES), np.linspace(0.85, 1.2, _VOICES)
    keys = [(digit, voice, take) for digit in range(10) for voice in range(_VOICES) for take in range(_TAKES)]
    parts = []
    for digit, voice, _ in keys:
        time = np.arange(int(RATE * stream.uniform(0.25, 0.6)), dtype=np.float32) / RATE
        progress = time / time[-1]
        start, end = (formants[digit] * tracts[voice] * stream.normal(1, 0.12, (2, 2)))[:, :, None]
        path = start + (end - start) * progress ** stream.uniform(0.6, 1.6)  # [formants, samples]
        tones = np.sin(2 * np.pi * np.cumsum(path, 1) / RATE).sum(0)
        pulses = np.cos(np.pi * pitches[voice] * stream.normal(1, 0.05) * time) ** 8  # at the pitch
        sound = tones * pulses * np.sin(np.pi * progress)
        noise = stream.normal(0, 0.3 * sound.std(), len(sound))
        parts.append((2000 * (sound + noise) / sound.std()).clip(-32768, 32767).astype(np.int16))
    columns = np.array(keys, np.int8).T
    return {
        "audio": np.concatenate(parts),
        "offsets": np.cumsum([0, *map(len, parts)]),
        "labels": columns[0],
        "speakers": columns[1],
        "takes": columns[2],
        "speaker_names": np.array([f"voice {voice}" for voice in range(_VOICES)]),
    }
