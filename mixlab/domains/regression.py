"""Labels that are numbers: two problems, a network that says how sure it is, its error, and how often it covers.

What may be mixed: rows, before the network or inside, with any partner or with one whose label is near (C-Mixup,
`mixlab.mixing.Near`): what lies between two rows with far labels may be like no row of the label in the middle.

The network gives a mean μ and ln σ², and its loss is the Gaussian −ln p. `mx.mixed_loss` takes it of both labels, by λ
and 1 − λ. Of squared errors this is the error of the mixed label, but for a constant. Here it is more: the σ² that fits
best holds λ (1 − λ) (y − y′)², the spread of the two labels, besides the noise. So mixing far labels widens intervals.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.domains.problem import Problem, divided
from mixlab.domains.training import outputs

SETS = {
    "diabetes": "442 patients: 10 measurements, and how far the disease went in a year (in scikit-learn)",
    "friedman": "600 rows of 10 numbers, of which 5 matter, and noise; generated",
}
_LEVELS = torch.linspace(0.05, 0.95, 19, dtype=torch.float64, device="cpu")


def load(name: str = "diabetes", *, test_share: float = 0.3, seed: int = 0) -> Problem:
    """A problem with numbers for labels; columns and labels have a mean of 0 and a deviation of 1 in training.

    Args:
        name: is a key of SETS.
        test_share: is the share of the rows that become the test set.
        seed: draws which, and the rows themselves where they are generated.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
        ImportError: scikit-learn is not installed.

    Sources: Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", Annals of Statistics 32, 2004;
    Friedman, "Multivariate adaptive regression splines", Annals of Statistics 19, 1991, equation 61.
    """
    from sklearn import datasets

    if _check.choice("name", name, SETS) == "diabetes":
        rows, labels = datasets.load_diabetes(return_X_y=True)
        source = "scikit-learn's load_diabetes (Efron et al., 2004)"
    else:
        rows, labels = datasets.make_friedman1(600, noise=1.0, random_state=_check.integer("seed", seed, 0, 2**32 - 1))
        source = "generated: scikit-learn's make_friedman1 (Friedman, 1991)"
    x, y = torch.from_numpy(rows).float(), torch.from_numpy(labels).float()
    plain = divided(name, source, x, y, None, test_share=test_share, seed=seed)
    train, test = (
        tuple((part - of.mean(0)) / of.std(0) for part, of in zip(parts, plain.train, strict=True))
        for parts in (plain.train, plain.test)
    )
    return Problem(f"numbers ({name})", source, (train[0], train[1]), (test[0], test[1]), None)


class ForecastNet(nn.Module):
    """Two hidden layers of 64, and a forecast: a mean and the logarithm of a variance.

    Args:
        columns: counts the numbers of a row.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("input", "block1", "block2")

    def __init__(self, columns: int, *, seed: int = 0) -> None:
        super().__init__()
        self.columns = columns = _check.integer("columns", columns, 1)
        with spared(_check.integer("seed", seed, 0, _check.SEED_MAX)), usual_defaults():
            self.block1 = nn.Sequential(nn.Linear(columns, 64), nn.ReLU())
            self.block2 = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.head = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2] of rows [B, columns]: μ, and ln σ², which a tanh keeps between −6 and 6. Other shapes: ValueError."""
        if x.ndim != 2 or x.shape[1] != self.columns:
            raise ValueError(f"x must be [batch, {self.columns}], got {_check.shown(x)}")
        mean, log_variance = self.head(self.block2(self.block1(x))).unbind(1)
        return torch.stack([mean, 6 * torch.tanh(log_variance / 6)], 1)


def gaussian_loss(forecasts: Tensor, y: Tensor) -> Tensor:
    """−ln p of labels y [N] by forecasts [N, 2], μ and ln σ²: ½ (ln 2π + ln σ² + (y − μ)² / σ²), [N] in nats.

    Raises ValueError for other shapes, which could broadcast to a table [N, N].
    """
    if forecasts.ndim != 2 or forecasts.shape[1] != 2 or y.shape != forecasts.shape[:1]:
        shapes = f"forecasts of shape {list(forecasts.shape)} and y of {list(y.shape)}"
        raise ValueError(f"forecasts must be [N, 2] and y [N], got {shapes}")
    mean, log_variance = forecasts.unbind(1)
    return 0.5 * (math.log(2 * math.pi) + log_variance + (y - mean).square() * torch.exp(-log_variance))


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts of examples, and what came.

    Attributes:
        mean, deviation: are μ and σ, float64 [N], in units of the labels.
        y: is the labels, float64 [N].

    Raises:
        TypeError, ValueError: other shapes, NaN or infinity, such as of rows with missing values; σ not above 0.
    """

    mean: Tensor
    deviation: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        for name in ("mean", "deviation", "y"):
            part = _check.tensor(name, getattr(self, name), "a tensor of shape [N]")
            if part.ndim != 1 or part.shape != self.mean.shape:
                raise ValueError(f"{name} must have the shape [N] of mean, got {_check.shown(part)}")
            if not bool(part.isfinite().all()):
                raise ValueError(f"{name} must be finite, got {int((~part.isfinite()).sum())} with NaN or infinity")
        if not bool((self.deviation > 0).all()):
            raise ValueError(f"deviation must be above 0, got {float(self.deviation.min()):g}")

    @property
    def rmse(self) -> float:
        """√ of the mean squared error of μ."""
        return float((self.y - self.mean).square().mean().sqrt())

    @property
    def nll(self) -> float:
        """The mean `gaussian_loss`, in nats."""
        return float(gaussian_loss(torch.stack([self.mean, 2 * self.deviation.log()], 1), self.y).mean())

    def coverage(self, level: float = 0.9) -> float:
        """The share of labels in the interval μ ± z σ of this level: the level itself, if calibrated."""
        level = _check.number("level", level, 0.001, 0.999)
        return float((self._level_needed() <= level).double().mean())

    def width(self, level: float = 0.9) -> float:
        """The mean width of that interval, 2 z σ."""
        level = _check.number("level", level, 0.001, 0.999)
        z = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64, device="cpu"))
        return float(2 * z * self.deviation.mean())

    @property
    def coverage_error(self) -> float:
        """The mean of |coverage − level| over the levels 5%, 10%, … 95%.

        Source: Kuleshov, Fenner and Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated Regression",
        ICML 2018, equation 9, there with squares, of one-sided intervals.
        """
        covered = (self._level_needed() <= _LEVELS[:, None]).double().mean(1)
        return float((covered - _LEVELS).abs().mean())

    def _level_needed(self) -> Tensor:
        """The level at which each label begins to lie inside, [N]."""
        needed: Tensor = torch.special.erf((self.y - self.mean).abs() / self.deviation / math.sqrt(2))
        return needed


def forecast(problem: Problem, model: nn.Module) -> Forecasts:
    """What a model says of the test examples of a problem with numbers for labels."""
    if not isinstance(problem, Problem) or problem.classes is not None:
        raise TypeError(f"problem must be a Problem with numbers for labels, got {_check.shown(problem)}")
    x, y = problem.test
    mean, log_variance = outputs(model, x).double().unbind(1)
    return Forecasts(mean, (log_variance / 2).exp(), y.double())
