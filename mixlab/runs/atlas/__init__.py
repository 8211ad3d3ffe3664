"""The atlas: some hundred finished runs in one file, to be looked at without training any of them."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
