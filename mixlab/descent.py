"""SGD with Nesterov momentum, from torch's functional form.

torch.optim.SGD is the same arithmetic, but making one imports torch's compiler: 150 MB and a second, on a machine that
may have 1 GB. A test holds both to the same bits.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Descent:
    """Stochastic gradient descent of `parameters` (Sutskever et al., ICML 2013), decaying only filters and matrices.

    Attributes:
        learning_rate: of the next step; 0 until it is set.
        groups: (parameters, weight decay): those of more than one axis with it, biases and normalisation without.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, momentum: float, weight_decay: float) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        self.learning_rate = 0.0
        self.groups = (
            ([parameter for parameter in trained if parameter.ndim > 1], weight_decay),
            ([parameter for parameter in trained if parameter.ndim <= 1], 0.0),
        )
        self._momentum = momentum
        self._velocities: dict[nn.Parameter, Tensor | None] = dict.fromkeys(trained)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for parameters, weight_decay in self.groups:
            moved = [parameter for parameter in parameters if parameter.grad is not None]
            velocities = [self._velocities[parameter] for parameter in moved]
            sgd(
                [*moved],
                [parameter.grad for parameter in moved if parameter.grad is not None],
                velocities,
                weight_decay=weight_decay,
                momentum=self._momentum,
                lr=self.learning_rate,
                dampening=0.0,
                nesterov=True,
                maximize=False,
            )
            self._velocities.update(zip(moved, velocities, strict=True))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._velocities:
            parameter.grad = None
