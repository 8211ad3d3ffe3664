"""Test-time rescaling: show a network that was trained on mixtures clean inputs, and read its logits, at the scale that
training had ("On Mixup Regularization", Carratino et al., JMLR 2022).
"""

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.data.dataset import Dataset
from mixlab.mixing.beta import ALPHA_MAX, ALPHA_MIN, lambda_moments
from mixlab.mixing.normalize import normalized
from mixlab.training.checks import check_logits, check_measured

_CHUNK = 1000  # training images summed at a time


class Rescaled(nn.Module):
    """What `rescaled` returns.

    Attributes:
        model: is the network inside, the very module that was given.
        theta_bar: is θ̄ of the α that it was made for.
        mean_image: is x̄, float32 [C, H, W], the pixelwise mean of the normalized training images.
        frequencies: is ȳ, float32 [classes], the share of each class among the training labels.
        shrink, output: say which of the two halves are applied.
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
        model: maps normalized float images [B, C, H, W] to logits [B, classes]. It is wrapped, not copied: moving or
            training the wrapper moves or trains it. Weights and modes stay as they are.
        data: is what it was trained on, for x̄ (pixelwise, normalized, summed exactly) and ȳ.
        alpha: is the α it was trained with, from 1e-6 to 1e6.
        shrink: applies the input half.
        output: applies the output half.

    Returns:
        Rescaled: a module that takes what the model takes, on the model's device.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, or a model that does not give a logit for
            each class; and, from a call of the module, inputs that are no float images of the training images' size.

    Source: Carratino, Cissé, Jenatton, Vert, "On Mixup Regularization", JMLR 23, 2022, section 4.
    """
    device = check_measured(model, data)
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
