"""Other data than images: a file each for its data, a small network, and what of it may be mixed."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
