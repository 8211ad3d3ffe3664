"""Two remedies for a network that was trained on mixtures and is asked about clean images.

`rescaled` shows it the inputs, and reads its logits, at the scale that training had ("On Mixup Regularization",
Carratino et al., JMLR 2022); `refreshed_batchnorm` measures its BatchNorm statistics again on clean images.
"""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.data.dataset import Dataset
from mixlab.mixing.beta import ALPHA_MAX, ALPHA_MIN, lambda_moments
from mixlab.mixing.normalize import normalized
from mixlab.training.trainable import check_logits

_CHUNK = 1000  # training images summed at a time


class Rescaled(nn.Module):
    """What `rescaled` returns.

    Attributes:
        model: the network inside, the very module that was given.
        theta_bar: θ̄ of the α that it was made for.
        mean_image: [C, H, W] x̄, the pixelwise mean of the normalized training images.
        frequencies: [classes] ȳ, the share of each class among the training labels.
        shrink, output: which of the two halves are applied.
    """

    mean_image: Tensor
    frequencies: Tensor

    def __init__(
        self, model: nn.Module, theta_bar: float, mean_image: Tensor, frequencies: Tensor, shrink: bool, output: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.theta_bar = theta_bar
        self.shrink = shrink
        self.output = output
        self.register_buffer("mean_image", mean_image)
        self.register_buffer("frequencies", frequencies)
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of normalized float images [B, C, H, W] of the training images' size."""
        size = list(self.mean_image.shape)
        wanted = f"x must be normalized float images of shape [batch, {', '.join(map(str, size))}]"
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{wanted}, got {_check.shown(x)}")
        if x.ndim != 4 or list(x.shape[1:]) != size:
            raise ValueError(f"{wanted}, got {_check.shown(x)}")
        if self.shrink:  # the product keeps the layout of x, whatever that of the mean image
            x = x.mul(self.theta_bar).add_(((1 - self.theta_bar) * self.mean_image).to(x.dtype))
        logits: Tensor = self.model(x)
        if self.output:
            logits = logits / self.theta_bar + ((1 - 1 / self.theta_bar) * self.frequencies).to(logits.dtype)
        return logits

    def extra_repr(self) -> str:
        """For the repr of the module."""
        return f"theta_bar={self.theta_bar:.4f}, shrink={self.shrink}, output={self.output}"


def rescaled(model: nn.Module, data: Dataset, alpha: float, *, shrink: bool = True, output: bool = True) -> Rescaled:
    """The network that mixup with this α has really fitted: f̂(x) = (1/θ̄) f(θ̄ x + (1 − θ̄) x̄) + (1 − 1/θ̄) ȳ.

        test = mx.predict(mx.rescaled(model, data, alpha=1.0), data.test, data.normalization)

    Mixup trains on inputs and labels that are drawn toward their means x̄ and ȳ by θ̄ = E[max(λ, 1 − λ)] on average
    (¾ at α = 1), and perturbed; f̂ undoes that at test time. It has two halves, and each can be had alone. The input
    half shows the network θ̄ x + (1 − θ̄) x̄, and is the only one that can change an answer where the classes are
    balanced. The output half stretches the logits by 1/θ̄: with balanced classes it is temperature θ̄, as a constant
    added to every logit is nothing to the softmax, and it makes every answer surer.

    Args:
        model: from normalized float images [B, C, H, W] to logits [B, classes]. It is wrapped, not copied: moving or
            training the wrapper moves or trains it, and its weights and modes are left as they are here.
        data: what it was trained on, for x̄ (pixelwise, normalized, summed exactly) and ȳ.
        alpha: the α it was trained with, from 1e-6 to 1e6.
        shrink: whether to apply the input half.
        output: whether to apply the output half.

    Returns:
        Rescaled: a module that takes what the model takes, on the model's device.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, or a model that does not give a logit for
            each class; and, from a call of the module, inputs that are no float images of the training images' size.

    Source: Carratino, Cissé, Jenatton, Vert, "On Mixup Regularization", JMLR 23, 2022, section 4.
    """
    device = _check_both(model, data)
    note = " (a model trained without mixing has no θ̄)"
    alpha = _check.number("alpha", alpha, ALPHA_MIN, ALPHA_MAX, note=note)
    shrink, output = _check.flag("shrink", shrink), _check.flag("output", output)
    check_logits(model, device, data)
    counts = torch.bincount(data.train.labels, minlength=len(data.classes)).double()
    return Rescaled(
        model,
        lambda_moments(alpha).theta_bar,
        mean_image(data).float().to(device),
        (counts / counts.sum()).float().to(device),
        shrink,
        output,
    )


def mean_image(data: Dataset) -> Tensor:
    """x̄: the pixelwise mean of the normalized training images, float64 [C, H, W]; the sums are exact, in integers."""
    images = data.train.images
    total = torch.zeros(images.shape[1:], dtype=torch.int64, device=images.device)
    for start in range(0, len(images), _CHUNK):
        total += images[start : start + _CHUNK].sum(0, dtype=torch.int64)
    return normalized(total[None].double() / (255 * len(images)), data.normalization)[0]


def refreshed_batchnorm(
    model: nn.Module, data: Dataset, *, images: int = 5000, batch_size: int = 250, seed: int = 0
) -> nn.Module:
    """A copy of the model whose BatchNorm statistics are those of clean training images; the weights are the same.

    Mixing independent pairs shrinks the variance between inputs, and between whatever is linear in them, by
    E[λ² + (1 − λ)²] = (α + 1)/(2α + 1): to ⅔ at α = 1. (A channel's variance shrinks a little less: it also counts how
    the mean image varies from place to place, which mixing leaves alone.) The running statistics of a model trained so
    describe mixtures, and at test time it meets clean images. Here mean and unbiased variance of each batch are
    averaged with equal weights (momentum=None), over images without augmentation, with every other layer (such as
    dropout) in evaluation mode.

    Args:
        model: from normalized float images [B, C, H, W], with at least one BatchNorm layer; not changed.
        data: its training images, uint8, are used, normalized by `data.normalization`.
        images: how many, drawn at random without repeats; all if there are fewer.
        batch_size: images at a time, at least 2; a shorter last batch is left out.
        seed: of the choice of images.

    Returns:
        nn.Module: the copy, in the modes and on the device of the model.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, or no layer with running statistics.
    """
    device = _check_both(model, data)
    most = len(data.train)
    count = min(_check.integer("images", images, 2), most)
    batch_size = min(_check.integer("batch_size", batch_size, 2), count)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    if most < 2:
        raise ValueError(f"data must hold at least 2 training images, got {data!r}")
    if not _tracking(model):
        raise ValueError(
            "model must have a BatchNorm layer with running statistics, as there is nothing else to refresh, got "
            f"{type(model).__name__} with none"
        )
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed))[:count]
    refreshed = copy.deepcopy(model)
    layers = _tracking(refreshed)
    momenta = [layer.momentum for layer in layers]
    with evaluating(refreshed), torch.no_grad():
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for an average over all batches with equal weights
            layer.train()
        for start in range(0, count - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size].to(data.train.images.device)
            batch = data.train.images[chosen].to(device).contiguous(memory_format=torch.channels_last)
            refreshed(normalized(batch, data.normalization))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return refreshed


def _tracking(model: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


def _check_both(model: Any, data: Any) -> torch.device:
    """The device that the model is on, once model and data are what they should be."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {_check.shown(data)}")
    if len(data.train) == 0:
        raise ValueError(f"data must hold training images, got {data!r}")
    held = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if held is None else held.device
