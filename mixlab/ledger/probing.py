"""What the claims ask of networks themselves: differences between pairs of one seed, a list for each claim."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixlab import _check
from mixlab.calibration.estimators import estimate
from mixlab.data.dataset import Dataset, Split
from mixlab.machine import releasing_memory
from mixlab.mixing.normalize import normalized
from mixlab.probes import CORRUPTIONS, Attacked, corrupt, fgsm, jacobian_norm, occluded, pgd, prediction_path, sharpness
from mixlab.training.at_test_time import rescaled
from mixlab.training.predict import predict

RADIUS, HIDDEN, BALL = 0.5 / 255, 0.3, 0.5  # of the attacks; the share that is covered; of the weights
MIXERS = ("none", "mixup", "cutmix")
Measure = Callable[[nn.Module], float]


@releasing_memory()
def probed(nets: Mapping[str, Sequence[nn.Module]], data: Dataset, few: int = 50) -> dict[str, list[float]]:
    """The claims about trained networks: by key, a difference for each seed, as `Ledger(measured=)` takes it.

    Args:
        nets: has "none", "mixup" (α = 1) and "cutmix", each with one network for each of the same seeds, in order.
        data: is what they were trained on, and are tested on.
        few: counts the images, or pairs, of what is dear: slopes, rises and attacks.

    Raises:
        ValueError: other names, or unequal numbers of networks.
    """
    if set(nets) != set(MIXERS) or len({len(own) for own in nets.values()}) != 1:
        got = {name: len(own) for name, own in nets.items()}
        raise ValueError(f"nets must have equally many networks of each of {', '.join(MIXERS)}, got {got}")
    few = _check.integer("few", few, 2)

    def change(measure: Measure, mixed: str = "mixup", base: str = "none") -> list[float]:
        return [measure(after) - measure(before) for before, after in zip(nets[base], nets[mixed], strict=True)]

    def score(
        name: str, images: Tensor | None = None, repair: Callable[[nn.Module], nn.Module] = lambda net: net
    ) -> Measure:
        split = data.test if images is None else Split(images, data.test.labels)
        return lambda net: 100 * estimate(predict(repair(net), split, data.normalization), name).value

    target = Split(data.test.images[:few], data.test.labels[:few])
    x, y = normalized(data.train.images[:few], data.normalization), data.train.labels[:few]
    halfway = torch.stack(_pairs(data, data.train, few)).mean(0)
    slopes = {name: [jacobian_norm(net, halfway).values.mean().item() for net in nets[name]] for name in MIXERS[:2]}
    worst = (corrupt(data.test.images, kind, 5) for kind in _first_of_each_family())
    spoiled = [change(score("accuracy", images)) for images in worst]
    return {
        "linear": change(_bend(*_pairs(data, data.test, 2 * few))),
        "smooth": [100 * (after / before - 1) for before, after in zip(slopes["none"], slopes["mixup"], strict=True)],
        "flat": change(lambda net: sharpness(net, lambda net: cross_entropy(net(x), y), BALL, steps=5)),
        "corruption": [sum(each) / len(each) for each in zip(*spoiled, strict=True)],
        "occlusion": change(score("accuracy", occluded(data.test.images, HIDDEN, "center")), "cutmix"),
        "fgsm": change(lambda net: _left(fgsm(net, target, data.normalization, RADIUS))),
        "pgd": change(lambda net: _left(pgd(net, target, data.normalization, RADIUS))),
        "rescaled-accuracy": _gains(nets["mixup"], score("accuracy"), score("accuracy", repair=_repair(data))),
        "rescaled-ece": _gains(nets["mixup"], score("ece"), score("ece", repair=_repair(data))),
    }


def _gains(nets: Sequence[nn.Module], before: Measure, after: Measure) -> list[float]:
    return [after(net) - before(net) for net in nets]


def _repair(data: Dataset) -> Callable[[nn.Module], nn.Module]:
    return lambda net: rescaled(net, data, 1.0)


def _pairs(data: Dataset, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """The first neighbors in a split whose classes differ, as the network takes them: x and x′, [count, C, H, W]."""
    labels = split.labels.tolist()
    places = [i for i, (a, b) in enumerate(pairwise(labels)) if a != b][:count]
    x, x_prime = (normalized(split.images[side], data.normalization) for side in (places, [i + 1 for i in places]))
    return x, x_prime


def _bend(x: Tensor, x_prime: Tensor) -> Measure:
    """How far the answer halfway is from the mean of the answers at both ends, % of the distance of the ends."""

    def measure(net: nn.Module) -> float:
        one, half, other = prediction_path(net, x, x_prime, [1, 0.5, 0])
        gap = (half - (one + other) / 2).norm(dim=1).sum()
        return 100 * float(gap / (one - other).norm(dim=1).sum())

    return measure


def _left(attacked: Attacked) -> float:
    return 100 * attacked.accuracy().value


def _first_of_each_family() -> list[str]:
    kinds: dict[str, str] = {}
    for name, kind in CORRUPTIONS.items():
        kinds.setdefault(kind.family, name)
    return list(kinds.values())
