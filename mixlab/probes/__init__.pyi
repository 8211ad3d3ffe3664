# The public names of this package, each with the file it lives in.
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
from .per_image import PerImage as PerImage
from .sharpness import sharpness as sharpness

__all__: list[str]
