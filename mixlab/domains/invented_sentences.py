"""Sentences of invented words, some of which betray the class; a stand-in where there is no text."""

from itertools import product

import numpy as np

_WORDS, _CUES = 800, 12  # of the language, and of each class


def invented_sentences(classes: int, count: int, seed: int) -> tuple[list[int], list[str]]:
    """Class labels and sentences of 4 to 14 words.

    Words have frequencies as 1 / rank (Zipf's law). Each sentence holds one or two of the cues of its class, and one
    in four of the sentences also one of another class.
    """
    syllables = [a + b for a, b in product("bdfgklmnprstv", "aeiou")]
    words = [a + b for a, b in product(syllables[: _WORDS // 20], syllables[-20:])]
    cues = np.random.default_rng(classes).permutation(_WORDS)[: _CUES * classes].reshape(classes, _CUES)
    chances = 1 / np.arange(1, _WORDS + 1)
    stream = np.random.default_rng([classes, seed])
    labels = stream.integers(classes, size=count)
    sentences = []
    for label in labels:
        drawn = stream.choice(_WORDS, stream.integers(4, 15), p=chances / chances.sum())
        places = stream.permutation(len(drawn))
        own = stream.integers(1, 3)
        drawn[places[:own]] = stream.choice(cues[label], own)
        if stream.random() < 0.25:
            drawn[places[own]] = stream.choice(cues[stream.integers(classes)])
        sentences.append(" ".join(words[word] for word in drawn))
    return labels.tolist(), sentences
