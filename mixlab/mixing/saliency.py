"""Where a network looks: the size of the loss's gradient at each pixel."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.mixing.beta import FLOATS
from mixlab.mixing.labels import check_labels
from mixlab.mixing.normalize import Statistics, normalized

_FLAT = (
    "model must give logits that depend on x, got logits with no gradient: is there a detach() or a no_grad() in it?"
)
_IMAGES = "uint8 or float images [batch, channels, height, width]"


def saliency(model: nn.Module, x: Tensor, y: Tensor, *, normalize: Statistics | None = None) -> Tensor:
    """√(mean over channels of (∂CE/∂x)²): how much each pixel of an image matters to its loss.

    The model runs once in eval mode, so no running statistics change, and the gradient is taken of the inputs alone,
    which leaves out a third of a backward pass and touches no parameter's `.grad`. Each module is left in the mode it
    was in.

    Args:
        model: maps images to logits [B, classes].
        x: holds images [B, C, H, W] as the model takes them, or as `normalize` makes them so; uint8 needs it.
        y: holds int64 class labels [B] on x's device, or float soft labels [B, classes].
        normalize: is (mean, std), as in `MixPlan.apply`: the model gets (x/255 − mean)/std of uint8 images, (x −
            mean)/std of float ones. The gradient is that of the model's own input. (0, 1) divides uint8 by 255 and no
            more.

    Returns:
        [B, H, W] float32, in nats per unit of the model's input. An image whose loss is flat has zeros; so has one in
        float64 with gradients smaller than float32 can hold.

    Raises:
        TypeError, ValueError: arguments of the wrong kind, a model whose output is not logits, or does not depend on x;
            on CPU, where values are looked at, also labels out of range, rows of probabilities in place of logits, and
            gradients that are not finite.
        RuntimeError: gradients are switched off, as under `torch.no_grad()`.

    Source: Simonyan, Vedaldi and Zisserman, arXiv 1312.6034; the mean over channels is Puzzle Mix's (Kim et al., 2020).
    """
    return magnitude(input_gradient(model, x, y, normalize=normalize)[0])


def magnitude(gradient: Tensor) -> Tensor:
    """√(mean over channels of the squares) of [B, C, H, W]: float32 [B, H, W].

    Squared in units of a power of two near each image's largest entry, which is exact, and neither overflows nor
    vanishes where the entries themselves do not.
    """
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    largest = torch.linalg.vector_norm(gradient, torch.inf, dim=(1, 2, 3), keepdim=True)
    unit = torch.where(largest > 0, largest / (2 * torch.frexp(largest).mantissa), 1)
    size = ((gradient / unit).square().mean(1).sqrt() * unit[:, 0]).float()
    if size.device.type == "cpu":
        _check_finite(size)
    return size


def input_gradient(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    normalize: Statistics | None = None,
    clean: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """The gradient of each image's cross entropy with respect to the model's input; see `saliency`.

    With `clean` above 0 the model keeps the modes it is in, and its graph is kept for a backward pass of the caller's:
    the same forward pass then serves as a step on clean images.

    Returns:
        (gradient [B, C, H, W] of the model's input type, clean × the mean cross entropy, or None for clean = 0).
    """
    inputs = _inputs(model, x, normalize)
    if not check_labels("y", y, len(x), x.device).is_floating_point():
        _check.class_labels("y", y)
    with evaluating(model) if clean == 0 else nullcontext():
        logits = _checked_logits(model(inputs.clone()), inputs)  # a copy, as a model may begin in place
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = functional.cross_entropy(logits, _fitting(y, logits), reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), inputs, retain_graph=clean > 0, allow_unused=True)
    if gradient is None:
        raise ValueError(_FLAT)
    if gradient.device.type == "cpu":
        _check_finite(gradient)
    return gradient, clean * losses.mean() if clean > 0 else None


def _fitting(y: Tensor, logits: Tensor) -> Tensor:
    """Labels as cross entropy takes them, of these classes."""
    if not y.is_floating_point():
        return _check.class_labels("y", y, classes=logits.shape[1])
    if y.shape != logits.shape:
        raise ValueError(f"y must be class labels or float targets {list(logits.shape)}, got {_check.shown(y)}")
    return y.to(logits.dtype)


def check_gradients_on() -> None:
    """Raise where autograd follows nothing."""
    if not torch.is_grad_enabled():
        raise RuntimeError(
            "saliency needs gradients, which are off here: call it outside torch.no_grad() and torch.inference_mode()"
        )


def _inputs(model: nn.Module, x: Tensor, normalize: Statistics | None) -> Tensor:
    """The model's own input, a leaf to take the gradient of."""
    check_gradients_on()
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module that gives logits, got {_check.shown(model)}")
    _check.tensor("x", x, _IMAGES)
    if x.ndim != 4 or x.dtype not in (*FLOATS, torch.uint8) or x.numel() == 0:
        raise ValueError(f"x must be {_IMAGES}, none of them empty, got {_check.shown(x)}")
    inputs = normalized(x.detach(), normalize)
    return (inputs.clone() if inputs.is_inference() else inputs).requires_grad_()


def _checked_logits(logits: object, inputs: Tensor) -> Tensor:
    wanted = f"a float tensor of logits with shape [{len(inputs)}, classes]"
    if not isinstance(logits, Tensor):
        raise TypeError(f"model must return {wanted}, got {_check.shown(logits)}")
    if logits.ndim != 2 or len(logits) != len(inputs) or logits.shape[1] == 0 or not logits.is_floating_point():
        raise ValueError(f"model must return {wanted}, got {_check.shown(logits)}")
    if not logits.requires_grad:
        raise ValueError(_FLAT)
    if logits.device.type == "cpu" and logits.shape[1] > 1 and _are_probabilities(logits.detach()):
        raise ValueError(
            f"model must return {wanted}, got rows of probabilities, all at least 0 and each summing to 1: leave the "
            "softmax out"
        )
    return logits


def _are_probabilities(rows: Tensor) -> bool:
    return bool((rows >= 0).all()) and bool(((rows.float().sum(1) - 1).abs() < 1e-3).all())


def _check_finite(gradient: Tensor) -> None:
    wrong = int((~gradient.isfinite()).flatten(1).any(1).sum())
    if wrong:
        raise ValueError(
            f"saliency must be finite, got non-finite gradients for {wrong} of {len(gradient)} images: look for inf or "
            "NaN in x, in the model's weights, or in its output"
        )
