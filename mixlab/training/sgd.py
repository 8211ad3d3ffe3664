"""SGD with momentum, from torch's functional form, and slow weights that follow it.

torch.optim.SGD is the same arithmetic, but making one imports torch's compiler: 150 MB and a second, on a machine that
may have 1 GB. A test holds both to the same bits.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.sgd import sgd

_EVERY = 5  # steps between two meetings of fast and slow weights
_STAY = 0.95**_EVERY  # the share of themselves that slow weights keep at the last meeting


class Group(NamedTuple):
    """Parameters with one weight decay and one learning rate, which is `rate` times that of the Descent."""

    parameters: list[nn.Parameter]
    weight_decay: float
    rate: float = 1.0


def normalization_biases(model: nn.Module) -> list[nn.Parameter]:
    """The trained biases of a model's normalization: BatchNorm, GroupNorm, LayerNorm and their kin."""
    kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm)
    biases = [module.bias for module in model.modules() if isinstance(module, kinds) and module.bias is not None]
    return [bias for bias in biases if bias.requires_grad]


class Descent:
    """Stochastic gradient descent with momentum (Sutskever et al., ICML 2013).

    Args:
        parameters: are trained, but for those that require no gradient.
        momentum: is the share of its velocity that a parameter keeps in each step, in [0, 1).
        weight_decay: is added to the gradient, times the weight, for filters and matrices: parameters of two or more
            axes.
        nesterov: lets the gradient act once more, ahead of the velocity.
        decay_biases: decays the others as well, biases and normalization's scales.
        biases: are those of the parameters that learn `bias_rate` times as fast. Their decay is divided by it: a step
            shrinks a weight by learning rate times decay, and that is to be the same for all.
        bias_rate: multiplies the learning rate of `biases`.

    Attributes:
        learning_rate, step_count: are those of the next step, counted from 0; both are 0 until they are set.
        groups: holds filters and matrices; other biases and scales; `biases`. Each may be empty.
        velocities: maps each parameter to a tensor of its shape; to None before its first step.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        momentum: float,
        weight_decay: float,
        nesterov: bool = True,
        decay_biases: bool = False,
        biases: Iterable[nn.Parameter] = (),
        bias_rate: float = 1.0,
    ) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        faster = set(biases)
        rest = [parameter for parameter in trained if parameter not in faster]
        decay = weight_decay if decay_biases else 0.0
        self.learning_rate, self.step_count = 0.0, 0
        self.groups = (
            Group([parameter for parameter in rest if parameter.ndim > 1], weight_decay),
            Group([parameter for parameter in rest if parameter.ndim <= 1], decay),
            Group([parameter for parameter in trained if parameter in faster], decay / bias_rate, bias_rate),
        )
        self.velocities: dict[nn.Parameter, Tensor | None] = dict.fromkeys(trained)
        self._momentum, self._nesterov = momentum, nesterov and momentum > 0

    @property
    def moments(self) -> dict[str, dict[nn.Parameter, Tensor | None]]:
        """What it remembers of each parameter, by name."""
        return {"velocity": self.velocities}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.groups:
            moved = [parameter for parameter in group.parameters if parameter.grad is not None]
            velocities = [self.velocities[parameter] for parameter in moved]
            sgd(
                [*moved],
                [parameter.grad for parameter in moved if parameter.grad is not None],
                velocities,
                weight_decay=group.weight_decay,
                momentum=self._momentum,
                lr=self.learning_rate * group.rate,
                dampening=0.0,
                nesterov=self._nesterov,
                maximize=False,
            )
            self.velocities.update(zip(moved, velocities, strict=True))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.velocities:
            parameter.grad = None


@contextmanager
def resting(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, these parameters require no gradient: a forward there gives them none, and no step moves them."""
    rest = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in rest:
            parameter.requires_grad = False
        yield
    finally:
        for parameter in rest:
            parameter.requires_grad = True


class Lookahead:
    """Slow weights, which every five steps move toward the model's; the model then continues from them.

    At step s of S they keep 0.95⁵ (s/S)³ of themselves: almost nothing early on, when the model is to move fast, and
    three quarters at the end, when it is to settle. After the last step the model takes their values. Running
    statistics count as weights.

    Source: Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019; how much they keep is
    airbench's (Jordan, 2024).

    Attributes:
        slow: maps the name of every trained parameter and every buffer of floats to its slow weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self._fast = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad} | {
            name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()
        }
        self.slow = {name: fast.detach().clone() for name, fast in self._fast.items()}

    @torch.no_grad()
    def after(self, step: int, steps: int) -> None:
        """Update both after `step` of `steps`, if this is a fifth step or the last."""
        meeting, last = step % _EVERY == 0, step == steps
        stay = _STAY * (step / steps) ** 3
        for name, fast in self._fast.items():
            if meeting:
                self.slow[name].lerp_(fast, 1 - stay)
            if meeting or last:
                fast.copy_(self.slow[name])
