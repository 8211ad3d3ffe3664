"""What a network does between and around its examples: how linear, how steep and how curved it is."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
