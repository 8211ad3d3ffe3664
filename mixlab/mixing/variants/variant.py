"""What every variant of mixing is: a name, a line about it, its own settings, and how it draws a plan for a batch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixlab.mixing.beta import sample_lambda
from mixlab.mixing.normalize import Statistics
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.ways import Blend, Way


@dataclass(frozen=True, eq=False)
class Request:
    """A batch to be mixed, as a Mixer hands it to its variant, checked.

    Attributes:
        x: is the batch [B, ...], on the device where everything is drawn.
        y: holds labels, class labels [B] or soft ones [B, C] for variants that look at the model, or is None where the
            caller gave none.
        partner: says in int64 [B] whom each example is mixed with; itself if the variant has no pairs.
        rolled: says that partner[i] is (i − 1) mod B.
        alpha, k, shared_lam: are the Mixer's settings.
        generator: is the source of randomness on x's device, or None for the global one.
        model: is the network to be trained, for variants that look at it; else None.
        normalize: is the (mean, std) that bring x to what the model takes; None where x is so already.
    """

    x: Tensor
    y: Tensor | None
    partner: Tensor
    rolled: bool
    alpha: float
    k: int
    shared_lam: bool
    generator: torch.Generator | None
    model: nn.Module | None
    normalize: Statistics | None

    @property
    def places(self) -> tuple[int, int]:
        """[K, B], or [K, 1] where the batch shares its draws."""
        return self.k, 1 if self.shared_lam else len(self.x)

    @property
    def model_and_labels(self) -> tuple[nn.Module, Tensor]:
        """(model, y), for variants with `needs_model`: the Mixer has made sure of both."""
        assert self.model is not None
        assert self.y is not None
        return self.model, self.y

    def lambdas(self, *more: int) -> Tensor:
        """λ ~ Beta(alpha, alpha), float32 [*more, K, B]."""
        lam = sample_lambda(self.alpha, (*more, *self.places), device=self.x.device, generator=self.generator)
        return lam.expand(*more, self.k, len(self.x))

    def uniform(self, *more: int) -> Tensor:
        """Uniform numbers in [0, 1), float64 [K, B or 1, *more]."""
        shape = (*self.places, *more)
        return torch.rand(shape, dtype=torch.float64, device=self.x.device, generator=self.generator)

    def plan(self, name: str, lam: Tensor, nominal: Tensor, way: Way | None = None, **more: Any) -> MixPlan:
        """The plan of the variant `name` for this batch: λs of labels, λs as drawn, and how to mix (default: blend)."""
        return MixPlan.drawn(
            variant=name,
            partner=self.partner,
            lam=lam,
            nominal=nominal,
            way=Blend() if way is None else way,
            rolled=self.rolled,
            channels=self.x.shape[1] if self.x.ndim == 4 else None,
            **more,
        )

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float64 of this shape."""
        return torch.randn(shape, dtype=torch.float64, device=self.x.device, generator=self.generator)

    def pick(self, count: int) -> int:
        """One of `count` places, uniformly, for the whole batch."""
        device, generator = host_stream(self.x.device, self.generator)
        return int(torch.randint(count, (), device=device, generator=generator))

    def chances(self, probability: float, count: int) -> list[bool]:
        """`count` events of this probability, for the whole batch."""
        device, generator = host_stream(self.x.device, self.generator)
        happens: list[bool] = (torch.rand(count, device=device, generator=generator) < probability).tolist()
        return happens


@dataclass(frozen=True)
class Variant(ABC):
    """A way of mixing. Its dataclass fields are settings of its own, checked when it is made.

    Attributes:
        name: is its key in VARIANTS.
        about: is one line for menus, with its paper.
        pairs: it mixes each example with a partner.
        takes_alpha: it draws λ ~ Beta(alpha, alpha), or from a law that follows from it.
        takes_images: it needs [B, C, H, W]; otherwise any [B, ...] will do.
        takes_volumes: it takes signals [B, C, T] and volumes [B, C, D, H, W] as well as images.
        needs_model: it looks at the network, and at the labels, before it mixes.
        mixes_inside: it mixes hidden states, so that a batch cannot be mixed before the network sees it.
        label_follows_pixels: the λ of its labels is the mean share of the example's own pixels.
        decouples: its logits are solved for those of the images before the loss (see `MixPlan.decoupled`).
        two_labels: a mix has no labels but the example's and its partner's.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    pairs: ClassVar[bool] = True
    takes_alpha: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    takes_volumes: ClassVar[bool] = False
    needs_model: ClassVar[bool] = False
    mixes_inside: ClassVar[bool] = False
    label_follows_pixels: ClassVar[bool] = True
    decouples: ClassVar[bool] = False
    two_labels: ClassVar[bool] = True

    @property
    def layers(self) -> Sequence[str]:
        """Where it mixes hidden states."""
        return ()

    @staticmethod
    def rows(k: int) -> int:
        """How many mixes of each example its plans hold where the Mixer's K is `k`."""
        return k

    @classmethod
    def forwards(cls, k: int) -> int:
        """How many times the model runs for each example of a batch: once a mix, and once more to look at it first."""
        return cls.rows(k) + cls.needs_model

    def check(self, x: Tensor) -> None:  # noqa: B027  # most variants take any batch
        """Raise if these settings do not fit the batch, before anything is drawn. `x` is images if it must be."""

    @abstractmethod
    def draw(self, ask: Request) -> MixPlan:
        """Decide λs, and boxes or masks, for one batch."""


def host_stream(device: torch.device, generator: torch.Generator | None) -> tuple[torch.device, torch.Generator | None]:
    """Where, and from what, to draw a number that Python must know before it goes on.

    On a CPU it is the generator itself. CUDA would have to be waited for, with all that it has still to do; but its
    generators keep their seed and their place in the stream on the host. So the draw is made there, by a generator that
    is seeded with a hash of these, and the one on CUDA goes on by a place: equal states give equal draws, and later
    ones others.
    """
    if device.type != "cuda":
        return device, generator
    state = torch.cuda.get_rng_state(device) if generator is None else generator.get_state()
    seed = int.from_bytes(blake2b(bytes(state.tolist()), digest_size=8).digest(), "little")
    torch.rand((), device=device, generator=generator)
    host = torch.device("cpu")
    return host, torch.Generator(host).manual_seed(seed)
