"""mixlab: a laboratory for mixup. Blend, sample, train and calibrate; every claim measured in front of you."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixlab.gradients import saliency
from mixlab.hidden import hidden_mixing, mixed_logits, mixed_loss
from mixlab.losses import mixed_cross_entropy
from mixlab.mixing import PARTNERS, Mixed, Mixer
from mixlab.plans import MixPlan
from mixlab.sampling import LambdaMoments, lambda_moments, lambda_pdf, sample_lambda
from mixlab.variants import VARIANTS

if TYPE_CHECKING:
    from mixlab import models, panels, recipes, schedules
    from mixlab.batches import MixCollate, MixTransform
    from mixlab.calibration import Reliability
    from mixlab.checking import check
    from mixlab.data import Dataset, Split, load
    from mixlab.diagrams import plot_bins, plot_calibration, plot_confidence, plot_murphy, plot_rejection, plot_smooth
    from mixlab.estimators import ESTIMATORS, estimate, estimates
    from mixlab.human import load_human
    from mixlab.intervals import Interval, mean_interval
    from mixlab.keeping.durable import Run, Runs, run, runs
    from mixlab.keeping.store import StoreError
    from mixlab.keeping.sweeping import sweep
    from mixlab.plots import picture, plot_history, plot_intervals, plot_lambda, plot_mixed, plot_reliability
    from mixlab.predictions import Predictions
    from mixlab.rescaling import refreshed_batchnorm, rescaled
    from mixlab.temperature import crossfit, fit_isotonic, fit_temperature, fit_vector_scaling
    from mixlab.training import Record, Trainer, fit, predict
    from mixlab.variance import GradientVariance, Scheme, gradient_variance

__version__ = "0.1.0"

# What needs more than torch is imported when it is first asked for (PEP 562).
_LAZY = {
    "Dataset": "data",
    "ESTIMATORS": "estimators",
    "GradientVariance": "variance",
    "Interval": "intervals",
    "MixCollate": "batches",
    "MixTransform": "batches",
    "Predictions": "predictions",
    "Record": "training",
    "Reliability": "calibration",
    "Run": "keeping.durable",
    "Runs": "keeping.durable",
    "Scheme": "variance",
    "Split": "data",
    "StoreError": "keeping.store",
    "Trainer": "training",
    "check": "checking",
    "crossfit": "temperature",
    "estimate": "estimators",
    "estimates": "estimators",
    "fit": "training",
    "fit_isotonic": "temperature",
    "fit_temperature": "temperature",
    "fit_vector_scaling": "temperature",
    "gradient_variance": "variance",
    "load": "data",
    "load_human": "human",
    "mean_interval": "intervals",
    "picture": "plots",
    "plot_bins": "diagrams",
    "plot_calibration": "diagrams",
    "plot_confidence": "diagrams",
    "plot_history": "plots",
    "plot_intervals": "plots",
    "plot_lambda": "plots",
    "plot_mixed": "plots",
    "plot_murphy": "diagrams",
    "plot_rejection": "diagrams",
    "plot_reliability": "plots",
    "plot_smooth": "diagrams",
    "predict": "training",
    "refreshed_batchnorm": "rescaling",
    "rescaled": "rescaling",
    "run": "keeping.durable",
    "runs": "keeping.durable",
    "sweep": "keeping.sweeping",
}
_LAZY_MODULES = ("models", "panels", "recipes", "schedules")

__all__ = [
    "ESTIMATORS",
    "PARTNERS",
    "VARIANTS",
    "Dataset",
    "GradientVariance",
    "Interval",
    "LambdaMoments",
    "MixCollate",
    "MixPlan",
    "MixTransform",
    "Mixed",
    "Mixer",
    "Predictions",
    "Record",
    "Reliability",
    "Run",
    "Runs",
    "Scheme",
    "Split",
    "StoreError",
    "Trainer",
    "check",
    "crossfit",
    "estimate",
    "estimates",
    "fit",
    "fit_isotonic",
    "fit_temperature",
    "fit_vector_scaling",
    "gradient_variance",
    "hidden_mixing",
    "lambda_moments",
    "lambda_pdf",
    "load",
    "load_human",
    "mean_interval",
    "mixed_cross_entropy",
    "mixed_logits",
    "mixed_loss",
    "models",
    "panels",
    "picture",
    "plot_bins",
    "plot_calibration",
    "plot_confidence",
    "plot_history",
    "plot_intervals",
    "plot_lambda",
    "plot_mixed",
    "plot_murphy",
    "plot_rejection",
    "plot_reliability",
    "plot_smooth",
    "predict",
    "recipes",
    "refreshed_batchnorm",
    "rescaled",
    "run",
    "runs",
    "saliency",
    "sample_lambda",
    "schedules",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f"mixlab.{_LAZY[name]}"), name)
    elif name in _LAZY_MODULES:
        value = import_module(f"mixlab.{name}")
    else:
        raise AttributeError(f"module 'mixlab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
