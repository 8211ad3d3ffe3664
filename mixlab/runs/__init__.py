"""Runs that are kept: named by what determines them, stored whole or not at all, and swept over a grid."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
