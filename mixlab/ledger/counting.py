"""Claims that need no training: milliseconds, images that go through a network, and what sorting does to a gradient."""

import copy
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.data.dataset import Dataset
from mixlab.machine import release_memory
from mixlab.mixing.losses import mixed_loss
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.normalize import normalized
from mixlab.mixing.plan import MixPlan
from mixlab.training.gradient_variance import GradientVariance

K = 5
BATCH, FEW = 32, 4  # images of a batch that is timed, and of one that is counted
SHOWN = ("mixup", "cutmix", "resizemix")  # whose images are counted


def counted(model: nn.Module, data: Dataset, tries: int = 10) -> dict[str, list[float]]:
    """The claims on cost and order: by key, a number for each try, as `Ledger(measured=)` takes it.

    Args:
        model: is any network for these images; its weights stay as they are.
        data: gives the images of a batch.
        tries: counts the batches, at least 3.
    """
    tries = _check.integer("tries", tries, 3)
    images, labels = data.train.images[:BATCH], data.train.labels[:BATCH]
    x, y = normalized(images[:FEW], data.normalization), labels[:FEW]

    def milliseconds(mixer: Mixer, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        start = time.perf_counter()
        mixer.plan(images, labels, model=model, normalize=data.normalization, generator=generator).apply(images)
        return 1000 * (time.perf_counter() - start) / len(images)

    extra = [_through(model, Mixer(name, k=K), x, y) / _through(model, Mixer(name), x, y) for name in SHOWN]
    exact = copy.deepcopy(model).double()
    numbers = {
        "overhead": [milliseconds(Mixer("mixup"), seed) for seed in range(tries + 1)][1:],  # the first one warms up
        "overhead-puzzle": [milliseconds(Mixer("puzzle"), seed) for seed in range(tries + 1)][1:],
        "free-steps": [100 * (ratio - 1) for ratio in extra],
        "ordered": [_moved_by_sorting(exact, x.double(), y, seed) for seed in range(3)],
    }
    release_memory()  # that of masks and transport
    return numbers


def changes_of_variance(of: Mapping[str, GradientVariance], base: str, first: str, second: str) -> list[float]:
    """The variance of `first` less that of `second`, % of the mean of `base`, draw by draw."""
    unit = of[base].trace.value / 100
    return [(a - b) / unit for a, b in zip(of[first].values, of[second].values, strict=True)]


def _through(model: nn.Module, mixer: Mixer, x: Tensor, y: Tensor) -> int:
    """How many images go through the network in a step."""
    counts: list[int] = []
    hook = model.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    try:
        with evaluating(model), torch.no_grad():
            mixed_loss(model, x, y, mixer.plan(x, y, generator=torch.Generator().manual_seed(0)))
    finally:
        hook.remove()
    return sum(counts)


def _moved_by_sorting(model: nn.Module, x: Tensor, y: Tensor, seed: int) -> float:
    """How much the gradient differs between the mixes as drawn and sorted, % of its length."""
    plan = Mixer("mixup", k=K).plan(x, y, generator=torch.Generator().manual_seed(seed))
    drawn, in_order = (_gradient(model, x, y, each) for each in (plan, plan.ordered()))
    return 100 * float((drawn - in_order).norm() / drawn.norm())


def _gradient(model: nn.Module, x: Tensor, y: Tensor, plan: MixPlan) -> Tensor:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with evaluating(model):
        parts = torch.autograd.grad(mixed_loss(model, x, y, plan), trained)
    return torch.cat([part.flatten() for part in parts])
