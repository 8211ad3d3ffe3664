# The public names of this package, each with the file it lives in.
from .atlas_panel.atlas_panel import atlas_panel as atlas_panel
from .blend_panel.blend_panel import blend_panel as blend_panel
from .calibration_panel.calibration_panel import calibration_panel as calibration_panel
from .dashboard import dashboard as dashboard
from .eyes_panel.eyes_panel import eyes_panel as eyes_panel
from .lambda_panel.lambda_panel import lambda_panel as lambda_panel
from .mixing_panel.mixing_panel import mixing_panel as mixing_panel
from .path_panel.path_panel import path_panel as path_panel
from .puzzle_panel.puzzle_panel import puzzle_panel as puzzle_panel
from .robustness_panel.robustness_panel import robustness_panel as robustness_panel
from .spiral_panel.spiral_panel import spiral_panel as spiral_panel
from .surface_panel.surface_panel import surface_panel as surface_panel
from .training_panel.training_panel import training_panel as training_panel
from .variance_panel.variance_panel import variance_panel as variance_panel

__all__: list[str]
