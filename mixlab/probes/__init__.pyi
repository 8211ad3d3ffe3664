# The public names of this package, each with the file it lives in.
from .attack import Attacked as Attacked
from .attack import fgsm as fgsm
from .attack import pgd as pgd
from .corruption import CORRUPTIONS as CORRUPTIONS
from .corruption import corrupt as corrupt
from .corruption import load_cifar10c as load_cifar10c
from .curvature import Curvature as Curvature
from .curvature import curvature as curvature
from .expansion import Expansion as Expansion
from .expansion import expansion as expansion
from .gradient_change import gradient_change as gradient_change
from .jacobian import jacobian_norm as jacobian_norm
from .landscape import filter_normalized as filter_normalized
from .landscape import loss_on_grid as loss_on_grid
from .linearity import linearity_gap as linearity_gap
from .linearity import prediction_path as prediction_path
from .memorization import memorized as memorized
from .occlusion import occluded as occluded
from .per_image import PerImage as PerImage
from .sharpness import sharpness as sharpness

__all__: list[str]
