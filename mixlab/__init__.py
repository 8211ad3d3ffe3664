"""mixlab: a laboratory for mixup. Blend, sample, train and calibrate; every claim measured in front of you."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixlab.losses import mixed_cross_entropy
from mixlab.mixing import PARTNERS, Mixed, Mixer
from mixlab.plans import VARIANTS, MixPlan
from mixlab.sampling import LambdaMoments, lambda_moments, lambda_pdf, sample_lambda

if TYPE_CHECKING:
    from mixlab import models, panels
    from mixlab.calibration import Reliability
    from mixlab.checking import check
    from mixlab.data import Dataset, Split, load
    from mixlab.intervals import Interval, mean_interval
    from mixlab.plots import picture, plot_history, plot_lambda, plot_mixed, plot_reliability
    from mixlab.training import Record, Trainer, fit

__version__ = "0.1.0"

# What needs more than torch is imported when it is first asked for (PEP 562).
_LAZY = {
    "Dataset": "data",
    "Reliability": "calibration",
    "Split": "data",
    "check": "checking",
    "Interval": "intervals",
    "load": "data",
    "mean_interval": "intervals",
    "picture": "plots",
    "plot_history": "plots",
    "plot_lambda": "plots",
    "plot_mixed": "plots",
    "plot_reliability": "plots",
    "Record": "training",
    "Trainer": "training",
    "fit": "training",
}
_LAZY_MODULES = ("models", "panels")

__all__ = [
    "PARTNERS",
    "VARIANTS",
    "Dataset",
    "Interval",
    "LambdaMoments",
    "MixPlan",
    "Mixed",
    "Mixer",
    "Record",
    "Reliability",
    "Split",
    "Trainer",
    "check",
    "fit",
    "lambda_moments",
    "lambda_pdf",
    "load",
    "mean_interval",
    "mixed_cross_entropy",
    "models",
    "panels",
    "picture",
    "plot_history",
    "plot_lambda",
    "plot_mixed",
    "plot_reliability",
    "sample_lambda",
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
