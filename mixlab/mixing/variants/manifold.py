"""Manifold mixup: mixup of the hidden states of one layer, drawn anew for each batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixlab import _check
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant


@dataclass(frozen=True)
class Manifold(Variant):
    """Verma et al., "Manifold Mixup", ICML 2019, equation 1 and the layers of its official code.

    Args:
        layers: says where to mix: "input", or names of modules as `model.named_modules()` has them; one is drawn
            uniformly for each batch. The default fits the nets of `mixlab.models`.

    Raises:
        TypeError, ValueError: no layers, one twice, or something that is no name.
    """

    layers: Sequence[str] = ("input", "stage1", "stage2")

    name = "manifold"
    about = "hidden states blended, at a layer drawn for each batch (Verma et al., 2019)"
    takes_images = False
    mixes_inside = True

    def __post_init__(self) -> None:
        wanted = "layers must be a list of 'input' and names of modules, at least one and none twice"
        if isinstance(self.layers, str) or not isinstance(self.layers, Sequence):
            raise TypeError(f"{wanted}, got {_check.shown(self.layers)}")
        if not all(isinstance(layer, str) and layer for layer in self.layers):
            raise TypeError(f"{wanted}, got {_check.shown(self.layers)}")
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"{wanted}, got {_check.shown(self.layers)}")
        object.__setattr__(self, "layers", tuple(self.layers))

    def draw(self, ask: Request) -> MixPlan:
        """The layer, and λs."""
        layer = self.layers[ask.pick(len(self.layers))]
        lam = ask.lambdas()
        return ask.plan(self.name, lam, lam, layer=layer)
