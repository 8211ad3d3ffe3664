"""Which mixing to use on your own data: a small grid over seeds, compared with intervals, and a page that says so."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
