"""Votes of people: the file, the checks, and calibration against them by plain loops; all votes here are made up."""

import math

import numpy as np
import pytest
import torch
from refusals import each_refused, refuses
from scipy import stats
from seeding import seeded

from mixlab.calibration import human
from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.human import HumanVotes, human_error, human_nll, load_human
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.scores import nll
from mixlab.data import load as mixlab_data
from mixlab.data.cache import DataError
from mixlab.data.dataset import Dataset, Split
from mixlab.data.parts import stratified


def made_up(images=10_000, seed=0):
    """Votes of 45 to 60 people, and the label that most of them were drawn from."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, images)
    share = np.full((images, 10), 0.01)
    share[np.arange(images), labels] = 0.91
    return random.multinomial(random.integers(45, 61, images), share), torch.from_numpy(labels)


def sample(n, seed=0, classes=4, votes=51, sharpness=2.0):
    """Predictions, and votes that are drawn from other chances; labels are the majority."""
    g = seeded(seed)
    logits = sharpness * torch.randn(n, classes, generator=g, dtype=torch.float64)
    chances = (1.5 * logits + torch.randn(n, classes, generator=g)).softmax(1)
    drawn = torch.multinomial(chances, votes, replacement=True, generator=g)
    counts = torch.zeros(n, classes, dtype=torch.int64).scatter_add_(1, drawn, torch.ones_like(drawn))
    return Predictions.from_logits(logits, counts.argmax(1)), HumanVotes(counts)


def test_votes_are_shares_entropies_and_a_majority():
    votes = HumanVotes(torch.tensor([[3, 1, 0], [0, 0, 5], [2, 2, 4], [1, 1, 0]], dtype=torch.uint8))
    assert votes.counts.dtype == torch.int64
    assert len(votes) == 4
    assert votes.probs.tolist() == [[0.75, 0.25, 0], [0, 0, 1], [0.25, 0.25, 0.5], [0.5, 0.5, 0]]
    assert votes.entropy.tolist() == pytest.approx([stats.entropy(row) for row in votes.counts.tolist()])
    assert votes.majority.tolist() == [0, 2, 2, 0]
    assert repr(votes) == "HumanVotes(4 images, 3 classes, 4.8 votes an image)"


def test_a_subset_is_taken_by_indices_or_by_a_mask():
    votes = HumanVotes(torch.arange(1, 9).view(4, 2))
    assert votes.subset(torch.tensor([2, 0])).counts.tolist() == [[5, 6], [1, 2]]
    assert HumanVotes(votes.counts.numpy().astype(np.uint16)).subset(np.array([2, 0])).counts.tolist() == [
        [5, 6],
        [1, 2],
    ]
    assert votes.subset(torch.tensor([True, False, False, True])).counts.tolist() == [[1, 2], [7, 8]]


def cast(counts):
    return HumanVotes(torch.tensor(counts))


FOUR = cast([[1, 1]] * 4)


test_what_are_no_votes_is_refused = each_refused(
    (lambda: HumanVotes([[1, 2]]), TypeError, "counts", "[images, classes]", "[[1, 2]]"),
    (lambda: cast([[1.0, 1.0]]), TypeError, "counts", "integer", "float32"),
    (lambda: cast([1, 1]), TypeError, "counts", "[images, classes]", "shape [2]"),
    (lambda: cast([[1], [1]]), ValueError, "counts", "2 classes", "[2, 1]"),
    (lambda: cast([[1, -1]]), ValueError, "counts", "at least 0", "1 images"),
    (lambda: cast([[1, 1], [0, 0]]), ValueError, "counts", "every image", "1 images without"),
    (lambda: FOUR.subset(slice(2)), TypeError, "indices", "0 to 3", "mask of 4", "slice(None, 2, None)"),
    (lambda: FOUR.subset(torch.tensor([0.0])), TypeError, "indices", "0 to 3", "float32"),
    (lambda: FOUR.subset(torch.tensor([0, 4])), ValueError, "indices", "0 to 3", "from 0 to 4"),
    (lambda: FOUR.subset(torch.tensor([-1, 2])), ValueError, "indices", "0 to 3", "from -1 to 2"),
    (lambda: FOUR.subset(torch.tensor([True])), ValueError, "indices", "mask of 4", "a mask of 1"),
)


@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_the_file_is_read_from_a_path_or_from_the_folder_of_the_caches(tmp_path, monkeypatch, kind):
    counts, _ = made_up()
    np.save(tmp_path / "cifar10h-counts.npy", counts.astype(kind))
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path))
    assert np.array_equal(load_human().counts.numpy(), counts)
    assert np.array_equal(load_human(root=tmp_path).counts.numpy(), counts)
    assert np.array_equal(load_human(tmp_path / "cifar10h-counts.npy").counts.numpy(), counts)


def test_test_size_takes_the_votes_on_the_images_that_load_takes(tmp_path, monkeypatch):
    counts, labels = made_up()
    np.save(tmp_path / "cifar10h-counts.npy", counts)
    images = torch.arange(10_000).view(-1, 1, 1, 1).div(50, rounding_mode="floor").to(torch.uint8)
    whole = Dataset("cifar10", Split(images[:10], labels[:10]), Split(images, labels), tuple("abcdefghij"))
    monkeypatch.setattr(human, "load", lambda *_, **__: whole)
    monkeypatch.setattr(mixlab_data, "_open", lambda *_: whole)
    part = mixlab_data.load("cifar10", test_size=300)
    votes = load_human(tmp_path / "cifar10h-counts.npy", test_size=300)
    assert len(votes) == 300
    assert np.array_equal(votes.counts.numpy(), counts[stratified(labels, 300, seed=0).numpy()])
    assert torch.equal(votes.majority, part.test.labels)


def test_a_file_that_is_not_there_or_not_right_says_where_the_votes_are(tmp_path):
    path = tmp_path / "cifar10h-counts.npy"

    def refused(*words):
        origin = "https://github.com/jcpeterson/cifar-10h", "CC BY-NC-SA 4.0"
        refuses(lambda: load_human(root=tmp_path), DataError, str(path), *words, *origin)

    refused("is not there", "give its path")
    for table, words in (
        (np.ones((5, 10), dtype=np.int64), ("counts [10000, 10]", "int64 [5, 10]")),
        (np.full((10_000, 10), 0.1), ("whole counts", "fractions")),
        (np.full((10_000, 10), np.nan), ("whole counts", "fractions")),
        (np.zeros((10_000, 10), dtype=np.int8), ("damaged", "10,000 images without")),
        (np.array([{}], dtype=object), ("cannot be read", "allow_pickle=False")),
    ):
        np.save(path, table)
        refused(*words)
    path.write_bytes(b"")
    refused("cannot be read (")
    with path.open("wb") as file:
        np.savez(file, counts=np.ones(3))
    refused("counts [10000, 10]", "NpzFile")


@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_human_error_by_loops(n_bins):
    p, votes = sample(300)
    gaps = [0.0] * n_bins
    for row in range(300):
        confidence, answer = float(p.confidence[row]), int(p.answer[row])
        share = float(votes.counts[row, answer]) / 51
        gaps[max(0, math.ceil(confidence * n_bins) - 1)] += share - confidence
    interval = human_error(p, votes, n_bins=n_bins)
    assert interval.value == pytest.approx(sum(map(abs, gaps)) / 300, abs=1e-12)
    assert interval.low <= interval.value <= interval.high
    assert (interval.n, interval.level) == (300, 0.95)


def test_the_interval_in_one_bin_is_that_of_the_mean_gap():
    p, votes = sample(2000)
    gap = (p.confidence - votes.probs.gather(1, p.answer[:, None])[:, 0]).numpy()
    reach = 1.96 * stats.sem(gap)
    interval = human_error(p, votes, n_bins=1)
    assert 3 * reach < interval.value == pytest.approx(abs(gap.mean()))
    assert interval.value - interval.low == pytest.approx(reach, rel=0.15)
    assert interval.high - interval.value == pytest.approx(reach, rel=0.15)


def test_unanimous_votes_are_labels():
    p, _ = sample(400, seed=1)
    votes = HumanVotes(51 * torch.nn.functional.one_hot(p.labels, 4))
    assert human_error(p, votes, n_bins=10).value == pytest.approx(calibration_error(p, n_bins=10), abs=1e-12)
    score = human_nll(p, votes)
    assert score.nll.value == pytest.approx(nll(p), abs=1e-12)
    assert score.entropy == 0
    assert score.excess == score.nll


def test_intervals_repeat_and_follow_their_generator_and_level():
    p, votes = sample(300, seed=2)
    first, again = human_error(p, votes), human_error(p, votes)
    other = human_error(p, votes, generator=seeded(5))
    narrow = human_error(p, votes, level=0.5)
    assert first == again != other
    assert narrow.high - narrow.low < first.high - first.low
    assert human_nll(p, votes, level=0.5).nll.high < human_nll(p, votes).nll.high


@pytest.mark.parametrize(("lean", "n"), [(0.0, 500), (0.02, 2000), (0.3, 500)])
def test_intervals_cover_the_population(lean, n):
    """At least 0.95 less 4 standard errors of 60 sets (0.028 each); the mean share is confidence less a lean."""
    generator = seeded(n)

    def draw(size):
        conf = (2 * torch.randn(size, generator=generator, dtype=torch.float64)).abs().sigmoid()
        room = conf * (1 - conf)
        scatter = 0.4 * room * torch.randn(size, generator=generator, dtype=torch.float64)
        return conf, (conf - 4 * lean * room + scatter).clamp(0, 1)

    conf, share = draw(400_000)
    where = torch.bucketize(conf, torch.arange(1, 15) / 15)
    truth = float(torch.bincount(where, conf - share, minlength=15).abs().sum()) / len(conf)
    held = 0
    for _ in range(60):
        conf, share = draw(n)
        named = torch.binomial(torch.full_like(share, 51.0), share, generator=generator)
        votes = HumanVotes(torch.stack([named, 51 - named], 1).long())
        p = Predictions.from_probs(torch.stack([conf, 1 - conf], 1), torch.zeros(n, dtype=torch.int64))
        interval = human_error(p, votes, n=200)
        held += interval.low - 1e-9 <= truth <= interval.high + 1e-9
    assert held / 60 >= 0.95 - 4 * 0.028


def test_extreme_sets_have_intervals():
    certain = Predictions.from_probs(torch.eye(2), torch.tensor([0, 1]))
    unanimous = HumanVotes(torch.tensor([[50, 0], [0, 52]]))
    assert (human_error(certain, unanimous).low, human_error(certain, unanimous).high) == (0, 0)
    single = human_error(certain[:1], HumanVotes(torch.tensor([[3, 1]])))
    assert single.low <= single.value == 0.25 <= single.high


def test_human_nll_is_cross_entropy_and_its_excess_the_divergence():
    p, votes = sample(200, seed=3, votes=7)  # few votes, so that some classes have none
    q, prob = votes.probs.numpy(), p.probs.numpy()
    cross = np.array(
        [-sum(a * math.log(b) for a, b in zip(*rows, strict=True) if a) for rows in zip(q, prob, strict=True)]
    )
    divergence = stats.entropy(q, prob, axis=1)
    score = human_nll(p, votes)
    for interval, values in ((score.nll, cross), (score.excess, divergence)):
        low, high = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
        assert (interval.value, interval.low, interval.high) == pytest.approx((values.mean(), low, high))
    assert score.entropy == pytest.approx(np.mean(stats.entropy(q, axis=1)))
    assert score.excess.value == pytest.approx(score.nll.value - score.entropy)


def test_a_class_that_is_voted_for_and_held_impossible_costs_infinitely_much():
    p = Predictions.from_probs(torch.eye(2), torch.tensor([0, 1]))
    score = human_nll(p, HumanVotes(torch.tensor([[9, 1], [0, 9]])))
    assert (score.nll.value, score.nll.low, score.nll.high, score.excess.value) == (math.inf,) * 4
    assert human_nll(p, HumanVotes(torch.tensor([[9, 0], [0, 9]]))).nll.value == 0
    steep = Predictions.from_logits(torch.tensor([[200.0, 0], [0, 200.0]]), torch.tensor([0, 1]))
    assert human_nll(steep, HumanVotes(torch.tensor([[9, 1], [0, 9]]))).nll.value == pytest.approx(10)


@pytest.mark.parametrize("measure", [human_error, human_nll])
def test_votes_of_other_images_are_refused(measure):
    p, votes = sample(200)
    others = HumanVotes(51 * torch.nn.functional.one_hot((p.labels + (torch.arange(200) >= 60)) % 4, 4))
    refuses(lambda: measure(votes, votes), TypeError, "predictions", "Predictions", repr(votes))
    refuses(lambda: measure(p, votes.counts), TypeError, "votes", "HumanVotes", "[200, 4]")
    refuses(lambda: measure(p[:150], votes), ValueError, "votes", "150 images", "200 images")
    refuses(lambda: measure(p, others), ValueError, "votes", "same order", "30%")


def test_wrong_arguments_are_named():
    p, votes = sample(20)
    one = votes.subset(torch.tensor([0]))
    refuses(lambda: human_nll(p[:1], one), ValueError, "predictions", "at least 2", "got 1")
    refuses(lambda: load_human(5), TypeError, "path", "cifar10h-counts.npy", "got 5")
    refuses(lambda: load_human(root=5), TypeError, "root", "path", "got 5")
