"""What a plan for mixing may hold, and what it may be applied to."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.losses import check_lam

if TYPE_CHECKING:
    from mixlab.mixing.plan import MixPlan


def check_fields(plan: "MixPlan") -> None:
    """Raise unless the fields of a plan are of the right kind and shape and fit together; values on CPU only."""
    if not isinstance(plan.variant, str) or not plan.variant:
        raise TypeError(f"variant must be the name of what drew the plan, got {_check.shown(plan.variant)}")
    _partner(plan.partner, rolled=_check.flag("rolled", plan.rolled))
    for name, lam in (("lam", plan.lam), ("nominal", plan.nominal)):
        wanted = f"a float32 tensor of shape [K, {plan.batch}]"
        _check.tensor(name, lam, wanted)
        if lam.dtype != torch.float32 or lam.ndim != 2 or len(lam) == 0:
            raise ValueError(f"{name} must be {wanted}, got {_check.shown(lam)}")
        check_lam(name, lam, (plan.k, plan.batch), plan.partner.device)
    if (plan.box is None) != (plan.size is None):
        raise ValueError(f"box and size must be given together, got {plan!r} with one of them")
    if plan.box is not None and plan.size is not None:
        _box(plan.box, plan.size, plan.lam)
    if _check.flag("shrunk", plan.shrunk) and plan.box is None:
        raise ValueError(f"shrunk must be False without a box to shrink into, got True in {plan!r}")
    if plan.mask is not None:
        _mask(plan.mask, plan)
    if plan.moves is not None:
        _moves(plan.moves, plan)
    _check.flag("noise_for_uint8", plan.noise_for_uint8)
    if plan.noise is not None:
        _noise(plan.noise, plan)
    if plan.weights is not None:
        _weights(plan.weights, plan)
    if _check.flag("decoupled", plan.decoupled):
        _decoupled(plan)
    _loss_and_layer(plan)


def _loss_and_layer(plan: "MixPlan") -> None:
    if plan.clean_loss is not None and (not isinstance(plan.clean_loss, Tensor) or plan.clean_loss.ndim != 0):
        raise TypeError(f"clean_loss must be None or a tensor of no axes, got {_check.shown(plan.clean_loss)}")
    if plan.layer is not None and (not isinstance(plan.layer, str) or not plan.layer):
        raise TypeError(f"layer must be None, 'input' or the name of a module, got {_check.shown(plan.layer)}")


def _partner(partner: Tensor, *, rolled: bool) -> None:
    wanted = "an int64 tensor of shape [batch]"
    _check.tensor("partner", partner, wanted)
    if partner.dtype != torch.int64 or partner.ndim != 1 or len(partner) == 0:
        raise TypeError(f"partner must be {wanted}, got {_check.shown(partner)}")
    if partner.device.type != "cpu":
        return
    low, high = (int(edge) for edge in torch.aminmax(partner))
    if low < 0 or high >= len(partner):
        raise ValueError(f"partner must hold places in the batch, 0 to {len(partner) - 1}, got {low} to {high}")
    if rolled and not torch.equal(partner, torch.arange(len(partner), device="cpu").roll(1)):
        came = _check.shown(partner.tolist())
        raise ValueError(f"rolled must be False unless partner[i] is (i − 1) mod batch, got True with partner {came}")


def _box(box: Tensor, size: tuple[int, int], lam: Tensor) -> None:
    if not isinstance(size, tuple) or len(size) != 2:
        raise TypeError(f"size must be (height, width), got {_check.shown(size)}")
    height, width = (_check.integer(name, side, 1) for name, side in zip(("height", "width"), size, strict=True))
    wanted = f"an int64 tensor of shape {[*lam.shape, 4]}"
    _check.tensor("box", box, wanted)
    if box.dtype != torch.int64 or box.shape != (*lam.shape, 4):
        raise ValueError(f"box must be {wanted}, got {_check.shown(box)}")
    _check.same_device("box", box, lam.device)
    if box.device.type == "cpu":
        top, left, bottom, right = box.unbind(-1)
        inside = (top >= 0) & (left >= 0) & (bottom <= height) & (right <= width) & (top <= bottom) & (left <= right)
        if not bool(inside.all()):
            wrong = box[~inside][0].tolist()
            raise ValueError(f"box must hold (top, left, bottom, right) inside {height} by {width} pixels, got {wrong}")


def _mask(mask: Tensor, plan: "MixPlan") -> None:
    wanted = f"a float32 tensor of shape [{plan.k}, {plan.batch}, rows, columns]"
    _check.tensor("mask", mask, wanted)
    if mask.dtype != torch.float32 or mask.ndim != 4 or mask.shape[:2] != plan.lam.shape or mask.numel() == 0:
        raise ValueError(f"mask must be {wanted}, got {_check.shown(mask)}")
    if plan.box is not None:
        raise ValueError(f"mask and box must not be given together, got both in {plan!r}")
    check_lam("mask", mask, tuple(mask.shape), plan.partner.device)


def _moves(moves: Tensor, plan: "MixPlan") -> None:
    wanted = f"an int64 tensor of shape [2, {plan.k}, {plan.batch}, blocks], blocks a square number"
    _check.tensor("moves", moves, wanted)
    square = moves.ndim == 4 and round(moves.shape[-1] ** 0.5) ** 2 == moves.shape[-1] > 0
    if plan.shrunk:
        raise ValueError(f"moves and shrunk must not be given together, got both in {plan!r}")
    if moves.dtype != torch.int64 or not square or moves.shape[:3] != (2, *plan.lam.shape):
        raise ValueError(f"moves must be {wanted}, got {_check.shown(moves)}")
    _check.same_device("moves", moves, plan.partner.device)
    if moves.device.type == "cpu":
        low, high = (int(edge) for edge in torch.aminmax(moves))
        if low < 0 or high >= moves.shape[-1]:
            raise ValueError(f"moves must hold places from 0 to {moves.shape[-1] - 1}, got {low} to {high}")


def _noise(noise: Tensor, plan: "MixPlan") -> None:
    wanted = f"a float32 tensor of shape [2, {plan.batch}, channels, height, width]"
    _check.tensor("noise", noise, wanted)
    if noise.dtype != torch.float32 or noise.ndim != 5 or noise.shape[:2] != (2, plan.batch):
        raise ValueError(f"noise must be {wanted}, got {_check.shown(noise)}")
    _check.same_device("noise", noise, plan.partner.device)
    if noise.device.type == "cpu" and not bool(noise.isfinite().all()):
        raise ValueError("noise must hold finite numbers, got NaN or infinity")


def _weights(weights: Tensor, plan: "MixPlan") -> None:
    wanted = f"a float32 tensor of shape [{plan.k}, {plan.batch}, {plan.batch}]"
    _check.tensor("weights", weights, wanted)
    if weights.dtype != torch.float32 or weights.shape != (*plan.lam.shape, plan.batch):
        raise ValueError(f"weights must be {wanted}, got {_check.shown(weights)}")
    _check.same_device("weights", weights, plan.partner.device)
    if plan.decoupled or any(part is not None for part in (plan.box, plan.mask, plan.moves, plan.noise)):
        raise ValueError(f"weights must be given without boxes, masks, moves, noise and decoupled, got {plan!r}")
    if weights.device.type == "cpu" and not bool(weights.isfinite().all()):
        raise ValueError("weights must hold finite numbers, got NaN or infinity")


def _decoupled(plan: "MixPlan") -> None:
    if plan.k % 2 or plan.inside is not None:
        raise ValueError(f"decoupled must be False unless K is even and the mixing before the model, got {plan!r}")
    first, second = plan.nominal.chunk(2)
    if plan.partner.device.type == "cpu" and not bool((first != second).all()):
        raise ValueError("decoupled must be False where both mixes of a pair have one nominal λ, got True")


def check_out(out: Tensor, x: Tensor, dtype: torch.dtype, shape: tuple[int, ...], layout: torch.memory_format) -> None:
    """Raise unless `out` can take the result."""
    wanted = f"a {dtype_name(dtype)} tensor of shape {list(shape)} on {x.device}"
    _check.tensor("out", out, wanted)
    if out.shape != shape or out.dtype != dtype or out.device != x.device:
        raise ValueError(f"out must be {wanted}, got {_check.shown(out)} on {out.device}")
    if not out.is_contiguous(memory_format=layout):
        raise ValueError(f"out must be laid out like x ({dtype_name(layout)}), got strides {list(out.stride())}")
    if out.requires_grad or needs_gradient(x):
        raise ValueError("out must be None where x or out needs a gradient, got a tensor")
    (first, last), (x_first, x_last) = _span(out), _span(x)
    if x.device.type != "meta" and first < x_last and x_first < last:
        raise ValueError("out must share no memory with x, which is not changed; got memory that overlaps")


def needs_gradient(x: Tensor) -> bool:
    """Whether autograd follows x here."""
    return torch.is_grad_enabled() and x.requires_grad


def _span(x: Tensor) -> tuple[int, int]:
    """Addresses of a tensor's first byte and of the one after its last."""
    elements = 1 + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + elements * x.element_size()


def dtype_name(value: object) -> str:
    """float32 for torch.float32."""
    return str(value).removeprefix("torch.")
