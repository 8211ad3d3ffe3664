"""The law of λ: Beta(α, α), drawn right at every α.

torch's own Beta sampler piles up at ½ as α falls below 0.01 (pytorch#15738, #84625, #136532). Here λ is drawn by
inverting its distribution function instead, in a variable where that function is smooth at every α.

With t = logit λ, the law of t is symmetric, with density proportional to cosh(t/2)^(-2α): a normal for large α, a
Laplace for small. Write m = P(|T| < t). Then y = log t is a smooth, nearly straight function of q = logit m, over the
whole range of float64 and from α = 1e-6 to 1e6. One table of 4,097 knots (y, q, dq/dy), integrated by Gauss-Legendre,
and a cubic Hermite through them give λ to six digits or more, even where it is below 1e-290. A uniform number has one
quantile for every α, so the same generator state and another α move each λ smoothly.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mixlab import _check

ALPHA_MIN, ALPHA_MAX = 1e-6, 1e6
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

_CELLS = 4096  # cells of the table, equal in log t
_TAIL = 40.0  # how far the table reaches on either side, in log probability: beyond 53 bits of a uniform number


def check_alpha(alpha: float) -> float:
    """Return α as a float, or raise if it is not a number from 1e-6 to 1e6."""
    note = "" if isinstance(alpha, str) else ' (for no mixing use Mixer("none"))'
    return _check.number("alpha", alpha, ALPHA_MIN, ALPHA_MAX, note=note)


def _log_cosh(x: Tensor) -> Tensor:
    """log cosh x, to full relative precision for small x and without overflow for large."""
    small = 0.5 * torch.log1p(torch.sinh(x.clamp(max=1.0)) ** 2)
    large = x + torch.log1p(torch.exp(-2 * x)) - math.log(2)
    return torch.where(x < 1.0, small, large)


def _reach(alpha: float, depth: float) -> float:
    """The t at which the density of T has fallen to exp(-depth) of its height at 0."""
    drop = depth / (2 * alpha)  # = log cosh(t/2)
    if drop > 30:
        return 2 * (drop + math.log(2))
    excess = math.expm1(drop)
    return 2 * math.log1p(excess + math.sqrt(excess * (excess + 2)))


@dataclass(frozen=True)
class _Table:
    """Knots of the law of |T|: q = logit P(|T| < exp(y)), for y = log t evenly spaced."""

    knots: Tensor  # [cells + 1, 3] float64: y, q, dq/dy
    inner: Tensor  # [cells - 1] float64, q at the knots between two cells, increasing
    cubics: Tensor  # [cells, 6] float64: q at the cell's left end, the cell's width in q, and y's cubic on it

    @classmethod
    def of(cls, knots: Tensor) -> "_Table":
        """The table with what can be said of each cell beforehand: a draw is a look-up then, and a few operations."""
        (y0, q0, slope0), (y1, q1, slope1) = knots[:-1].unbind(-1), knots[1:].unbind(-1)
        width = q1 - q0
        cubics = torch.stack([q0, width, *_hermite(y0, y1, width / slope0, width / slope1)], dim=1)
        return cls(knots, q0[1:].contiguous(), cubics)

    def log_t(self, q: Tensor) -> Tensor:
        """y at q, by the cubic that has the table's values and slopes at both ends of q's cell."""
        q0, width, *cubic = self.cubics[torch.searchsorted(self.inner, q)].unbind(-1)
        return _at((q - q0) / width, *cubic)

    def log_t_at(self, q: float) -> float:
        """The same of one number, in a fifth of the time that torch takes for it."""
        q0, width, a, b, c, d = self.cubics.numpy()[bisect_left(self.inner.numpy(), q)].tolist()
        s = (q - q0) / width
        return float(a + s * (b + s * (c + s * d)))

    def probability_within(self, t: float) -> float:
        """P(|T| < t): the same table read the other way."""
        first, last = self.knots[0, 0].item(), self.knots[-1, 0].item()
        step = (last - first) / _CELLS
        place = (math.log(t) - first) / step
        if not 0 <= place < _CELLS:
            return 0.0 if place < 0 else 1.0
        _, q0, slope0 = self.knots[int(place)]
        _, q1, slope1 = self.knots[int(place) + 1]
        within = torch.tensor(place % 1, dtype=torch.float64, device=q0.device)
        return float(torch.sigmoid(_at(within, *_hermite(q0, q1, step * slope0, step * slope1))))


def _hermite(y0: Tensor, y1: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The cubic on [0, 1] with values y0, y1 and derivatives d0, d1 at the ends: its coefficients, lowest first."""
    rise = y1 - y0
    return y0, d0, 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise


def _at(s: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.addcmul(a, s, torch.addcmul(b, s, torch.addcmul(c, s, d)))


@lru_cache(maxsize=64)
def _table(alpha: float, device: torch.device) -> _Table:
    if device.type != "cpu":
        source = _table(alpha, torch.device("cpu"))
        return _Table(*(part.to(device) for part in (source.knots, source.inner, source.cubics)))
    last = math.log(_reach(alpha, _TAIL))
    first = math.log(_reach(alpha, 1.0)) - _TAIL
    y = torch.linspace(first, last, _CELLS + 1, dtype=torch.float64, device=device)
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(8))
    half = (last - first) / _CELLS / 2
    t = torch.exp(y[:-1, None] + half * (nodes + 1))
    mass = (half * weights * t * torch.exp(-2 * alpha * _log_cosh(t / 2))).sum(1)
    # Summed from the near end, the mass below each knot keeps its relative precision; from the far end, that above.
    # What lies outside the table: a flat piece next to 0, and a tail that falls like exp(-α tanh(t/2) t).
    t, height = torch.exp(y), torch.exp(-2 * alpha * _log_cosh(torch.exp(y) / 2))
    below = torch.cat([t[:1], t[0] + mass.cumsum(0)])
    beyond = height[-1] / (alpha * torch.tanh(t[-1] / 2))
    above = torch.cat([beyond + mass.flip(0).cumsum(0).flip(0), beyond[None]])
    # dq/dy = (dm/dy) / (m (1 - m)), with dm/dy = t · density
    q = torch.log(below) - torch.log(above)
    return _Table.of(torch.stack([y, q, t * height * (below + above) / (below * above)], dim=1))


def sample_lambda(
    alpha: float,
    size: int | Sequence[int],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw λ ~ Beta(α, α).

    Each λ comes from one uniform float64 number by inversion, so that equal generator states give the same quantiles
    at every α. λ and 1 − λ have the same law, to rounding: the uniforms are symmetric about ½. A λ is 0 or 1 only
    where `dtype` cannot hold it. On CUDA nothing waits for the device once α has been used there.

    Args:
        alpha: is a number from 1e-6 to 1e6. Small values give λ near 0 or 1, large values near ½.
        size: is the shape of the result; an int n means [n].
        device: says where to draw; by default on the generator's device, without one on the CPU.
        dtype: is float64, float32, bfloat16 or float16.
        generator: is the source of randomness, on `device`; by default that device's global generator.

    Returns:
        Tensor of shape `size` with values in [0, 1].

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2.
    """
    alpha = check_alpha(alpha)
    shape = _check_size(size)
    if dtype not in FLOATS:
        raise TypeError(f"dtype must be float64, float32, bfloat16 or float16, got {_check.shown(dtype)}")
    if device is None:
        device = generator.device if isinstance(generator, torch.Generator) else "cpu"
    device = torch.device(device)
    generator = _check.generator(generator, device)

    # The centers of 2^53 equal cells of (-1, 1): never 0 or ±1, exactly symmetric, each exact in float64.
    uniform = torch.rand(shape, dtype=torch.float64, device=device, generator=generator)
    if device.type == "cpu" and uniform.numel() == 1:
        return torch.full(shape, _inverted_one(alpha, 2 * uniform.item() + (2.0**-53 - 1)), dtype=dtype, device=device)
    return _inverted(alpha, 2 * uniform + (2.0**-53 - 1)).to(dtype)


def lambda_quantile(alpha: float, shares: Tensor | Sequence[float]) -> Tensor:
    """The λ that Beta(α, α) falls below with probability u, for each u of `shares`; what `sample_lambda` inverts.

    Args:
        alpha: number from 1e-6 to 1e6.
        shares: probabilities u in [0, 1], any shape; those closer than 2^-53 to 0, ½ or 1 count as that close.

    Returns:
        float64 tensor of the shares' shape, right to six digits.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    alpha = check_alpha(alpha)
    centered = 2 * _unit_interval("shares", "probabilities", shares) - 1
    away = centered.abs().clamp(2.0**-53, 1 - 2.0**-53)
    return _inverted(alpha, torch.where(centered < 0, -away, away))


def _inverted(alpha: float, centered: Tensor) -> Tensor:
    """The λ at the probability (1 + centered) / 2, for float64 numbers in (-1, 1) other than 0."""
    t = torch.exp(_table(alpha, centered.device).log_t(torch.logit(centered.abs())))
    odds = torch.exp(-t)  # not the sigmoid of ±t, which is 0 below 1e-308
    return torch.where(centered < 0, odds, 1.0) / (1 + odds)


def _inverted_one(alpha: float, centered: float) -> float:
    """The same of one number: papers draw one λ for a batch, and twenty operations of torch cost more than they do."""
    away = abs(centered)
    odds = math.exp(-math.exp(_table(alpha, torch.device("cpu")).log_t_at(math.log(away / (1 - away)))))
    return (odds if centered < 0 else 1.0) / (1 + odds)


def _check_size(size: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(size, Sequence) and not isinstance(size, str):
        return tuple(_check.integer("size", n, 0) for n in size)
    return (_check.integer("size", size, 0),)


def lambda_pdf(alpha: float, grid: Tensor | Sequence[float]) -> Tensor:
    """Density of Beta(α, α) at each point of `grid`.

    Args:
        alpha: is a number from 1e-6 to 1e6.
        grid: holds values of λ in [0, 1], in any shape.

    Returns:
        float64 tensor of the grid's shape; infinite at 0 and 1 where α < 1.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    alpha = check_alpha(alpha)
    x = _unit_interval("grid", "values of λ", grid)
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    # xlogy, not (α - 1) log x: at α = 1 and x = 0 the density is 1
    power = torch.tensor(alpha - 1, dtype=torch.float64, device=x.device)
    return torch.exp(torch.xlogy(power, x) + torch.special.xlog1py(power, -x) - log_beta)


def _unit_interval(name: str, what: str, values: Tensor | Sequence[float]) -> Tensor:
    """The values as float64, or raise if they are no numbers in [0, 1] (looked at on CPU only)."""
    allowed = f"{name} must hold {what} in [0, 1], got"
    device: torch.device | str = values.device if isinstance(values, Tensor) else "cpu"
    try:
        numbers = torch.as_tensor(values, dtype=torch.float64, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{allowed} {_check.shown(values)}") from None
    if numbers.device.type == "cpu" and numbers.numel():
        low, high = (float(edge) for edge in torch.aminmax(numbers))
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise ValueError(f"{allowed} values from {low:g} to {high:g}")
    return numbers


@dataclass(frozen=True)
class LambdaMoments:
    """Numbers that sum up Beta(α, α).

    Attributes:
        alpha: is the α they belong to.
        mean: is E[λ] = ½.
        variance: is Var[λ] = 1 / (4 (2α + 1)).
        theta_bar: is E[max(λ, 1 − λ)] = 1 − I_½(α + 1, α), the mean share of the larger part
            (Carratino et al., "On Mixup Regularization", JMLR 2022).
        mixed_mass: is P(0.1 < λ < 0.9), how often a mix is visible at all.
    """

    alpha: float
    mean: float
    variance: float
    theta_bar: float
    mixed_mass: float


def lambda_moments(alpha: float) -> LambdaMoments:
    """Mean, variance, θ̄ = E[max(λ, 1 − λ)] and P(0.1 < λ < 0.9) of Beta(α, α), for α from 1e-6 to 1e6."""
    return _moments(check_alpha(alpha))


@lru_cache(maxsize=64)
def _moments(alpha: float) -> LambdaMoments:
    # E|λ - ½| = 1 / (α 4^α B(α, α)), the mean absolute deviation of a symmetric Beta
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    deviation = math.exp(-math.log(alpha) - alpha * math.log(4) - log_beta)
    return LambdaMoments(
        alpha=alpha,
        mean=0.5,
        variance=1 / (4 * (2 * alpha + 1)),
        theta_bar=0.5 + deviation,
        mixed_mass=_table(alpha, torch.device("cpu")).probability_within(math.log(9)),
    )


def check_lam(name: str, lam: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise unless `lam` is a float tensor of this shape and device with values in [0, 1] (looked at on CPU only)."""
    _check.tensor(name, lam, f"a float tensor of shape {list(shape)}")
    if not lam.is_floating_point() or lam.shape != shape:
        raise ValueError(f"{name} must be a float tensor of shape {list(shape)}, got {_check.shown(lam)}")
    _check.same_device(name, lam, device)
    if lam.device.type == "cpu" and lam.numel():
        low, high = (float(edge) for edge in torch.aminmax(lam.detach()))
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise ValueError(f"{name} must hold weights in [0, 1], got values from {low:g} to {high:g}")
