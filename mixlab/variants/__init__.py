"""The variants of mixing, one file each. A new one is a file here and a line in KINDS."""

from mixlab.variants.cutmix import CutMix
from mixlab.variants.inputonly import InputOnly
from mixlab.variants.manifold import Manifold
from mixlab.variants.mit import MIT
from mixlab.variants.mixup import Mixup
from mixlab.variants.none import NoMixing
from mixlab.variants.perturbed import Perturbed
from mixlab.variants.puzzle import Puzzle
from mixlab.variants.regmixup import RegMixup
from mixlab.variants.resizemix import ResizeMix
from mixlab.variants.saliencymix import SaliencyMix
from mixlab.variants.variant import Request, Variant

_ALL = (NoMixing, Mixup, CutMix, SaliencyMix, ResizeMix, Manifold, Puzzle, RegMixup, InputOnly, MIT, Perturbed)
KINDS: dict[str, type[Variant]] = {kind.name: kind for kind in _ALL}
VARIANTS = {name: kind.about for name, kind in KINDS.items()}

__all__ = ["KINDS", "VARIANTS", "Request", "Variant"]
