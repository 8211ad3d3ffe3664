"""Does a classifier that says 0.8 hold true in 80% of such cases? Estimators with intervals, and repair."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
