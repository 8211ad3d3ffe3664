"""Mixing a batch: the law of λ, every variant, plans, hidden states, losses."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
