"""The loss of a mixed batch: from the model's logits of the mixes to cross entropy against both labels at once."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab.mixing.beta import check_lam
from mixlab.mixing.hidden import HiddenMix, check_model_and_plan, check_unmixed, type_of
from mixlab.mixing.labels import check_labels
from mixlab.mixing.normalize import Statistics, check_given, normalized
from mixlab.mixing.plan import MixPlan

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and their labels to a value for each row."""


def mixed_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    plan: MixPlan,
    *,
    loss: Loss | None = None,
    normalize: Statistics | None = None,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """The loss of a batch mixed by any plan, to be differentiated: what a training step comes down to.

        plan = mixer.plan(x, y, model=model)
        mixed_loss(model, x, y, plan).backward()

    It is `mixed_cross_entropy` of the `mixed_logits` against both labels, or cross entropy against `plan.targets` where
    a mix has more labels than two, and `plan.clean_loss` where it has one (Puzzle Mix with clean above 0; its graph is
    gone after one backward pass).

    Another `loss` is taken of both labels, λ loss(logits, y_a) + (1 − λ) loss(logits, y_b), which is the loss of the
    mixed label for any loss that is linear in its target. So for multi-label targets y, float [B, C]:

        bce = partial(functional.binary_cross_entropy_with_logits, reduction="none")
        mixed_loss(model, x, y, plan, loss=bce).backward()

    Squared error is not linear in its target, but has the same gradient either way: the loss of both labels is the one
    of the mixed label plus λ (1 − λ) (y_a − y_b)². For other losses of regression take `plan.targets(y)` and the
    `mixed_logits`.

    Segmentation: masks [B, H, W] for logits [B, C, H, W]. A plan that cuts images cuts their masks, and the loss is
    that of the cut mask; one that blends images takes the loss of both masks in every pixel. 255 is not counted here:

        plan = Mixer("cutmix").plan(x)
        mixed_loss(model, x, masks, plan, ignore_index=255).backward()

    Args:
        model: maps images to logits.
        x: holds uint8 images, or what the model takes, [B, ...] on the plan's device.
        y: holds int64 class labels [B], float targets [B, C] or [B], or masks [B, H, W], as `loss` takes them.
        plan: comes from `Mixer.plan`.
        loss: maps logits and labels [K * B, ...] to a value for each row, [K * B] or more axes: reduction="none".
        normalize: is (mean, std), as in `MixPlan.apply`; uint8 images need it.
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1]. It is left to
            a loss of the caller's, as are weight and ignore_index; none of them is in the clean loss.
        weight: is float [C], the weight of each class.
        ignore_index: is a class label that counts for nothing.

    Returns:
        A scalar: the mean over the K * B mixes, in nats for cross entropy, and the clean loss.

    Raises:
        TypeError, ValueError, RuntimeError: see `mixed_logits`, `mixed_cross_entropy` and `MixPlan.labels`; a `loss`
            that gives no value for each row, or one for each of them with every label ([N, 1] beside [N]).
    """
    if loss is not None and (label_smoothing != 0 or weight is not None or ignore_index is not None):
        raise TypeError(
            "loss must be None where label_smoothing, weight or ignore_index is given, which one of your own takes "
            f"itself, got {_check.shown(loss)}"
        )
    if loss is not None and not callable(loss):
        raise TypeError(f"loss must be None or a function of (logits, y), got {_check.shown(loss)}")
    check_model_and_plan(model, plan)
    check_labels("y", y, plan.batch, plan.partner.device)
    logits = mixed_logits(model, x, plan, normalize=normalize)
    if loss is not None:
        total = _linear(loss, logits, *_labels_for(logits, y, plan))
    else:
        check_logits(logits)
        if logits.shape[1] == 1:
            raise ValueError("loss must be given for a model of one output, whose cross entropy is always 0, got None")
        total = mixed_cross_entropy(
            logits,
            *_labels_for(logits, y, plan),
            label_smoothing=label_smoothing,
            weight=weight,
            ignore_index=ignore_index,
        )
    return total if plan.clean_loss is None else total + plan.clean_loss


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
    weight: Tensor | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """λ · CE(logits, y_a) + (1 − λ) · CE(logits, y_b), the loss of a mixed example.

    Equal to cross entropy against the soft label λ onehot(y_a) + (1 − λ) onehot(y_b), because cross entropy is linear
    in the label; so two look-ups replace a [N, C] target. At λ = 1 it is torch's cross entropy with the same options.

    Args:
        logits: is [N, C], or [N, C, ...] for dense labels, of any float type; the loss of a half type is computed in
            float32.
        y_a: holds int64 class labels [N], or [N, ...], from 0 to C − 1; or soft labels, floats of the logits' shape.
        y_b: holds the other label of each, like y_a.
        lam: is the weight of y_a, float in [0, 1], [N] or of the class labels' shape.
        reduction: is "sum", "none" for one loss each, in nats, or "mean". As in torch, the mean of class labels
            divides by the weight of all that count, Σ λ w[y_a] + (1 − λ) w[y_b], and that of soft labels by their
            number.
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1].
        weight: is float [C], the weight of each class.
        ignore_index: is a class label that counts for nothing, such as 255; not for soft labels.

    Returns:
        A scalar, or [N, ...] for reduction "none"; differentiable in `logits`. If all labels are ignored, the mean is
        NaN, as in torch.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range. Values of λ and labels are looked at on
        CPU only, so that CUDA never waits.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 2 and its official code.
    """
    check_logits(logits)
    is_soft = isinstance(y_a, Tensor) and y_a.is_floating_point()
    for name, y in (("y_a", y_a), ("y_b", y_b)):
        if is_soft:
            _check_soft(name, y, logits, ignore_index)
        else:
            _check_classes(name, y, logits, ignore_index)
    dense = isinstance(lam, Tensor) and lam.ndim > 1 and not is_soft
    check_lam("lam", lam, tuple(y_a.shape) if dense else (len(logits),), logits.device)
    _check.choice("reduction", reduction, ("mean", "sum", "none"))
    label_smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)
    if weight is not None:
        _check_weight(weight, logits)
    if is_soft:
        wide = torch.promote_types(y_a.dtype, torch.float32)
        targets = y_b.to(wide).lerp(y_a.to(wide), lam.to(wide).view(-1, *[1] * (y_a.ndim - 1)))
        return target_cross_entropy(logits, targets, reduction, label_smoothing, weight)

    log_probs, labels = _log_probs(logits), torch.stack([y_a, y_b], dim=1)
    lam = lam.to(log_probs.dtype)
    if lam.ndim < y_a.ndim:
        lam = lam.view(-1, *[1] * (y_a.ndim - 1))
    share = torch.stack([lam, 1 - lam], dim=1)  # of each of the two labels
    if ignore_index is not None:
        counts = labels != ignore_index
        labels, share = labels.where(counts, 0), share.where(counts, 0)
    try:
        chosen = log_probs.gather(1, labels)
    except (IndexError, RuntimeError):  # a CPU looks at labels itself
        for name, y in (("y_a", y_a), ("y_b", y_b)):
            _check_range(name, y, logits, ignore_index)
        raise
    if ignore_index is not None:
        chosen = chosen.where(counts, 0)  # which may be −∞, times 0
    weighed = share if weight is None else share * weight.to(share.dtype)[labels]
    each = reduction == "none"
    loss = -(weighed * chosen).sum(dim=1 if each else None)  # a dot product would round a map's millions of terms away
    if label_smoothing > 0:
        spread = (
            log_probs if weight is None else log_probs * weight.to(log_probs.dtype).view(-1, *[1] * (logits.ndim - 2))
        )
        even = spread.mean(dim=1) if ignore_index is None else spread.mean(dim=1) * share.sum(dim=1)
        loss = (1 - label_smoothing) * loss - label_smoothing * (even if each else even.sum())
    if reduction != "mean":
        return loss
    return loss / (y_a.numel() if weight is None and ignore_index is None else weighed.sum())


def target_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy against soft targets, as torch's, in nats; that of half types in float32.

    Args:
        logits: is [N, C, ...], of any float type.
        targets: is float of that shape. `MixPlan.targets` of a plan with weights has entries that may be negative.
        reduction: is "mean" over the examples, "sum", or "none".
        label_smoothing: is the share of every target that is spread evenly over all classes, in [0, 1].
        weight: is float [C], the weight of each class.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(
        precise, targets.to(precise.dtype), weight, reduction=reduction, label_smoothing=label_smoothing
    )


def check_logits(logits: Tensor) -> None:
    """Raise unless these are logits."""
    wanted = "a float tensor of shape [examples, classes], or [examples, classes, ...], none of them 0"
    _check.tensor("logits", logits, wanted)
    if logits.ndim < 2 or not logits.is_floating_point() or logits.numel() == 0:
        raise ValueError(f"logits must be {wanted}, got {_check.shown(logits)}")


def _check_classes(name: str, y: object, logits: Tensor, ignore_index: int | None) -> None:
    shape = logits.shape[:1] + logits.shape[2:]
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != shape:
        kind = ValueError if isinstance(y, Tensor) and y.dtype == torch.int64 else TypeError
        wanted = f"int64 class labels of shape {list(shape)}, or float targets of shape {list(logits.shape)}"
        raise kind(f"{name} must be {wanted}, got {_check.shown(y)}")
    _check.same_device(name, y, logits.device)
    if ignore_index is not None:
        _check.integer("ignore_index", ignore_index, -(2**63))


def _check_range(name: str, y: Tensor, logits: Tensor, ignore_index: int | None) -> None:
    if ignore_index is not None:
        y = y[y != ignore_index]
    _check.class_labels(name, y.flatten(), classes=logits.shape[1])


def _check_soft(name: str, y: object, logits: Tensor, ignore_index: int | None) -> None:
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.shape != logits.shape:
        wanted = f"float targets of shape {list(logits.shape)}, as the logits and the other label are"
        raise ValueError(f"{name} must be {wanted}, got {_check.shown(y)}")
    _check.same_device(name, y, logits.device)
    if ignore_index is not None:
        raise ValueError(f"ignore_index must be None for soft labels, whose rows can be 0, got {ignore_index!r}")


def _check_weight(weight: Tensor, logits: Tensor) -> None:
    wanted = f"a float tensor of shape [{logits.shape[1]}], a weight for each class"
    _check.tensor("weight", weight, wanted)
    if not weight.is_floating_point() or weight.shape != logits.shape[1:2]:
        raise ValueError(f"weight must be {wanted}, got {_check.shown(weight)}")
    _check.same_device("weight", weight, logits.device)


def _labels_for(logits: Tensor, y: Tensor, plan: MixPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Both labels of each mix and λ; the mixed label twice where it is of more labels than two."""
    if plan.way.two_labels:
        return plan.labels(y)
    mixed = plan.targets(y, None if y.is_floating_point() else logits.shape[1])
    return mixed, mixed, plan.lam.flatten()


def _linear(loss: Loss, logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    """The mean of λ loss(logits, y_a) + (1 − λ) loss(logits, y_b)."""
    first = _rows(loss, logits, y_a)
    if y_b is y_a:
        return first.mean()
    weight = lam.to(first.dtype).view(-1, *[1] * (first.ndim - 1))
    return torch.lerp(_rows(loss, logits, y_b), first, weight).mean()


def _rows(loss: Loss, logits: Tensor, y: Tensor) -> Tensor:
    """What a loss of the caller's gives, in float32 or more."""
    values = loss(logits, y)
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != len(logits):
        raise ValueError(
            f'loss must give one value for each of the {len(logits)} mixes, as with reduction="none", got '
            f"{_check.shown(values) if isinstance(values, Tensor) else type_of(values)}"
        )
    if values.numel() > max(logits.numel(), y.numel()):  # [N, 1] beside [N] gives [N, N]
        raise ValueError(
            "y must be of a shape that loss does not broadcast against what the model returns, "
            f"{list(logits.shape)}, got labels of shape {list(y.shape)} and a loss of {list(values.shape)}"
        )
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _log_probs(logits: Tensor) -> Tensor:
    return functional.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _decoupled(logits: Tensor, plan: MixPlan) -> Tensor:
    """The z_a, then the z_b, of z₁ = λ₁ z_a + (1 − λ₁) z_b and z₂ = λ₂ z_a + (1 − λ₂) z_b."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    first, second = precise.view(2, -1, *precise.shape[1:])
    upper, lower = plan.nominal.to(precise.dtype).view(2, -1, *[1] * (precise.ndim - 1))
    example, partner = (1 - lower) * first - (1 - upper) * second, upper * second - lower * first
    return torch.cat([example / (upper - lower), partner / (upper - lower)])
