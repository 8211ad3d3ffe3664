"""The variance of the stochastic gradient: how much one training step differs from another, and what mixing does to it.

The gradient g of a step is random by the choice of images, partners, λs and boxes. Its variance is the trace of its
covariance, E|g − E g|². Two independent gradients of one scheme give ½|g − g′|², whose mean is exactly that trace: no
mean gradient has to be known or estimated, two gradients are in memory, and the draws are independent, so Student's t
applies. (Distances to one mean of all gradients would spare about a third of the work on a CIFAR net, but depend on
each other, and ask for every gradient twice.)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.machine import releasing_memory
from mixlab.mixing.hidden import find_layer
from mixlab.mixing.losses import mixed_loss
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.training.checks import check_logits, check_module


@dataclass(frozen=True)
class Scheme:
    """How a step takes its gradient: a mixer, on a batch so many times larger, over so many pairings of it.

    Args:
        mixer: mixes; K interpolations are Mixer(k=K), one λ for the batch is Mixer(shared_lam=True).
        batches: multiplies `batch_size`: one batch of so many times the images, all different.
        permutations: counts plans (partners and λs) drawn independently for the same images; their losses are averaged.

    Raises:
        TypeError, ValueError: a mixer that is none, or a number that is no integer of at least 1.
    """

    mixer: Mixer
    batches: int = 1
    permutations: int = 1

    def __post_init__(self) -> None:
        check_mixer(self.mixer)
        _check.integer("batches", self.batches, 1)
        _check.integer("permutations", self.permutations, 1)


@dataclass(frozen=True)
class GradientVariance:
    """The trace of one scheme's gradient covariance, and what a step of it costs.

    Attributes:
        trace: is E|g − E g|² in (nats per unit of weight)², summed over all weights, with its 95% interval.
        images: counts the training images that a step takes.
        pairs: counts the examples with their partners whose losses a step averages: images times permutations.
        forwards: counts the mixed images whose loss a step computes: pairs times the K of its plans. The pass for the
            saliency that some variants take comes on top.
        values: holds one unbiased estimate of the trace a draw.
    """

    trace: Interval
    images: int
    pairs: int
    forwards: int
    values: tuple[float, ...] = field(repr=False)

    def ratio(self, base: "GradientVariance") -> Interval:
        """This trace over that of `base`, with its 95% interval, by the delta method on the logarithm.

        The draws of one call share their images, and as far as possible partners and λs, between the schemes; the
        interval uses that, draw by draw. Of two calls it takes the first draw with the first, and holds as well.

        Raises:
            TypeError, ValueError: no GradientVariance, other numbers of draws, or a trace of 0.
        """
        if not isinstance(base, GradientVariance):
            raise TypeError(f"base must be a GradientVariance, got {_check.shown(base)}")
        if len(base.values) != len(self.values):
            raise ValueError(f"base must have as many draws, {len(self.values)}, got {len(base.values)}")
        above, below = self.trace.value, base.trace.value
        if not (above > 0 and below > 0):
            raise ValueError(f"both traces must be above 0 for a ratio, got {above:g} and {below:g}")
        # log(a/b) moves by da/a − db/b to first order, and stays an interval of positive ratios
        moves = [a / above - b / below for a, b in zip(self.values, base.values, strict=True)]
        reach = mean_interval(moves)
        ratio = above / below
        return Interval(ratio, ratio * math.exp(reach.low), ratio * math.exp(reach.high), reach.n, reach.level)


@releasing_memory()
def gradient_variance(
    model: nn.Module,
    data: Dataset,
    schemes: Mapping[str, Scheme | Mixer],
    *,
    batch_size: int = 32,
    draws: int = 200,
    seed: int = 0,
) -> dict[str, GradientVariance]:
    """Measure the trace of the covariance of each scheme's stochastic gradient, over images, partners, λs and boxes.

        variances = mx.gradient_variance(model, data, {"mixup": mx.Mixer(), "K = 5": mx.Mixer(k=5)})
        print(variances["K = 5"].ratio(variances["mixup"]))

    Each gradient comes from a fresh batch, drawn without replacement from the training images, as within an epoch; two
    batches are independent. Images are normalized, not augmented. The loss is `mixlab.mixed_loss`: the mean
    cross entropy of the mixes, and the clean loss of a plan that has one.
    Schemes of equal variant, α and partners have the same mean gradient whatever K, permutations and sharing of λ, so
    that this is their mean squared distance to the full mixup gradient; with another batch size too if
    Mixer(distinct=True), else up to the 1 in B examples that meet themselves. "none" has another mean.

    The model is in evaluation mode meanwhile: in training mode BatchNorm couples the examples of a batch, its loss
    is no mean over pairs, and what a larger batch changes would not be variance alone. So BatchNorm acts by its running
    statistics, and dropout is off. Mode, weights, their .grad and the global random state are left as they were.

    With λs independent given the images and partners, the law of total variance has V(K) = V_pairs + V_λ/K: K divides
    only what λ adds, and V(∞)/V(1) = (8 V(8)/V(1) − 1)/7.

    Args:
        model: maps normalized float images [B, C, H, W] to logits [B, classes]; it is measured where its weights lie.
        data: is a Dataset, as `mx.load` gives it; its training images are used.
        schemes: maps a name to each Scheme, or to a Mixer for the plain scheme of it.
        batch_size: is the number of images in a plain scheme's step.
        draws: counts independent pairs of gradients of a scheme, at least 2; each costs two steps without the update.
        seed: seeds everything that is drawn. A scheme's result does not depend on which others are measured with it.

    Returns:
        A GradientVariance for each name. Student's interval is for means of values near normal: expect it to be
        somewhat too narrow with fewer than about 20 draws.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, before anything is computed; also a scheme
            whose mixer cannot mix such batches, or mixes at a layer that the model does not have.
        RuntimeError: called in inference mode, where no gradient can be had.
        FloatingPointError: a gradient that is not finite; the message names the scheme.

    Source: the claims to test are propositions III.1 and III.2 of "Multi-mix", arXiv 2406.01417.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("gradient_variance needs gradients: call it outside torch.inference_mode()")
    plain = _check_schemes(schemes)
    check_dataset(data)
    weights = _weights(model)
    batch_size = _check.integer("batch_size", batch_size, 1, len(data.train))
    for name, scheme in plain.items():
        if scheme.batches * batch_size > len(data.train):
            raise ValueError(
                f"scheme {name!r} must take at most the {len(data.train):,} training images, got {scheme.batches} "
                f"batches of {batch_size}"
            )
        size = (scheme.batches * batch_size, *data.train.images.shape[1:])
        labels = torch.empty(size[0], dtype=torch.int64, device="meta")
        scheme.mixer.check(torch.empty(size, dtype=torch.uint8, device="meta"), labels)
        for layer in scheme.mixer.kind.layers:
            find_layer(model, layer)
    draws = _check.integer("draws", draws, 2)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    check_logits(model, weights[0].device, data)

    stream = torch.Generator().manual_seed(seed)
    values: dict[str, list[float]] = {name: [] for name in plain}
    with evaluating(model), torch.enable_grad():
        for draw in range(draws):
            seeds = torch.randint(_check.SEED_MAX, (2,), generator=stream, device="cpu").tolist()
            for name, scheme in plain.items():
                count = scheme.batches * batch_size
                first, second = (_gradient(model, weights, data, scheme, count, seed=number) for number in seeds)
                value = float((first - second).square().sum()) / 2
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"the gradient of scheme {name!r} is not finite at draw {draw + 1} of {draws}"
                    )
                values[name].append(value)
    return {name: _result(scheme, scheme.batches * batch_size, values[name]) for name, scheme in plain.items()}


def _gradient(
    model: nn.Module, weights: list[Tensor], data: Dataset, scheme: Scheme, count: int, *, seed: int
) -> Tensor:
    """One stochastic gradient as a vector, at least float32; equal seeds share images, the fewer among the more."""
    device = weights[0].device
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed), device="cpu")
    batch = data.train.subset(order[:count].to(data.train.labels.device)).to(device)
    generator = torch.Generator(device).manual_seed(seed + 1)
    total: Tensor | None = None
    for _ in range(scheme.permutations):
        plan = scheme.mixer.plan(
            batch.images, batch.labels, model=model, normalize=data.normalization, generator=generator
        )
        loss = mixed_loss(model, batch.images, batch.labels, plan, normalize=data.normalization)
        parts = torch.autograd.grad(loss, weights, materialize_grads=True)  # a weight that takes no part has 0
        gradient = torch.cat([part.flatten().to(torch.promote_types(part.dtype, torch.float32)) for part in parts])
        total = gradient if total is None else total + gradient
    assert total is not None  # permutations is at least 1
    return total / scheme.permutations


def _result(scheme: Scheme, images: int, values: list[float]) -> GradientVariance:
    pairs = images * scheme.permutations
    forwards = pairs * scheme.mixer.kind.rows(scheme.mixer.k)
    return GradientVariance(mean_interval(values), images, pairs, forwards, tuple(values))


def _check_schemes(schemes: Mapping[str, Scheme | Mixer]) -> dict[str, Scheme]:
    wanted = "a dict of at least one named Mixer or Scheme"
    if not isinstance(schemes, Mapping):
        raise TypeError(f"schemes must be {wanted}, got {_check.shown(schemes)}")
    if not schemes:
        raise ValueError(f"schemes must be {wanted}, got {_check.shown(schemes)}")
    for name, scheme in schemes.items():
        if not isinstance(scheme, (Scheme, Mixer)):
            raise TypeError(f"schemes[{name!r}] must be a Mixer or a Scheme, got {_check.shown(scheme)}")
    return {name: Scheme(scheme) if isinstance(scheme, Mixer) else scheme for name, scheme in schemes.items()}


def _weights(model: nn.Module) -> list[Tensor]:
    """The parameters that are trained."""
    check_module(model)
    weights: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise ValueError("model must have parameters that require gradients, got none")
    return weights
