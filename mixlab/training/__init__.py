"""Training small networks live, and what is done to a network at test time."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
