"""Widgets for the lessons: what follows a drag is drawn in the browser, and Python hears of it at release.

What only Python can draw, the mixing panel's third row and the puzzle panel's masks, is asked for under the drag.
"""

from importlib import import_module
from typing import Any

# No module here may bear the name of a function: importing it would put the module in the function's place.
_HOMES = {
    "calibration_panel": "calibration",
    "lambda_panel": "lambdas",
    "mixing_panel": "mixing",
    "puzzle_panel": "puzzle",
    "spiral_panel": "spirals",
    "training_panel": "training",
}
__all__ = ["calibration_panel", "lambda_panel", "mixing_panel", "puzzle_panel", "spiral_panel", "training_panel"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
