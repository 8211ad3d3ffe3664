"""Cross entropy against two labels at once, without ever building a one-hot."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check


def mixed_cross_entropy(
    logits: Tensor,
    y_a: Tensor,
    y_b: Tensor,
    lam: Tensor,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """λ · CE(logits, y_a) + (1 − λ) · CE(logits, y_b), the loss of a mixed example.

    Equal to cross entropy against the soft label λ onehot(y_a) + (1 − λ) onehot(y_b), because cross entropy is linear
    in the label; so two look-ups replace a [N, C] target.

    Args:
        logits: [N, C] float, any float type; the loss of a half type is computed in float32.
        y_a: [N] int64 class labels from 0 to C − 1.
        y_b: [N] int64, the other label of each.
        lam: [N] float in [0, 1], the weight of y_a.
        reduction: "mean" over the N examples, "sum", or "none" for one loss each, in nats.
        label_smoothing: share of every target spread evenly over all classes, in [0, 1].

    Returns:
        A scalar, or [N] for reduction "none"; differentiable in `logits`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range. Values of λ and labels are looked at on
        CPU only, so that CUDA never waits.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 2 and its official code.
    """
    examples, classes = check_logits(logits)
    _check.class_labels("y_a", y_a, batch=examples, classes=classes, device=logits.device)
    _check.class_labels("y_b", y_b, batch=examples, classes=classes, device=logits.device)
    check_lam("lam", lam, (examples,), logits.device)
    _check.choice("reduction", reduction, ("mean", "sum", "none"))
    label_smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)

    log_probs = _log_probs(logits)
    both = log_probs.gather(1, torch.stack([y_a, y_b], dim=1))
    lam = lam.to(both.dtype)
    loss = -(torch.stack([lam, 1 - lam], dim=1) * both).sum(dim=1)
    if label_smoothing > 0:
        loss = (1 - label_smoothing) * loss - label_smoothing * log_probs.mean(dim=1)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def target_cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy against targets of any kind, in nats, for mixes of more than two labels.

    Args:
        logits: [N, C] float, any float type; the loss of a half type is computed in float32.
        targets: [N, C] float whose rows sum to 1, as `MixPlan.targets` gives them; entries may be negative.
        label_smoothing: share of every target spread evenly over all classes, in [0, 1].
    """
    check_logits(logits)
    label_smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)
    log_probs = _log_probs(logits)
    smoothed = (1 - label_smoothing) * targets.to(log_probs.dtype) + label_smoothing / logits.shape[1]
    return -(smoothed * log_probs).sum(dim=1).mean()


def check_logits(logits: Tensor) -> tuple[int, int]:
    """(examples, classes) of logits; raise if they are anything else."""
    wanted = "a float tensor of shape [examples, classes], both at least 1"
    _check.tensor("logits", logits, wanted)
    if logits.ndim != 2 or not logits.is_floating_point() or logits.numel() == 0:
        raise ValueError(f"logits must be {wanted}, got {_check.shown(logits)}")
    examples, classes = logits.shape
    return examples, classes


def _log_probs(logits: Tensor) -> Tensor:
    return functional.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def check_lam(name: str, lam: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise unless `lam` is a float tensor of this shape and device with values in [0, 1] (looked at on CPU only)."""
    _check.tensor(name, lam, f"a float tensor of shape {list(shape)}")
    if not lam.is_floating_point() or lam.shape != shape:
        raise ValueError(f"{name} must be a float tensor of shape {list(shape)}, got {_check.shown(lam)}")
    _check.same_device(name, lam, device)
    if lam.device.type == "cpu" and lam.numel():
        low, high = (float(edge) for edge in torch.aminmax(lam.detach()))
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise ValueError(f"{name} must hold weights in [0, 1], got values from {low:g} to {high:g}")
