"""The variants of mixing, one file each. A new one is a file here and a line in KINDS."""

from mixlab.variants.cutmix import CutMix
from mixlab.variants.manifold import Manifold
from mixlab.variants.mixup import Mixup
from mixlab.variants.none import NoMixing
from mixlab.variants.puzzle import Puzzle
from mixlab.variants.resizemix import ResizeMix
from mixlab.variants.saliencymix import SaliencyMix
from mixlab.variants.variant import Request, Variant

KINDS: dict[str, type[Variant]] = {
    kind.name: kind for kind in (NoMixing, Mixup, CutMix, SaliencyMix, ResizeMix, Manifold, Puzzle)
}
VARIANTS = {name: kind.about for name, kind in KINDS.items()}

__all__ = ["KINDS", "VARIANTS", "Request", "Variant"]
