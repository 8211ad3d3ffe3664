"""Sentences, nets of words against formulas in float64, one sentence at a time, and mixing at both layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import each_refused

import mixlab as mx
from mixlab.domains import predict, text, train
from mixlab.domains.public_data import PublicData, digest

MIXERS = [mx.Mixer("manifold", layers=[layer], k=k) for layer in ("embedding", "sentence") for k in (1, 5)]


@pytest.fixture(scope="module")
def problem():
    return text.load("generated").smaller(400)


def net(sentence: str = "cnn", words: int = 20) -> text.TextNet:
    return text.TextNet(words, 3, sentence=sentence, width=6).eval()


def sentence_vector(model: text.TextNet, vectors: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Of the vectors [T, 6] and how much of a word each place has [T], in float64 and without padding."""
    weights = {name: part.detach().double().numpy() for name, part in model.sentence.named_parameters()}
    if isinstance(model.sentence, text.MeanOfWords):
        mean = vectors.sum(0) / share.sum()
        return np.maximum(weights["layer.weight"] @ mean + weights["layer.bias"], 0)
    answers = []
    for filters in weights.values():  # [maps, 7, span]
        span = filters.shape[2]
        padded = np.pad(np.hstack([vectors, share[:, None]]), [(span - 1, span - 1), (0, 0)])
        windows = np.stack([padded[i : i + span].T for i in range(len(vectors) + span - 1)])
        answers.append(np.einsum("mwt,nwt->nm", filters, windows).max(0).clip(min=0))
    return np.concatenate(answers)


def vectors_of(model: text.TextNet, numbers: list[int], length: int) -> tuple[np.ndarray, np.ndarray]:
    table = model.embedding.weight.detach().double().numpy()
    end = length - len(numbers)
    return np.pad(table[numbers], [(0, end), (0, 0)]), np.pad(np.ones(len(numbers)), (0, end))


@pytest.mark.parametrize("sentence", text.SENTENCE_NETS)
@pytest.mark.parametrize("layer", ["embedding", "sentence"])
def test_a_blend_of_a_long_and_a_short_sentence_is_the_formulas(sentence, layer) -> None:
    rows, lam = [[3, 7, 2, 9, 11, 4], [5, 2]], 0.3
    model = net(sentence)
    x = torch.tensor([row + [0] * (9 - len(row)) for row in rows])  # three places beyond the longest
    lams = torch.full((1, 2), lam)
    plan = mx.MixPlan("manifold", torch.tensor([1, 0]), lams, lams, layer=layer)
    one, two = (vectors_of(model, row, 6) for row in rows)
    if layer == "embedding":
        expected = sentence_vector(model, *(lam * a + (1 - lam) * b for a, b in zip(one, two, strict=True)))
    else:
        expected = lam * sentence_vector(model, *one) + (1 - lam) * sentence_vector(model, *two)
    head = model.head.weight.detach().double().numpy() @ expected + model.head.bias.detach().double().numpy()
    np.testing.assert_allclose(mx.mixed_logits(model, x, plan)[0].detach(), head, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sentence", text.SENTENCE_NETS)
def test_padding_changes_nothing(sentence) -> None:
    model = net(sentence)
    x = torch.tensor([[2, 3, 4, 5, 6, 7], [8, 9, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    alone = torch.cat([model(row[row > 0][None]) for row in x[:2]])
    torch.testing.assert_close(model(x)[:2], alone)
    for more in ((x, torch.zeros_like(x)), (torch.zeros_like(x), x)):
        torch.testing.assert_close(model(torch.cat(more, 1)), model(x))
    assert model(x).isfinite().all()
    model(x).sum().backward()
    assert not model.embedding.weight.grad[text.PADDING].any()


def test_a_blend_with_no_words_is_the_mean_of_the_others() -> None:
    model, lam = net("mean"), torch.tensor([[0.3, 0.2]])
    plan = mx.MixPlan("manifold", torch.tensor([1, 0]), lam, lam, layer="embedding")
    blends = mx.mixed_logits(model, torch.tensor([[7], [0]]), plan)
    torch.testing.assert_close(blends, model(torch.tensor([[7], [7]])))


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_stand_in_is_learned_with_every_mixer(problem, mixer) -> None:
    model = text.TextNet(len(problem.words), 6)
    train(problem, model, mixer, epochs=5, batch_size=16, learning_rate=0.01)
    assert predict(problem, model).correct.double().mean() > 0.4


def test_stand_in_has_a_vocabulary_of_words_seen_twice(problem) -> None:
    whole = text.load("generated")
    ids, counts = whole.train[0].unique(return_counts=True)
    assert len(ids) == len(whole.words)
    assert counts[2:].min() > 1
    assert "stand-in" in problem.source
    assert len(whole.sentence(whole.test[0][0]).split()) == (whole.test[0][0] > 0).sum()
    assert len(text.load("generated", name="sst2").classes) == 2


def test_public_files_are_unpacked_whatever_their_encoding(tmp_path, capsys, monkeypatch) -> None:
    files = ["0 What is a sister\xf0city ?\n1 What  is is\n".encode("latin-1"), "1 Is cr\xe8me a City ?\n".encode()]
    paths = [tmp_path / f"file{i}" for i in range(2)]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    arrays = text.SETS["trec"].unpack(files)
    public = PublicData("T", "t", tuple(path.as_uri() for path in paths), text.SETS["trec"].unpack, digest(arrays))
    monkeypatch.setitem(text.SETS, "trec", public)
    fetched = text.load("public", root=tmp_path)
    assert fetched.words[2:] == ("is", "what")
    assert fetched.train[0].tolist() == [[3, 2, 1, 1, 1], [3, 2, 2, 0, 0]]
    assert fetched.test[0].tolist() == [[2, 1, 1, 1, 1]]
    assert fetched.train[1].tolist() == [0, 1]
    assert bytes(arrays["train_text"]).decode().split()[3] == "sister\xf0city"
    capsys.readouterr()


def test_own_sentences_may_be_empty_and_hold_unknown_words() -> None:
    train_part = (["A cat sat", "", "a Dog sat"], torch.tensor([0, 1, 0]))
    own = text.from_sentences(train_part, (["", "the cat sat a while"], torch.tensor([1, 0])), ("pet", "nothing"))
    assert own.words[2:] == ("a", "sat")
    assert own.train[0].tolist() == [[2, 1, 3], [0, 0, 0], [2, 1, 3]]
    assert own.test[0].tolist() == [[0, 0, 0, 0, 0], [1, 1, 3, 2, 1]]
    train(own, text.TextNet(4, 2, sentence="mean"), MIXERS[0], epochs=1)
    empty = text.from_sentences(train_part, ([""], torch.tensor([1])), ("pet", "nothing"))
    assert predict(empty, text.TextNet(4, 2)).probs.isfinite().all()


def test_nearest_words_of_a_blend_are_its_parents(problem) -> None:
    model = text.TextNet(len(problem.words), 6, width=200)
    vectors = model.embedding(torch.tensor([[5, 17], [40, 8]])).detach()
    for lam, nearest in ((0.6, (5, 17)), (0.4, (40, 8))):
        answers = text.nearest_words(problem, model, lam * vectors[0] + (1 - lam) * vectors[1], 2)
        assert [row[0][0] for row in answers] == [problem.words[word] for word in nearest]
        assert {word for word, _ in answers[0]} == {problem.words[5], problem.words[40]}
    a, b = model.embedding.weight[[5, 40]].detach().double().numpy()
    blend = 0.4 * a + 0.6 * b
    cosine = blend @ b / np.linalg.norm(blend) / np.linalg.norm(b)
    assert abs(answers[0][0][1] - cosine) < 1e-6


def test_word_numbers_are_not_blended(problem) -> None:
    with pytest.raises(TypeError, match=r"token ids are not blended: mix what a layer makes of them"):
        train(problem, net(words=len(problem.words)), mx.Mixer("mixup"), epochs=1)


TWO = torch.tensor([0, 1])
VOCABULARY = replace(text.load("generated").smaller(2), words=("", "", "a", "b"))
test_refused = each_refused(
    (lambda: text.load("generated", name="trecs"), "name must be one of 'trec', 'sst2'.* did you mean 'trec'"),
    (
        lambda: text.from_sentences(("a b", torch.zeros(3)), ([], TWO), ("a", "b")),
        "sentences of train must be a list of",
    ),
    (lambda: text.from_sentences((["a b"], TWO), (["a"], TWO), ("a", "b")), "labels of train must hold one label for"),
    (lambda: text.load("trec"), "which must be one of 'auto'"),
    (lambda: net()(torch.tensor([[3, 20]])), "x must hold word numbers from 0 to 19, got 3 to 20"),
    (lambda: text.TextNet(2, 6), "words must be an integer of at least 3"),
    (lambda: text.TextNet(9, 6, sentence="rnn"), "sentence must be one of 'cnn', 'mean'"),
    (lambda: text.nearest_words(VOCABULARY, net(), torch.zeros(7), 1), r"vectors must be a float .* \[T, 7\]"),
    (lambda: text.nearest_words(VOCABULARY, net(), torch.zeros(1, 7)), "count must be an integer from 1 to 2"),
)
