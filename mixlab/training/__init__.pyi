# The public names of this package, each with the file it lives in.
from .at_test_time import rescaled as rescaled
from .batchnorm import refreshed_batchnorm as refreshed_batchnorm
from .flatness import class_singular_values as class_singular_values
from .gradient_variance import GradientVariance as GradientVariance
from .gradient_variance import Scheme as Scheme
from .loop import fill as fill
from .options import TrainOptions as TrainOptions
from .recipes import RECIPES as RECIPES
from .recipes import Recipe as Recipe
from .record import Record as Record
from .spiral_trainer import REACH as REACH
from .spiral_trainer import SpiralRecord as SpiralRecord
from .spiral_trainer import SpiralTrainer as SpiralTrainer
from .trainer import Trainer as Trainer

__all__: list[str]
