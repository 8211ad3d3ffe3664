"""Data whose true posterior is known, so that an estimate of calibration error can be compared with the true error."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.inputs import as_tensor, count_faults
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.data import shapes
from mixlab.data.dataset import Dataset, Split
from mixlab.data.load import SHAPES_TEST, SHAPES_TRAIN_MOST

N_MOST = 10_000_000
NEIGHBORS = 2.5  # blobs: distance of neighboring means in standard deviations, for a Bayes error of 10 to 21%


@dataclass(frozen=True, eq=False, repr=False)
class Warped:
    """What `warped` draws.

    Attributes:
        predictions: N float64 predictions of two classes.
        posterior: [N, 2] float64, the true chance of each class.
        true_l1, true_l2: the true calibration error, E|right - conf| and the root of E(right - conf)^2.
    """

    predictions: Predictions
    posterior: Tensor
    true_l1: float
    true_l2: float

    def __repr__(self) -> str:
        return f"Warped({len(self.posterior):,} predictions, true L1 {self.true_l1:.4f}, L2 {self.true_l2:.4f})"


def warped(n: int, *, factor: float = 2.0, spread: float = 2.0, seed: int = 0) -> Warped:
    """Predictions of two classes whose true calibration error is an integral over one variable.

    The true log-odds z of class 1 are normal with mean 0 and standard deviation `spread`, the label is 1 with
    probability sigmoid(z), and the predictions say sigmoid(factor z). So an answer of confidence sigmoid(factor |z|) is
    right with probability sigmoid(|z|), and the true error is E|sigmoid(|z|) - sigmoid(factor |z|)|: a temperature of
    1 / factor put on a perfect model.

    Args:
        n: how many, 1 to 10,000,000.
        factor: 0.01 to 100; 1 is calibrated, more is over-confident, less is under-confident.
        spread: 0.01 to 100; at 2 the best possible accuracy is 0.78.
        seed: seeds the draw, 0 to 2^63 - 1.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
    """
    n = _check.integer("n", n, 1, N_MOST)
    factor, spread = check_dials(factor, spread)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    predictions, posterior = draw_warped(n, factor, spread, torch.Generator().manual_seed(seed))
    return Warped(predictions, posterior, *true_errors(factor, spread))


def check_dials(factor: float, spread: float) -> tuple[float, float]:
    """The factor and the spread of `warped`, once they are in range."""
    return _check.number("factor", factor, 0.01, 100), _check.number("spread", spread, 0.01, 100)


def draw_warped(n: int, factor: float, spread: float, generator: torch.Generator) -> tuple[Predictions, Tensor]:
    """Predictions and posterior of `warped`, from a given stream."""
    z = spread * torch.randn(n, generator=generator, dtype=torch.float64)
    posterior = torch.stack([-z, z], 1).sigmoid()
    labels = (torch.rand(n, generator=generator, dtype=torch.float64) < posterior[:, 1]).long()
    half = 0.5 * factor * z
    return Predictions.from_logits(torch.stack([-half, half], 1), labels), posterior


def true_errors(factor: float, spread: float) -> tuple[float, float]:
    """The L1 and L2 error of `warped`.

    Trapezoidal rule in u = log |z| / spread: there the integrand is analytic up to a distance of pi / 4 from the real
    line and vanishes at both ends, so steps of 0.05 leave an error of about exp(-2 pi (pi / 4) / 0.05), below rounding.
    """
    step = 0.05
    size = torch.arange(-40, 4, step, dtype=torch.float64).exp()
    density = step * (2 / math.pi) ** 0.5 * torch.exp(-size.square() / 2) * size
    gap = (factor * spread * size).sigmoid() - (spread * size).sigmoid()
    return float((density * gap.abs()).sum()), float((density * gap.square()).sum()) ** 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Blobs:
    """What `blobs` draws.

    Attributes:
        points: [N, 2] float32.
        labels: [N] int64.
        posterior: [N, C] float64, the true chance of each class at each point.
        means: [C, 2] float64, the centers.
        spread: standard deviation of both coordinates about them.
    """

    points: Tensor
    labels: Tensor
    posterior: Tensor
    means: Tensor
    spread: float

    def __repr__(self) -> str:
        bayes = float(self.posterior.amax(1).mean())
        return f"Blobs({len(self.points):,} points, {len(self.means)} classes, best accuracy {bayes:.3f})"

    def posterior_at(self, points: Any) -> Tensor:
        """The true chance of each class, float64 [M, C], at points [M, 2] of any floating-point type."""
        wanted = "a floating-point tensor or array of points with shape [points, 2]"
        points = _check.tensor("points", as_tensor(points), wanted)
        if not points.is_floating_point() or points.ndim != 2 or points.shape[1] != 2:
            raise TypeError(f"points must be {wanted}, got {_check.shown(points)}")
        return _blob_posterior(points, self.means.to(points.device), self.spread)


def blobs(n: int, *, classes: int = 3, spread: float = 1.0, seed: int = 0) -> Blobs:
    """Points in the plane from Gaussian blobs of equal weight, with the exact posterior by Bayes' rule.

    The means lie on a circle about the origin, neighbors 2.5 apart; each label is drawn, and then its point. At spread
    1 the best possible accuracy is 0.89 for two classes, 0.82 for three, and 0.79 for many.

    Args:
        n: how many, 1 to 10,000,000.
        classes: 2 to 100.
        spread: standard deviation of both coordinates, 0.01 to 100.
        seed: seeds the draw, 0 to 2^63 - 1.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
    """
    n = _check.integer("n", n, 1, N_MOST)
    classes = _check.integer("classes", classes, 2, 100)
    spread = _check.number("spread", spread, 0.01, 100)
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX))
    angle = 2 * math.pi * torch.arange(classes, dtype=torch.float64) / classes
    means = NEIGHBORS / 2 / math.sin(math.pi / classes) * torch.stack([angle.cos(), angle.sin()], 1)
    labels = torch.randint(classes, (n,), generator=generator)
    points = (means[labels] + spread * torch.randn(n, 2, generator=generator, dtype=torch.float64)).float()
    return Blobs(points, labels, _blob_posterior(points, means, spread), means, spread)


def _blob_posterior(points: Tensor, means: Tensor, spread: float) -> Tensor:
    # |x|^2 is the same for every class, and left out
    scores = (points.double() @ means.T - means.square().sum(1) / 2) / spread**2
    return scores.softmax(1)


@dataclass(frozen=True, eq=False)
class AmbiguousShapes:
    """What `ambiguous_shapes` draws: a Dataset, and the true chance of each class, float64 [N, 10], of its pictures."""

    data: Dataset
    train_posterior: Tensor
    test_posterior: Tensor


def ambiguous_shapes(train_size: int = 2000, test_size: int = 1000, *, seed: int = 0) -> AmbiguousShapes:
    """Pictures of figures whose label is partly left to chance, and which show by how much.

    Each is a picture of Shapes at difficulty 0, where figures are plain, with a gauge along its lower edge: a white bar
    on black, centered, 2 to 32 pixels wide in 16 steps. The label is the figure's class with chance 0.5 (the shortest
    bar) to 1 (the longest), and the next class of `shapes.CLASSES` otherwise (after the last, the first). Whoever
    reads figure and gauge knows the exact posterior; the best possible accuracy is 0.75 on average. The bar keeps its
    length when the picture is flipped. `seed` draws other training pictures, the test pictures are always the same.

    Args:
        train_size: 10 to 50,000.
        test_size: 10 to 5,000.
        seed: seeds the training pictures, 0 to 2^63 - 1.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
    """
    classes = len(shapes.CLASSES)
    train_size = _check.integer("train_size", train_size, classes, SHAPES_TRAIN_MOST)
    test_size = _check.integer("test_size", test_size, classes, SHAPES_TEST)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    train, train_posterior = _ambiguous(train_size, seed, shapes.TRAIN)
    test, test_posterior = _ambiguous(test_size, 0, shapes.TEST)
    return AmbiguousShapes(Dataset("ambiguous shapes", train, test, shapes.CLASSES), train_posterior, test_posterior)


def _ambiguous(count: int, seed: int, stream: int) -> tuple[Split, Tensor]:
    images, figure = shapes.draw(count, seed=seed, stream=stream, difficulty=0)
    # Words that no picture of `shapes.draw` is drawn from.
    generator = torch.Generator().manual_seed(shapes.derived_seed(seed, stream, 0, 1))
    level, chance = torch.rand(count, 2, generator=generator, dtype=torch.float64).unbind(1)
    level = (shapes.LEVELS * level).floor()
    images = shapes.with_gauge(images, level)
    own, following = 0.5 + 0.5 * level / (shapes.LEVELS - 1), (figure + 1) % len(shapes.CLASSES)
    posterior = torch.zeros(count, len(shapes.CLASSES), dtype=torch.float64)
    posterior.scatter_(1, figure[:, None], own[:, None]).scatter_(1, following[:, None], 1 - own[:, None])
    return Split(images, torch.where(chance < own, figure, following)), posterior


def true_error(predictions: Predictions, posterior: Any, *, norm: str = "l1") -> float:
    """The true calibration error of predictions whose exact chances of being right are known.

    E|g| for norm "l1", the root of E(g^2) for "l2", where g is the mean of chance - confidence given the confidence.
    Rows are put in order of their confidence, and the g of a row is first estimated without it, by the mean over the
    n^(2/3) / 4 rows on each side. Then E|g| is the mean of (chance - confidence) times the sign of that estimate, and
    E(g^2) the mean of the two's product: since a row has no say in its own estimate, scatter of the chances does not
    add to the error, as it does in bins. What remains is a wrong sign where |g| is small, which lowers "l1" slightly.
    Labels play no part. Equal confidences are put in an order of a fixed seed.

    Measured on `warped` with chances that scatter by up to 0.2 about their mean given the confidence, 200 sets each,
    bias of "l1": at n = 1,000 it is -0.0009 for factor 2 (L1 0.093), -0.003 for 0.7 (L1 0.054) and 0.003 for 1 (L1 0,
    below which no estimate goes); at n = 10,000 it is -0.0002, -0.0004 and 0.0009.

    Args:
        predictions: N predictions, at least 2.
        posterior: [N, C] float, the true chance of each class for each row; an array, or a tensor on the same device.
        norm: "l1" or "l2".

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.
    """
    check_predictions(predictions)
    _check.choice("norm", norm, ("l1", "l2"))
    posterior = _check_posterior(as_tensor(posterior), predictions)
    if len(predictions) < 2:
        raise ValueError(f"predictions must hold at least 2 predictions, got {len(predictions)}")
    shuffled = torch.randperm(len(predictions), generator=torch.Generator().manual_seed(0)).to(predictions.probs.device)
    order = shuffled[predictions.confidence[shuffled].argsort(stable=True)]
    chance = posterior.double().gather(1, predictions.answer[:, None])[:, 0]
    gap = (chance - predictions.confidence)[order]
    others = _mean_of_others(gap, math.ceil(len(gap) ** (2 / 3) / 4))
    if norm == "l1":
        return max(0.0, float((gap * others.sign()).mean()))
    return math.sqrt(max(0.0, float((gap * others).mean())))


def _mean_of_others(values: Tensor, reach: int) -> Tensor:
    """The mean over up to `reach` entries on each side of each entry, without itself."""
    place = torch.arange(len(values), device=values.device)
    first, last = (place - reach).clamp(min=0), (place + reach).clamp(max=len(values) - 1)
    total = torch.cat([values.new_zeros(1), values.cumsum(0)])
    return (total[last + 1] - total[first] - values) / (last - first)


def _check_posterior(posterior: Any, p: Predictions) -> Tensor:
    wanted = f"a floating-point tensor or array of probabilities with shape [{len(p)}, {p.num_classes}]"
    table = _check.tensor("posterior", posterior, wanted)
    if not table.is_floating_point() or table.shape != p.probs.shape:
        raise TypeError(f"posterior must be {wanted}, got {_check.shown(table)}")
    _check.same_device("posterior", table, p.probs.device)
    wrong = int(count_faults(table).sum())
    if wrong:
        raise ValueError(f"posterior must hold probabilities, in rows that sum to 1, got {wrong:,} wrong rows")
    return table
