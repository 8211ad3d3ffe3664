"""AdamW, from torch's functional form, for networks of embeddings, whose rows get few gradients.

torch.optim.AdamW is the same arithmetic, but making one imports torch's compiler: 150 MB and a second. A test holds
both to the same bits.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.adamw import adamw


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), β 0.9 and 0.999, ε 1e-8.

    Args:
        parameters: are trained, but for those that require no gradient.
        weight_decay: is the share of a weight, times the learning rate, by which a step shrinks it.

    Attributes:
        learning_rate: is that of the next step; 0 until it is set.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, weight_decay: float) -> None:
        self.learning_rate = 0.0
        self._decay = weight_decay
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        self._state = {
            parameter: (
                torch.zeros_like(parameter),
                torch.zeros_like(parameter),
                torch.zeros((), dtype=torch.float32, device="cpu"),
            )
            for parameter in trained
        }

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [parameter for parameter in self._state if parameter.grad is not None]
        means, squares, steps = zip(*(self._state[parameter] for parameter in moved), strict=True)
        adamw(
            [*moved],
            [parameter.grad for parameter in moved if parameter.grad is not None],
            [*means],
            [*squares],
            [],
            [*steps],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self._decay,
            eps=1e-8,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._state:
            parameter.grad = None
