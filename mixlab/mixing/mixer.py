"""Mixing a batch: a Mixer draws plans of one kind and applies them."""

import difflib
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.mixing.beta import FLOATS, check_alpha
from mixlab.mixing.labels import LABELS, check_labels
from mixlab.mixing.near import Near
from mixlab.mixing.normalize import Statistics, check_given
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.saliency import check_gradients_on
from mixlab.mixing.variants import KINDS, Request, Variant

PARTNERS = {
    "random": "a random permutation of the batch",
    "roll": "the neighbor before, the first with the last: as good as random in a shuffled batch, and the fastest",
    "reversed": "the batch from its other end",
}
_COMMON = ("alpha", "k", "shared_lam", "ordered", "partners", "distinct", "probability")


def setting_matters(name: str, kind: type[Variant] | Variant) -> bool:
    """Whether a setting changes anything for this variant: without pairs, nothing that says how pairs are mixed."""
    return name not in _COMMON or (kind.pairs and (name != "alpha" or kind.takes_alpha))


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixed batch: inputs, both labels of each, and the weight of the first.

    Attributes:
        x: holds mixed inputs [K * B, ...], k-major.
        y_a, y_b: are the example's label and its partner's, as `MixPlan.labels` gives them: int64 [K * B] of class
            labels, float [K * B, C] of soft ones.
        lam: is the weight of y_a, float32 [K * B].
        plan: is the MixPlan it was made by.
    """

    x: Tensor
    y_a: Tensor
    y_b: Tensor
    lam: Tensor
    plan: MixPlan

    def targets(self, num_classes: int | None = None) -> Tensor:
        """Soft labels λ y_a + (1 − λ) y_b [K * B, C], class labels as `num_classes` one-hot; see `MixPlan.targets`."""
        return self.plan.targets(self.y_a[: self.plan.batch], num_classes)


class Mixer:
    """Draws plans of one kind, and mixes batches by them. It holds settings only; randomness comes in as `generator`.

    In DistributedDataParallel each process mixes its own share of the batch, with partners from that share alone, and
    names of layers begin with "module.". Give each rank a generator of its own:

        generator = torch.Generator(device).manual_seed(seed * world_size + rank)

    With one seed for all, as torch.manual_seed(0) in every process leaves it, all ranks draw the same λs and the same
    order of partners, and the mean of their gradients averages nothing of that noise. On average one example of each
    rank's share is its own partner, unless `distinct`.

    Args:
        variant: is a key of VARIANTS.
        alpha: gives λ ~ Beta(alpha, alpha), from 1e-6 to 1e6. For CutMix it is the law of the nominal λ; ResizeMix has
            a law of its own.
        k: is the number of interpolations of each pair, at least 1; each has its own λ (and its own box, or mask).
            Plans of RegMixup hold the clean batch besides, K + 1, and those of MIT two mixes for each, 2 K.
        shared_lam: draws one λ (and box) for the whole batch, as in the papers' code, instead of one for each pair;
            SaliencyMix has one λ, but lays a box of its own for each pair.
        ordered: sorts the K mixes of each pair by λ, from the example to its partner, for display; the mean loss over
            the K mixes does not depend on it.
        partners: is a key of PARTNERS; or Near(bandwidth), for labels that are numbers.
        distinct: lets no example be its own partner.
        probability: is that of a batch to be mixed, from 0 to 1. The others pass as they are: their plan is that of
            "none" and K = 1, so that each example goes through the model once.
        settings: are what this variant takes besides, such as layers= for "manifold"; see `mixlab.mixing.variants`.

    Attributes:
        kind: is the variant with its settings, a `mixlab.mixing.variants.Variant`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.

    Sources: each variant's own, in `mixlab.mixing.variants`; K interpolations: "Multi-mix", arXiv 2406.01417.
    """

    def __init__(
        self,
        variant: str = "mixup",
        alpha: float = 1.0,
        k: int = 1,
        *,
        shared_lam: bool = False,
        ordered: bool = False,
        partners: str | Near = "random",
        distinct: bool = False,
        probability: float = 1.0,
        **settings: Any,
    ) -> None:
        self.variant = _check.choice("variant", variant, KINDS)
        self.alpha = check_alpha(alpha)
        self.k = _check.integer("k", k, 1)
        self.shared_lam = _check.flag("shared_lam", shared_lam)
        self.ordered = _check.flag("ordered", ordered)
        self.partners = _check_partners(partners)
        self.distinct = _check.flag("distinct", distinct)
        self.probability = _check.number("probability", probability, 0, 1)
        self.kind: Variant = _make(self.variant, settings)

    def __repr__(self) -> str:
        plain, always = Mixer(self.variant).settings, ("alpha", "k") if self.kind.pairs else ()
        shown = [repr(self.variant)]
        for name, value in self.settings.items():
            if name in always or value != plain[name]:
                short = name == "alpha" and float(f"{value:g}") == value
                shown.append(f"{name}={value:g}" if short else f"{name}={value!r}")
        return f"Mixer({', '.join(shown)})"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything it was made with but the variant's name, the variant's own settings last."""
        return {name: getattr(self, name) for name in _COMMON} | _settings(self.kind)

    @property
    def forwards(self) -> float:
        """How many times the model runs for each example, on average over batches: what mixing costs on any machine."""
        return self.probability * self.kind.forwards(self.k) + (1 - self.probability)

    def __call__(
        self, x: Tensor, y: Tensor, *, model: nn.Module | None = None, generator: torch.Generator | None = None
    ) -> Mixed:
        """Draw a plan and mix a batch by it.

        Args:
            x: holds images [B, C, H, W], uint8 or float, or for mixup any floats [B, ...].
            y: holds int64 class labels [B] on x's device; or float targets [B, C], such as one-hot, soft or multi-label
                ones, or [B]; or integer masks [B, H, W]. See `MixPlan.labels`.
            model: is the network, for variants that look at it: it maps x, as it is, to logits.
            generator: is the source of randomness on x's device, by default the global one.

        Returns:
            Mixed, with K * B mixes, k-major, K that of the plan. Neither x nor y is changed.

        Raises:
            TypeError, ValueError: see the arguments. "manifold" mixes inside the model: use `plan` and
            `mixlab.mixed_logits`; so do uint8 images for a variant that looks at it. "mit" and "perturbed" have a loss
            of their own: use `plan` and `mixlab.mixed_loss`.
        """
        if self.kind.mixes_inside:
            raise TypeError(
                f"variant must be one that mixes before the model, got {self.variant!r}, which mixes hidden states: "
                "use plan = mixer.plan(x), logits = mx.mixed_logits(model, x, plan) and plan.labels(y)"
            )
        if self.kind.decouples or not self.kind.two_labels:
            does = "decouples logits" if self.kind.decouples else "mixes more labels than two"
            raise TypeError(
                f"variant must be one whose images and two labels are all that a loss needs, got {self.variant!r}, "
                f"which {does}: use plan = mixer.plan(x) and mx.mixed_loss(model, x, y, plan)"
            )
        if self.kind.needs_model and isinstance(x, Tensor) and x.dtype == torch.uint8:
            raise TypeError(
                f"x must be float images as the model takes them for {self.variant!r}, which looks at the model, got "
                f"{_check.shown(x)}: use plan = mixer.plan(x, y, model=model, normalize=(mean, std)) and "
                "mx.mixed_logits(model, x, plan, normalize=(mean, std))"
            )
        _check.tensor("y", y, LABELS)
        plan = self.plan(x, y, model=model, generator=generator)
        return Mixed(plan.apply(x), *plan.labels(y), plan)

    def plan(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        model: nn.Module | None = None,
        normalize: Statistics | None = None,
        generator: torch.Generator | None = None,
    ) -> MixPlan:
        """Draw partners, λs, boxes and masks for a batch like `x` (its batch size, height, width and device).

        Args:
            x: is [B, ...], at least two examples unless the variant is "none"; [B, C, H, W] for all that cut, and for
                uint8; for "cutmix" and "resizemix" also signals [B, C, T], and volumes or videos [B, C, D, H, W]. It
                may hold integers, such as token ids [B, T], where nothing of it is mixed: for "none", and for
                "manifold" without the layer "input".
            y: holds labels, as in a call. Only variants that look at the model need them, class labels [B] or soft
                ones [B, C], for the gradient of their cross entropy; and partners=Near(), floats [B] or [B, C].
            model: is the network, for variants that look at it: it maps images to logits.
            normalize: is the (mean, std) that bring x to what the model takes, as in `MixPlan.apply`; only for these,
                which need it for uint8 images.
            generator: is the source of randomness on x's device, by default the global one.
        """
        self.check(x)
        batch = len(x)
        if y is not None:
            check_labels("y", y, batch, x.device)
        if self.kind.needs_model:
            self._check_model(model, y)
            check_given(x, normalize)
            check_gradients_on()
        generator = _check.generator(generator, x.device)
        partner = self._partners(batch, y, x.device, generator)
        request = Request(
            x=x,
            y=y,
            partner=partner,
            rolled=self.partners == "roll" and self.kind.pairs,
            alpha=self.alpha,
            k=self.k,
            shared_lam=self.shared_lam,
            generator=generator,
            model=model,
            normalize=normalize,
        )
        if self.probability < 1 and not request.chances(self.probability, 1)[0]:
            return unmixed(x)
        plan = self.kind.draw(request)
        return plan.ordered() if self.ordered else plan

    def check(self, x: Tensor, y: Tensor | None = None) -> None:
        """Raise if batches like `x`, with labels like `y`, cannot be mixed by this mixer.

        Their shapes and types count, so they may be on the meta device. Without `y` nothing is said of labels.

        Raises:
            TypeError, ValueError: what `plan` would raise of them, before it draws anything.
        """
        self._check_batch(x)
        self.kind.check(x)
        if y is not None and self.kind.pairs and isinstance(self.partners, Near):
            self.partners.check(y)

    def _check_model(self, model: Any, y: Tensor | None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be a torch.nn.Module that gives logits, since {self.variant!r} looks at its gradients, as "
                f"in mixer(x, y, model=model); got {_check.shown(model)}"
            )
        if y is None:
            raise TypeError(f"y must be given for {self.variant!r}, which looks at the gradient of the loss, got None")

    def _check_batch(self, x: Tensor) -> None:
        wanted = "a tensor whose first axis is the batch"
        if _check.tensor("x", x, wanted).ndim == 0:
            raise ValueError(f"x must be {wanted}, got {_check.shown(x)}")
        if self.kind.takes_volumes:
            if x.ndim not in (3, 4, 5):
                wanted = "images [batch, channels, height, width], or signals or volumes with one axis less or more"
                raise ValueError(f"x must be {wanted}, got {_check.shown(x)}")
        elif (self.kind.takes_images or x.dtype == torch.uint8) and x.ndim != 4:
            raise ValueError(f"x must be images [batch, channels, height, width], got {_check.shown(x)}")
        if x.numel() == 0:
            raise ValueError(f"x must not be empty, got {_check.shown(x)}")
        if x.dtype not in (*FLOATS, torch.uint8):
            self._check_integers(x)
        if self.kind.pairs and len(x) == 1:
            raise ValueError("x must hold at least two examples to mix, got a batch of one; drop a short last batch")
        if self.kind.pairs and self.distinct and self.partners == "reversed" and len(x) % 2:
            raise ValueError(
                f"distinct with partners 'reversed' must have an even batch, got {len(x)} examples: the middle one "
                "would be its own partner"
            )

    def _check_integers(self, x: Tensor) -> None:
        if x.dtype not in (torch.int64, torch.int32) or (self.kind.pairs and not self.kind.mixes_inside):
            raise TypeError(
                "x must be uint8 or float (token ids are not blended: mix what a layer makes of them, as by "
                f"Mixer('manifold', layers=['embedding'])), got {_check.shown(x)}"
            )
        if "input" in self.kind.layers:
            raise ValueError(
                f"layers must not hold 'input' for integers such as token ids, which are not blended, got {self!r}"
            )

    def _partners(
        self, batch: int, y: Tensor | None, device: torch.device, generator: torch.Generator | None
    ) -> Tensor:
        if not self.kind.pairs:
            return torch.arange(batch, device=device)
        if isinstance(self.partners, Near):
            return self.partners.draw(y, distinct=self.distinct, generator=generator)
        if self.partners == "roll":
            return torch.arange(batch, device=device).roll(1)
        if self.partners == "reversed":
            return torch.arange(batch - 1, -1, -1, device=device)
        order = torch.randperm(batch, device=device, generator=generator)
        if not self.distinct:
            return order
        # One random cycle through the whole batch: nobody meets themselves, everybody else is equally likely.
        return torch.empty_like(order).scatter_(0, order, order.roll(1))


def unmixed(x: Tensor) -> MixPlan:
    """A plan that leaves a batch as it is, once: of one that is not to be mixed, or a last batch of one example."""
    return Mixer("none").plan(x)


def check_mixer(value: object, *, or_none: bool = False) -> Mixer:
    """Return `value` if it is a Mixer, and one that does not mix for None where that may be left out."""
    if value is None and or_none:
        return Mixer("none")
    if not isinstance(value, Mixer):
        allowed = "a Mixer or None" if or_none else "a Mixer"
        raise TypeError(f'mixer must be {allowed}, such as mx.Mixer("mixup"), got {_check.shown(value)}')
    return value


def _check_partners(value: object) -> str | Near:
    if isinstance(value, Near):
        return value
    return _check.choice("partners", value, PARTNERS, note=", or mixlab.mixing.Near(bandwidth)")


def _settings(kind: Variant) -> dict[str, Any]:
    return {field.name: getattr(kind, field.name) for field in fields(kind)}


def _make(variant: str, settings: dict[str, Any]) -> Variant:
    """The variant with its settings, each one of those it has."""
    kind = KINDS[variant]
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *_COMMON], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            has = f"one of {', '.join(map(repr, known))}" if known else "none at all"
            raise TypeError(f"settings of {variant!r} must be {has}, got {name!r}{hint}")
    return kind(**settings)
