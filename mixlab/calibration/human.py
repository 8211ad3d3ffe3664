"""Calibration against people: about 51 votes on each CIFAR-10 test image, in place of one label.

The votes are CIFAR-10H: Peterson, Battleday, Griffiths and Russakovsky, "Human uncertainty makes classification more
robust", ICCV 2019.
"""

import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab import _check
from mixlab._files import first_line
from mixlab.calibration.bins import MAX_BINS, width_edges
from mixlab.calibration.bootstrap import WORLDS, invert
from mixlab.calibration.inputs import as_tensor
from mixlab.calibration.intervals import Interval, mean_interval, tails_of
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.data.cache import DataError
from mixlab.data.cifar import CIFAR10
from mixlab.data.load import cache_path, load
from mixlab.data.parts import stratified

FILE = "cifar10h-counts.npy"
ORIGIN = (
    f"The votes are data/{FILE} of https://github.com/jcpeterson/cifar-10h; their license, CC BY-NC-SA 4.0, is why "
    "they are not shipped"
)
COUNTS = "an integer tensor or array of votes with shape [images, classes]"


@dataclass(frozen=True, eq=False, repr=False)
class HumanVotes:
    """How many people gave each answer to each image: counts [N, C] of any integer type, kept as int64 on the CPU.

    Raises TypeError or ValueError unless they are whole, at least 0, and every image has a vote.
    """

    counts: Tensor

    def __post_init__(self) -> None:
        counts = _check.tensor("counts", as_tensor(self.counts), COUNTS)
        whole = not (counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool)
        if not whole or counts.ndim != 2:
            raise TypeError(f"counts must be {COUNTS}, got {_check.shown(counts)}")
        counts = counts.to("cpu", torch.int64)
        if len(counts) == 0 or counts.shape[1] < 2:
            raise ValueError(f"counts must hold at least 1 image and 2 classes, got {_check.shown(counts)}")
        negative, empty = int((counts < 0).any(1).sum()), int((counts.sum(1) == 0).sum())
        if negative:
            raise ValueError(f"counts must be at least 0, got {negative:,} images with a negative count")
        if empty:
            raise ValueError(f"counts must have a vote for every image, got {empty:,} images without")
        object.__setattr__(self, "counts", counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        mean = float(self.counts.sum()) / len(self)
        return f"HumanVotes({len(self):,} images, {self.counts.shape[1]} classes, {mean:.1f} votes an image)"

    @cached_property
    def probs(self) -> Tensor:
        """[N, C] float64, the share of people who gave each answer."""
        shares: Tensor = self.counts / self.counts.sum(1, keepdim=True).double()
        return shares

    @cached_property
    def entropy(self) -> Tensor:
        """[N] float64, the entropy of these shares in nats; of few votes it is on average too low (see `human_nll`)."""
        entropy: Tensor = torch.special.entr(self.probs).sum(1)
        return entropy

    @cached_property
    def majority(self) -> Tensor:
        """[N] int64, the answer that most people gave; the first one at a tie."""
        return self.counts.argmax(1)

    def subset(self, indices: Any) -> "HumanVotes":
        """The votes on the images at `indices`: int64 [M], or bool [N]."""
        wanted = f"a tensor or array of indices from 0 to {len(self) - 1}, or a mask of {len(self)} images"
        indices = _check.tensor("indices", as_tensor(indices), wanted)
        if indices.ndim != 1 or indices.dtype not in (torch.int64, torch.bool):
            raise TypeError(f"indices must be {wanted}, got {_check.shown(indices)}")
        mask = indices.dtype == torch.bool
        low, high = (0, len(indices)) if mask or len(indices) == 0 else (int(indices.min()), int(indices.max()) + 1)
        if low < 0 or (high != len(self) if mask else high > len(self)):
            given = f"a mask of {high}" if mask else f"indices from {low} to {high - 1}"
            raise ValueError(f"indices must be {wanted}, got {given}")
        return HumanVotes(self.counts[indices.cpu()])


def load_human(
    path: str | os.PathLike[str] | None = None,
    *,
    test_size: int | None = None,
    root: str | os.PathLike[str] | None = None,
) -> HumanVotes:
    """The votes of CIFAR-10H, from the file `cifar10h-counts.npy` as it is published; nothing is fetched.

    They are in the order of the official test set, which is that of `mx.load("cifar10").test`. With `test_size` they
    are those on the images that `mx.load("cifar10", test_size=...)` takes.

    Args:
        path: the file (default: in the folder where `mx.load` keeps its caches, $MIXLAB_DATA if that is set).
        test_size: 10 to 10,000 (default: all); needs CIFAR-10.
        root: the folder of the caches, as for `mx.load`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
        DataError: the file is not there, or does not hold these votes; the message says where to get it.
    """
    classes, images = len(CIFAR10.classes), CIFAR10.test_count
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of {FILE}, got {_check.shown(path)}")
    if test_size is not None:
        test_size = _check.integer("test_size", test_size, classes, images)
    place = cache_path(CIFAR10.name, root).parent / FILE if path is None else Path(path).expanduser()
    try:
        table = np.load(place, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{place} is not there. {ORIGIN}: put the file there, or give its path") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{place} cannot be read ({first_line(error)}). {ORIGIN}") from None
    given = f"{table.dtype} {list(table.shape)}" if isinstance(table, np.ndarray) else type(table).__name__
    if not isinstance(table, np.ndarray) or table.shape != (images, classes) or table.dtype.kind not in "iuf":
        raise DataError(f"{place} must hold counts [{images}, {classes}], got {given}. {ORIGIN}")
    if not np.array_equal(table, np.round(table)):  # as shares or NaN would not be
        raise DataError(f"{place} must hold whole counts, got fractions. {ORIGIN}")
    try:
        votes = HumanVotes(torch.from_numpy(table.astype(np.int64)))
    except ValueError as error:
        raise DataError(f"{place} is damaged: {error}. {ORIGIN}") from None
    if test_size is None:
        return votes
    return votes.subset(stratified(load(CIFAR10.name, root=root).test.labels, test_size, seed=0))


def human_error(
    predictions: Predictions,
    votes: HumanVotes,
    *,
    n_bins: int = 15,
    n: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> Interval:
    """Calibration error against people: the ECE in which an answer is as right as the share of people who give it.

    sum_b n_b/N |mean share - mean confidence| over bins of equal width. A share varies less about its mean than a label
    that is right or wrong, so the noise of a bin is smaller and the value less too high than an ECE against labels. The
    votes have noise of their own, about sqrt(s (1 - s) / 51) for a share s, at most 0.07 an image: it does not bias the
    mean of a bin, and the interval holds it, since each image comes with its votes.

    The interval covers the error of the population of images, in these bins: worlds with a part of the gaps seen are
    compared with the data, as in `Reliability.interval`, each drawn `n` times from a multinomial number of images in
    each bin and a normal mean. A bin of one image takes the mean variance of the others.

    Measured coverage by 95% intervals, 15 bins, 51 votes, errors from 0 to 0.18: 93% to 98% (400 sets each of 100, 500
    and 2,000 images), 92% to 99% (100 sets of 10,000).

    Args:
        predictions: predictions of N images.
        votes: on the same images, in the same order.
        n_bins: 1 to 10,000.
        n: resamples, at least 100.
        level: 0.5 to 0.999.
        generator: on the CPU (default: the same fixed seed each time).

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range, or votes of other images: the majority must
            agree with more than half of the labels, of which CIFAR-10H has 99%, and votes in a wrong order 10%.
    """
    predictions = _check_votes(predictions, votes)
    n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
    n, level, generator = _check.resampling(n, level, generator)

    share = votes.probs.gather(1, predictions.answer[:, None])[:, 0]
    where = torch.bucketize(predictions.confidence, width_edges(n_bins, predictions.given_dtype))
    size, gap, squares = (
        torch.bincount(where, weights, minlength=n_bins).double()
        for weights in (None, predictions.confidence - share, (predictions.confidence - share).square())
    )
    filled = size > 0
    size, gap, squares = size[filled], gap[filled], squares[filled]
    estimate = float(gap.abs().sum()) / len(predictions)

    mean = gap / size
    inner = (squares - size * mean.square()).clamp(min=0)
    pooled = inner.sum() / (size - 1).sum().clamp(min=1)
    spread = torch.where(size > 1, inner / (size - 1).clamp(min=1), pooled).sqrt()
    random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    counts = random.multinomial(len(predictions), (size / len(predictions)).numpy(), n)  # [n, bins]
    drawn = torch.from_numpy(counts).double()
    noise = drawn.sqrt() * spread * torch.from_numpy(random.standard_normal((n, len(size))))
    scale = torch.linspace(0, 1, WORLDS, dtype=torch.float64)
    draws = (scale[:, None, None] * drawn * mean + noise).abs().sum(2) / len(predictions)
    low, high = invert(estimate, scale * estimate, draws, tails_of(level))
    return Interval(estimate, low, high, len(predictions), level)


@dataclass(frozen=True)
class HumanNLL:
    """What `human_nll` returns, in nats an image.

    Attributes:
        nll: mean cross entropy of the predictions against the shares of the votes.
        entropy: mean entropy of these shares, which no predictions can go below.
        excess: nll - entropy, the mean Kullback-Leibler divergence KL(votes || predictions).
    """

    nll: Interval
    entropy: float
    excess: Interval


def human_nll(predictions: Predictions, votes: HumanVotes, *, level: float = 0.95) -> HumanNLL:
    """How far predictions are from what people say: cross entropy against their votes, and its excess over entropy.

    The cross entropy is without bias. The entropy of V votes that name m of the classes is too low by about
    (m - 1) / (2 V) (Miller 1955), and the excess too high by as much, the same for every model: 0.009 on CIFAR-10H,
    whose entropy is 0.154. Intervals are Student's, for the mean over images. A class that was voted for and given
    probability 0 makes both infinite.

    Args:
        predictions: predictions of N images, at least 2.
        votes: on the same images, in the same order.
        level: 0.5 to 0.999.

    Raises:
        TypeError, ValueError: as for `human_error`.
    """
    predictions = _check_votes(predictions, votes)
    level = _check.number("level", level, 0.5, 0.999)
    if len(predictions) < 2:
        raise ValueError(f"predictions must hold at least 2 predictions, got {len(predictions)}")
    log = predictions.logits.double().log_softmax(1)
    cross = -torch.where(votes.counts > 0, votes.probs * log, 0).sum(1)
    entropy = float(votes.entropy.mean())
    if bool(cross.isinf().any()):
        infinite = Interval(math.inf, math.inf, math.inf, len(predictions), level)
        return HumanNLL(infinite, entropy, infinite)
    excess = cross - votes.entropy
    return HumanNLL(mean_interval(cross.tolist(), level), entropy, mean_interval(excess.tolist(), level))


def _check_votes(p: Predictions, votes: HumanVotes) -> Predictions:
    """The predictions, on the CPU, once the votes are seen to be of the same images."""
    p = check_predictions(p).cpu()
    if not isinstance(votes, HumanVotes):
        raise TypeError(f"votes must be HumanVotes, as load_human gives them, got {_check.shown(votes)}")
    if votes.counts.shape != p.probs.shape:
        wanted = f"{len(p):,} images and {p.num_classes} classes like p"
        raise ValueError(f"votes must be of {wanted}, got {len(votes):,} images and {votes.counts.shape[1]} classes")
    agreement = float((votes.majority == p.labels).double().mean())
    if agreement <= 0.5:
        raise ValueError(
            "votes must be of the images that p is of, in the same order, got votes whose majority is the label of "
            f"{100 * agreement:.0f}% of them"
        )
    return p
