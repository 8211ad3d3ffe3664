"""How curved a loss is at a network's weights: the largest eigenvalues of its Hessian, and its trace."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.machine import releasing_memory

Loss = Callable[[nn.Module], Tensor]


@dataclass(frozen=True)
class Curvature:
    """Of a loss at a network's weights.

    Attributes:
        eigenvalues: the largest of the Hessian, in falling order; at a minimum the first is the sharpest direction.
        trace: the sum of all eigenvalues with its interval over random vectors; n counts these, not images.
        parameters: how many weights there are, the size of the Hessian.
    """

    eigenvalues: tuple[float, ...]
    trace: Interval
    parameters: int


@releasing_memory()
def curvature(
    model: nn.Module,
    loss: Loss,
    *,
    top: int = 1,
    draws: int = 10,
    generator: torch.Generator | None = None,
) -> Curvature:
    """The largest eigenvalues of the Hessian of a loss with respect to the weights, and its trace.

        clean = curvature(model, lambda net: torch.nn.functional.cross_entropy(net(x), y))
        mixed = curvature(model, lambda net: mx.mixed_loss(net, x, y, plan))

    The Hessian is never formed. Lanczos' method (scipy's `eigsh`) asks for its products with vectors, and Hutchinson's
    trace is the mean of vᵀHv over random signs v. A flat minimum by this measure can be made sharp by rescaling layers
    that leave the function as it is (Dinh et al., 2017); `sharpness` has a form that cannot be fooled so.

    Args:
        model: holds the weights, those that require a gradient; it is read in evaluation mode and not changed.
        loss: maps the model to a scalar, the same at every call: it must not draw new mixes.
        top: counts the eigenvalues, at least 1 and below the number of weights.
        draws: counts the random vectors of the trace, at least 2; each costs one product, an eigenvalue about ten.
        generator: is the source of the random vectors, by default torch's global one.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range; a loss that is no scalar.

    Source: Ghorbani et al., "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density", ICML 2019.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    weights = weights_of(model)
    count = sum(weight.numel() for weight in weights)
    top = _check.integer("top", top, 1, count - 1)
    draws = _check.integer("draws", draws, 2)
    device = weights[0].device
    generator = _check.generator(generator, device)
    with evaluating(model), torch.enable_grad():
        slopes = _flat(torch.autograd.grad(scalar(loss(model)), weights, create_graph=True, allow_unused=True), weights)

        def product(vector: Tensor) -> Tensor:
            parts = torch.autograd.grad(slopes @ vector, weights, retain_graph=True, allow_unused=True)
            return _flat(parts, weights).detach()

        def times(vector: "object") -> "object":
            given = torch.as_tensor(vector, dtype=slopes.dtype, device=device).flatten()
            return product(given).double().cpu().numpy()

        start = torch.randn(count, dtype=slopes.dtype, device=device, generator=generator)
        operator = LinearOperator((count, count), matvec=times, dtype="float64")
        # A product costs some gradients, so Lanczos keeps few vectors: it then looks often whether it is done.
        vectors = min(max(2 * top + 4, 8), count)
        values = eigsh(
            operator,
            top,
            which="LA",
            v0=start.double().cpu().numpy(),
            ncv=vectors,
            return_eigenvectors=False,
            tol=1e-3,  # of the eigenvector's residual: the eigenvalue's own error is of its square
        )
        traces = []
        for _ in range(draws):
            coin = torch.randint(0, 2, (count,), device=device, generator=generator)
            signs = (2 * coin - 1).to(slopes.dtype)
            traces.append(float(signs.double() @ product(signs).double()))
    return Curvature(tuple(sorted(values.tolist(), reverse=True)), mean_interval(traces), count)


def weights_of(model: object) -> list[nn.Parameter]:
    """The parameters of a model that require a gradient."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ValueError("model must have parameters that require a gradient, got none")
    return weights


def scalar(value: object) -> Tensor:
    """Return a loss if it is one float."""
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        raise TypeError(f"loss must return a float scalar, got {_check.shown(value)}")
    return value


def _flat(parts: tuple[Tensor | None, ...], weights: list[nn.Parameter]) -> Tensor:
    return torch.cat(
        [
            (torch.zeros_like(weight) if part is None else part).flatten()
            for part, weight in zip(parts, weights, strict=True)
        ]
    )
