"""Widgets for the lessons: what follows a drag is drawn in the browser, and Python hears of it at release.

What only Python can draw, the mixing panel's third row and the puzzle panel's masks, is asked for under the drag.
"""

from mixlab._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
