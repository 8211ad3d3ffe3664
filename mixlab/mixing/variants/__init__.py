"""The variants of mixing, one file each. A new one is a file here and a line in KINDS."""

from mixlab.mixing.variants.cutmix import CutMix
from mixlab.mixing.variants.inputonly import InputOnly
from mixlab.mixing.variants.manifold import Manifold
from mixlab.mixing.variants.mit import MIT
from mixlab.mixing.variants.mixup import Mixup
from mixlab.mixing.variants.none import NoMixing
from mixlab.mixing.variants.patchmix import PatchMix
from mixlab.mixing.variants.perturbed import Perturbed
from mixlab.mixing.variants.puzzle.puzzle_mix import Puzzle
from mixlab.mixing.variants.regmixup import RegMixup
from mixlab.mixing.variants.resizemix import ResizeMix
from mixlab.mixing.variants.saliencymix import SaliencyMix
from mixlab.mixing.variants.variant import Request, Variant

_ALL = (
    NoMixing,
    Mixup,
    CutMix,
    SaliencyMix,
    ResizeMix,
    PatchMix,
    Manifold,
    Puzzle,
    RegMixup,
    InputOnly,
    MIT,
    Perturbed,
)
KINDS: dict[str, type[Variant]] = {kind.name: kind for kind in _ALL}
VARIANTS = {name: kind.about for name, kind in KINDS.items()}

__all__ = ["KINDS", "VARIANTS", "Request", "Variant"]
