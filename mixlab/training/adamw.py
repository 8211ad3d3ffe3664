"""AdamW, from torch's functional form: the optimizer of transformers, beside `sgd.Descent`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from mixlab.training.sgd import Descent

_SQUARES, _EPS = 0.999, 1e-8  # torch's, Adam's own


class AdamW(Descent):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, ICLR 2019, algorithm 2).

    Arguments and groups are those of `Descent`. `momentum` is β₁, of the running mean of gradients; β₂, of their
    squares, is 0.999. There is no Nesterov step.

    Attributes:
        velocities: maps each parameter to its mean gradient.
        squares: maps each parameter to its mean squared gradient; both are None before its first step.
    """

    def __init__(self, *arguments: Any, nesterov: bool = False, **settings: Any) -> None:
        super().__init__(*arguments, nesterov=nesterov, **settings)
        self.squares: dict[nn.Parameter, Tensor | None] = dict.fromkeys(self.velocities)

    @property
    def moments(self) -> dict[str, dict[nn.Parameter, Tensor | None]]:
        """What it remembers of each parameter, by name."""
        return super().moments | {"square": self.squares}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient. A parameter without one in some step counts as if it had moved."""
        for group in self.groups:
            moved = [parameter for parameter in group.parameters if parameter.grad is not None]
            means, squares = ([_begun(kind, parameter) for parameter in moved] for kind in self.moments.values())
            adamw(
                [*moved],
                [parameter.grad for parameter in moved if parameter.grad is not None],
                means,
                squares,
                [],
                [torch.tensor(self.step_count, dtype=torch.float32, device="cpu") for _ in moved],
                amsgrad=False,
                beta1=self._momentum,
                beta2=_SQUARES,
                lr=self.learning_rate * group.rate,
                weight_decay=group.weight_decay,
                eps=_EPS,
                maximize=False,
            )


def _begun(moment: dict[nn.Parameter, Tensor | None], parameter: nn.Parameter) -> Tensor:
    """The moment of a parameter, which begins at 0."""
    value = moment[parameter]
    if value is None:
        value = moment[parameter] = torch.zeros_like(parameter)
    return value
