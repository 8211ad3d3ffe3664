"""What tests of hidden mixing share: a small network, forwards written by hand, and comparisons."""

import warnings
from collections.abc import Callable

import torch
from definition import by_definition
from seeding import seeded
from torch import Tensor, nn

from mixlab import Mixer, MixPlan
from mixlab.mixing.hidden import hidden_mixing

BATCH = 4


def images(size: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(BATCH, 3, size, size, dtype=torch.float64, generator=seeded(seed))


def draw(variant: str = "mixup", k: int = 1, size: int = 8, **settings) -> MixPlan:
    return Mixer(variant, k=k, **settings).plan(torch.zeros(BATCH, 3, size, size), generator=seeded(2))


def small() -> nn.Sequential:
    """Two named stages with BatchNorm, and a read-out; float64. No weight's gradient is zero but for rounding."""
    torch.manual_seed(0)
    stages = {
        "stage1": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        "stage2": nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
        "head": nn.Sequential(nn.Flatten(), nn.LazyLinear(6)),
    }
    model = nn.Sequential()
    for name, stage in stages.items():
        model.add_module(name, stage)
    model(torch.zeros(2, 3, 8, 8))
    return model.double()


def gradients(model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """The logits, and the gradients of a loss that weighs each of them differently: of x and of every weight."""
    x = x.clone().requires_grad_()
    logits = forward(x)
    weights = torch.randn(logits.shape, dtype=logits.dtype, generator=seeded(3))
    wanted = [x, *(part for part in model.parameters() if part.requires_grad)]
    return [logits.detach(), *torch.autograd.grad((logits.log_softmax(1) * weights).sum(), wanted)]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def hooked(model: nn.Module, layer: str, plan: MixPlan) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with hidden_mixing(model, layer, plan):
                return model(x)

    return forward


def small_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    def mixed(x: Tensor, name: str) -> Tensor:
        return by_definition(plan, x).to(x.dtype) if layer == name else x

    x = mixed(x, "input")
    for name, stage in model.named_children():
        for place, part in stage.named_children():
            x = mixed(part(x), f"{name}.{place}")
        x = mixed(x, name)
    return x


class Gives(nn.Module):
    """A model that returns what a function makes of the output of its `body`, which is the input."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.body, self.function = nn.Identity(), function

    def forward(self, x: Tensor) -> object:
        return self.function(self.body(x))


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def warned(run: Callable[[], object]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [one for one in caught if one.category is UserWarning]  # torch on Python 3.13 has RuntimeWarnings of its own
