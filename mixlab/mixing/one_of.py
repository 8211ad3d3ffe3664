"""One of several mixers, drawn for each batch."""

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant, host_stream

_ANY = ("pairs", "takes_alpha", "takes_images", "needs_model", "mixes_inside", "decouples")
_ALL = ("label_follows_pixels", "two_labels")


class OneOf(Mixer):
    """Several mixers, one of which is drawn for each batch: it stands wherever a Mixer does.

        mixer = OneOf([Mixer("mixup", 0.2), Mixer("cutmix")], weights=[1, 3])

    A plan is the one that the mixer drawn would have made, and `plan.variant` says which. The draw is from the same
    generator, before all else. What any of the mixers needs, such as a model, is needed for every batch.

    Args:
        mixers: are at least one Mixer each, or further OneOfs.
        weights: are numbers in proportion to which they are drawn, at least 0, one for each; None draws them equally.

    Attributes:
        k: is the most mixes of an example that one of them makes.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; the message names it.
    """

    def __init__(self, mixers: Sequence[Mixer], weights: Sequence[float] | None = None) -> None:
        super().__init__("none")
        self.variant = "one_of"
        self.kind = self._choice = Choice(*_checked(mixers, weights))
        self.k = max(mixer.kind.rows(mixer.k) for mixer in self._choice.mixers)

    def __repr__(self) -> str:
        weights = "" if self._choice.weights is None else f", weights={list(self._choice.weights)}"
        return f"OneOf({list(self._choice.mixers)}{weights})"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything it was made with."""
        return {"mixers": self._choice.mixers, "weights": self._choice.weights}

    @property
    def forwards(self) -> float:
        """How many times the model runs for each example, on average over batches."""
        mixers, weights = self._choice.mixers, self._choice.weights or [1.0] * len(self._choice.mixers)
        return sum(w * mixer.forwards for w, mixer in zip(weights, mixers, strict=True)) / sum(weights)

    def check(self, x: Tensor, y: Tensor | None = None) -> None:
        """Raise if one of them cannot mix such batches."""
        for mixer in self._choice.mixers:
            mixer.check(x, y)

    def _partners(
        self,
        batch: int,
        y: Tensor | None,  # noqa: ARG002
        device: torch.device,
        generator: torch.Generator | None,  # noqa: ARG002
    ) -> Tensor:
        return torch.arange(batch, device=device)  # the mixer that is drawn draws them


@dataclass(frozen=True)
class Choice(Variant):
    """A draw among mixers, as a variant: it is whatever one of them is."""

    mixers: tuple[Mixer, ...]
    weights: tuple[float, ...] | None

    name = "one_of"
    about = "one of several mixers, drawn for each batch"

    def __post_init__(self) -> None:
        for names, combined in ((_ANY, any), (_ALL, all)):
            for name in names:
                object.__setattr__(self, name, combined(getattr(mixer.kind, name) for mixer in self.mixers))
        volumes = all(mixer.kind.takes_volumes or not mixer.kind.takes_images for mixer in self.mixers)
        object.__setattr__(self, "takes_volumes", self.takes_images and volumes)

    @property
    def layers(self) -> Sequence[str]:
        """Where one of them mixes hidden states."""
        return tuple(dict.fromkeys(layer for mixer in self.mixers for layer in mixer.kind.layers))

    def draw(self, ask: Request) -> MixPlan:
        """The mixer, and its plan."""
        device, generator = host_stream(ask.x.device, ask.generator)
        place = float(torch.rand((), dtype=torch.float64, device=device, generator=generator))
        edges = list(accumulate(self.weights or [1.0] * len(self.mixers)))
        mixer = self.mixers[bisect(edges, place * edges[-1])]
        return mixer.plan(ask.x, ask.y, model=ask.model, normalize=ask.normalize, generator=ask.generator)


def _checked(mixers: object, weights: object) -> tuple[tuple[Mixer, ...], tuple[float, ...] | None]:
    if not isinstance(mixers, (list, tuple)):
        raise TypeError(f"mixers must be a list of Mixers, got {_check.shown(mixers)}")
    if not mixers:
        raise ValueError(f"mixers must be a list of Mixers, at least one, got {mixers!r}")
    those = tuple(check_mixer(mixer) for mixer in mixers)
    if weights is None:
        return those, None
    wanted = f"weights must be None or a list of {len(those)} numbers of at least 0, not all of them 0"
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"{wanted}, got {_check.shown(weights)}")
    numbers = tuple(_check.number("weights", weight, 0, math.inf) for weight in weights)
    if len(numbers) != len(those) or not 0 < sum(numbers) < math.inf:
        raise ValueError(f"{wanted}, got {_check.shown(weights)}")
    return those, numbers
