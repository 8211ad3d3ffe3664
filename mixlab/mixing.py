"""Mixing a batch: a Mixer draws plans of one kind and applies them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab.plans import VARIANTS, MixPlan
from mixlab.sampling import FLOATS, check_alpha, sample_lambda

PARTNERS = {
    "random": "a random permutation of the batch",
    "roll": "the neighbour before, the first with the last: as good as random in a shuffled batch, and the fastest",
    "reversed": "the batch from its other end",
}


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixed batch: inputs, both labels of each, and the weight of the first.

    Attributes:
        x: [K * B, ...] mixed inputs, k-major.
        y_a, y_b: [K * B] int64, the example's label and its partner's.
        lam: [K * B] float32, the weight of y_a.
        plan: the MixPlan it was made by.
    """

    x: Tensor
    y_a: Tensor
    y_b: Tensor
    lam: Tensor
    plan: MixPlan

    def targets(self, num_classes: int) -> Tensor:
        """Soft labels λ onehot(y_a) + (1 − λ) onehot(y_b), float32 [K * B, num_classes], for what needs them."""
        num_classes = _check.integer("num_classes", num_classes, 1)
        for name, labels in (("y_a", self.y_a), ("y_b", self.y_b)):
            _check.class_labels(name, labels, classes=num_classes)
        a = functional.one_hot(self.y_a, num_classes)
        b = functional.one_hot(self.y_b, num_classes)
        return self.lam[:, None] * a + (1 - self.lam)[:, None] * b


class Mixer:
    """Draws plans of one kind, and mixes batches by them. It holds settings only; randomness comes in as `generator`.

    Args:
        variant: a key of VARIANTS.
        alpha: λ ~ Beta(alpha, alpha); from 1e-6 to 1e6. For CutMix it is the law of the nominal λ.
        k: interpolations of each pair, at least 1; each with its own λ (and its own box).
        shared_lam: one λ (and box) for the whole batch, as in the papers' code, instead of one for each pair.
        ordered: sort the K mixes of each pair by λ, from the example to its partner, for display; the mean loss over
            the K mixes does not depend on it.
        partners: a key of PARTNERS.
        distinct: let no example be its own partner.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.

    Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 2; Yun et al., "CutMix",
    ICCV 2019, equations 1 and 2, with λ recomputed for the clipped box as in its official code; K interpolations:
    "Multi-mix", arXiv 2406.01417.
    """

    def __init__(
        self,
        variant: str = "mixup",
        alpha: float = 1.0,
        k: int = 1,
        *,
        shared_lam: bool = False,
        ordered: bool = False,
        partners: str = "random",
        distinct: bool = False,
    ) -> None:
        self.variant = _check.choice("variant", variant, VARIANTS)
        self.alpha = check_alpha(alpha)
        self.k = _check.integer("k", k, 1)
        self.shared_lam = _check.flag("shared_lam", shared_lam)
        self.ordered = _check.flag("ordered", ordered)
        self.partners = _check.choice("partners", partners, PARTNERS)
        self.distinct = _check.flag("distinct", distinct)

    def __repr__(self) -> str:
        if self.variant == "none":
            return f"Mixer('none', k={self.k})" if self.k > 1 else "Mixer('none')"
        return f"Mixer({self.variant!r}, alpha={self.alpha:g}, k={self.k})"

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Mixed:
        """Draw a plan and mix a batch by it.

        Args:
            x: [B, C, H, W] images, uint8 or float, or for mixup any float [B, ...].
            y: [B] int64 class labels on x's device.
            generator: source of randomness on x's device (default: the global one).

        Returns:
            Mixed, with K * B mixes, k-major. Neither x nor y is changed.

        Raises:
            TypeError, ValueError: see the arguments; for float targets, use `plan` and apply it to x and y.
        """
        _check.tensor("y", y, _check.CLASS_LABELS)
        plan = self.plan(x, y, generator=generator)
        y_b = y.index_select(0, plan.partner)
        return Mixed(plan.apply(x), y.repeat(self.k), y_b.repeat(self.k), plan.lam.flatten(), plan)

    def plan(self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None) -> MixPlan:
        """Draw partners, λs and boxes for a batch like `x` (its batch size, height, width and device).

        Args:
            x: [B, ...], at least two examples unless the variant is "none"; [B, C, H, W] for CutMix and for uint8.
            y: [B] int64 class labels; mixup and CutMix do not need them.
            generator: source of randomness on x's device (default: the global one).
        """
        batch = self._check_batch(x)
        if y is not None:
            note = " (mix float targets with plan.apply(y))"
            _check.class_labels("y", y, batch=batch, device=x.device, note=note)
        generator = _check.generator(generator, x.device)
        if self.variant == "none":
            ones = torch.ones(self.k, batch, dtype=torch.float32, device=x.device)
            return MixPlan("none", torch.arange(batch, device=x.device), ones, ones)
        partner = self._partners(batch, x.device, generator)
        rolled = self.partners == "roll"
        nominal = self._lambdas(batch, x.device, generator)
        if self.variant == "mixup":
            return MixPlan("mixup", partner, nominal, nominal, rolled=rolled)
        size = (x.shape[-2], x.shape[-1])
        box = _boxes(nominal, size, generator, shared=self.shared_lam)
        top, left, bottom, right = box.unbind(-1)
        pixels = size[0] * size[1]
        lam = ((pixels - (bottom - top) * (right - left)).double() / pixels).to(nominal.dtype)
        if self.ordered:  # clipping changes the order
            order = lam.argsort(dim=0, descending=True, stable=True)
            lam, nominal = lam.gather(0, order), nominal.gather(0, order)
            box = box.gather(0, order[..., None].expand_as(box))
        return MixPlan("cutmix", partner, lam, nominal, box, size, rolled=rolled)

    def _check_batch(self, x: Tensor) -> int:
        wanted = "a tensor whose first axis is the batch"
        if _check.tensor("x", x, wanted).ndim == 0:
            raise ValueError(f"x must be {wanted}, got {_check.shown(x)}")
        images = self.variant == "cutmix" or x.dtype == torch.uint8
        if images and x.ndim != 4:
            raise ValueError(f"x must be images [batch, channels, height, width], got {_check.shown(x)}")
        if x.numel() == 0:
            raise ValueError(f"x must not be empty, got {_check.shown(x)}")
        if x.dtype not in (*FLOATS, torch.uint8):
            raise TypeError(f"x must be uint8 or float, got {_check.shown(x)}")
        if self.variant != "none" and len(x) == 1:
            raise ValueError("x must hold at least two examples to mix, got a batch of one; drop a short last batch")
        if self.variant != "none" and self.distinct and self.partners == "reversed" and len(x) % 2:
            raise ValueError(
                f"distinct with partners 'reversed' must have an even batch, got {len(x)} examples: the middle one "
                "would be its own partner"
            )
        return len(x)

    def _partners(self, batch: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        if self.partners == "roll":
            return torch.arange(batch, device=device).roll(1)
        if self.partners == "reversed":
            return torch.arange(batch - 1, -1, -1, device=device)
        order = torch.randperm(batch, device=device, generator=generator)
        if not self.distinct:
            return order
        # One random cycle through the whole batch: nobody meets themselves, everybody else is equally likely.
        return torch.empty_like(order).scatter_(0, order, order.roll(1))

    def _lambdas(self, batch: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        shape = (self.k, 1 if self.shared_lam else batch)
        lam = sample_lambda(self.alpha, shape, device=device, generator=generator)
        if self.ordered:
            lam = lam.sort(dim=0, descending=True).values
        return lam.expand(self.k, batch).contiguous()


def _boxes(nominal: Tensor, size: tuple[int, int], generator: torch.Generator | None, *, shared: bool) -> Tensor:
    """CutMix boxes [K, B, 4]: sides int(side · √(1 − λ)), a uniform centre, corners clipped to the image."""
    count, batch = nominal.shape
    places = (count, 1 if shared else batch, 2)
    centre = torch.rand(places, dtype=torch.float64, device=nominal.device, generator=generator)
    share = torch.sqrt(1 - nominal.double())
    edges = []
    for place, side in zip(centre.unbind(-1), size, strict=True):
        middle, half = (place * side).long(), (share * side).long() // 2
        edges.append(((middle - half).clamp(min=0), (middle + half).clamp(max=side)))
    (top, bottom), (left, right) = edges
    return torch.stack([top, left, bottom, right], dim=-1)
