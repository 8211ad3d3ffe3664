"""The loss of a mixed batch: from the model's logits of the mixes to cross entropy against both labels at once."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab.mixing.beta import check_lam
from mixlab.mixing.hidden import HiddenMix, check_model_and_plan, check_unmixed, type_of
from mixlab.mixing.normalize import Statistics, check_given, normalized
from mixlab.mixing.plan import MixPlan


def mixed_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    plan: MixPlan,
    *,
    normalize: Statistics | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of a batch mixed by any plan, to be differentiated: what a training step comes down to.

        plan = mixer.plan(x, y, model=model)
        mixed_loss(model, x, y, plan).backward()

    It is `mixed_cross_entropy` of the `mixed_logits` against both labels, or cross entropy against `plan.targets` where
    a mix has more labels than two, and `plan.clean_loss` where it has one (Puzzle Mix with clean above 0; its graph is
    gone after one backward pass).

    Args:
        model: maps images to logits.
        x: holds uint8 images, or what the model takes, [B, ...] on the plan's device.
        y: holds int64 class labels [B].
        plan: comes from `Mixer.plan`.
        normalize: is (mean, std), as in `MixPlan.apply`; uint8 images need it.
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1]; not in the
            clean loss.

    Returns:
        A scalar, in nats: the mean over the K * B mixes, and the clean loss.

    Raises:
        TypeError, ValueError, RuntimeError: see `mixed_logits` and `mixed_cross_entropy`.
    """
    logits = mixed_logits(model, x, plan, normalize=normalize)
    if plan.way.two_labels:
        loss = mixed_cross_entropy(logits, *plan.labels(y), label_smoothing=label_smoothing)
    else:
        _, classes = check_logits(logits)
        loss = target_cross_entropy(logits, plan.targets(y, classes), label_smoothing)
    return loss if plan.clean_loss is None else loss + plan.clean_loss


def mixed_logits(model: nn.Module, x: Tensor, plan: MixPlan, *, normalize: Statistics | None = None) -> Tensor:
    """The logits of a batch mixed by any plan: before the model, or inside of it where `plan.layer` names a module.

    `mixed_loss` is the loss of them, which is what a training loop calls. It does not warn of BatchNorm, see
    `hidden_mixing`; and as there, a layer must lie outside of activation checkpointing.

    Args:
        model: maps images to logits.
        x: holds uint8 images, or what the model takes, [B, ...] on the plan's device; it is not changed, and its layout
            is kept.
        plan: comes from `Mixer.plan`.
        normalize: is (mean, std), as in `MixPlan.apply`; uint8 images need it.

    Returns:
        [K * B, ...], k-major. Of a plan that is decoupled (MIT), what its mixes' logits say of the example and of its
        partner alone, the first half of K the one and the second the other; it takes float32, or more, to solve for.

    Raises:
        TypeError, ValueError, RuntimeError: see `hidden_mixing` and `MixPlan.apply`; uint8 images without `normalize`;
            a model that does not return one tensor with a row for each mix.
    """
    check_model_and_plan(model, plan)
    _check.tensor("x", x, "a tensor whose first axis is the batch")
    if x.ndim == 0 or len(x) != plan.batch:
        raise ValueError(f"x must hold the {plan.batch} examples this plan was drawn for, got {_check.shown(x)}")
    check_given(x, normalize)
    check_unmixed(model)
    if plan.inside is None:
        logits = model(plan.apply(x, normalize=normalize))
    else:
        _check.same_device("x", x, plan.partner.device)
        clean = normalized(x, normalize)
        with HiddenMix(model, plan.inside, plan):
            logits = model(x.clone() if clean is x else clean)  # a model may begin in place
    rows = plan.k * plan.batch
    wanted = f"model must return one tensor with a row of logits for each of the {rows} mixes, got "
    if not isinstance(logits, Tensor):
        raise TypeError(wanted + type_of(logits))
    if logits.ndim == 0 or len(logits) != rows:
        raise ValueError(wanted + _check.shown(logits))
    return _decoupled(logits, plan) if plan.decoupled else logits


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
        logits: is [N, C], of any float type; the loss of a half type is computed in float32.
        y_a: holds int64 class labels [N] from 0 to C − 1.
        y_b: holds the other label of each, int64 [N].
        lam: is the weight of y_a, float [N] in [0, 1].
        reduction: is "mean" over the N examples, "sum", or "none" for one loss each, in nats.
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1].

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
        logits: is [N, C], of any float type; the loss of a half type is computed in float32.
        targets: is float [N, C], with rows that sum to 1, as `MixPlan.targets` gives them; entries may be negative.
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1].
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


def _decoupled(logits: Tensor, plan: MixPlan) -> Tensor:
    """The z_a, then the z_b, of z₁ = λ₁ z_a + (1 − λ₁) z_b and z₂ = λ₂ z_a + (1 − λ₂) z_b."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    first, second = precise.view(2, -1, *precise.shape[1:])
    upper, lower = plan.nominal.to(precise.dtype).view(2, -1, *[1] * (precise.ndim - 1))
    example, partner = (1 - lower) * first - (1 - upper) * second, upper * second - lower * first
    return torch.cat([example / (upper - lower), partner / (upper - lower)])
