"""Data sets as uint8 tensors: CIFAR-10 and CIFAR-100, and Shapes, drawn without a network."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
