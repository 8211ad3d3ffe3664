"""The ledger: the checkable sentences of the papers on mixup, each with the verdict that recorded runs come to."""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
