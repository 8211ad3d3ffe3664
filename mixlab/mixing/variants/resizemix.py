"""ResizeMix: the partner's whole image, made small, pasted in."""

from dataclasses import dataclass

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.cutmix import box_plan
from mixlab.mixing.variants.variant import Request, Variant

_SMALLEST, _LARGEST = 0.1, 0.8


@dataclass(frozen=True)
class ResizeMix(Variant):
    """Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", arXiv 2012.11101.

    The box has τ ~ U(0.1, 0.8) of the image's sides, a uniform center, and is clipped at the border; the whole partner
    is shrunk into what is left of it, to the nearest pixel. λ = 1 − the share of pixels in the box. The Mixer's alpha
    has no part in it: the nominal λ is 1 − τ².
    """

    name = "resizemix"
    about = "the partner's whole image shrunk into a box; λ is the share of pixels kept (Qin et al., 2020)"
    takes_alpha = False

    def draw(self, ask: Request) -> MixPlan:
        """Sides of τ, about a uniform center."""
        share = (_SMALLEST + (_LARGEST - _SMALLEST) * ask.uniform()).expand(ask.k, len(ask.x))
        nominal = (1 - share.square()).float()
        return box_plan(self.name, ask, nominal, share, ask.uniform(2), shrunk=True)
