"""Calibration after training: a temperature, a scale and shift of each class, a monotone map of the confidence.

Each is fitted on held-out predictions and then applied to others: `fit_temperature(held_out)(test)`. Where there is
nothing to hold out, `crossfit` calibrates every prediction by a fit that has not seen it.
"""

from .crossfit import crossfit as crossfit
from .isotonic import Isotonic as Isotonic
from .isotonic import fit_isotonic as fit_isotonic
from .temperature import Temperature as Temperature
from .temperature import at_temperature as at_temperature
from .temperature import fit_temperature as fit_temperature
from .vector_scaling import VectorScaling as VectorScaling
from .vector_scaling import fit_vector_scaling as fit_vector_scaling
