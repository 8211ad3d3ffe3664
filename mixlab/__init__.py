"""mixlab: a laboratory for mixup. Blend, sample, train and calibrate; every claim measured in front of you."""

from mixlab._lazy import attach

__version__ = "0.1.0"

# The public names stand in `__init__.pyi`, once, for this file, for editors and for type checkers (SPEC 1).
__getattr__, __dir__, __all__ = attach(__name__, __file__)
