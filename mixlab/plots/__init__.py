"""Figures: `plot_...(result, ax=None) -> ax`; the numbers come from elsewhere."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
