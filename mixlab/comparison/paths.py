"""Where a page goes."""

import os
from pathlib import Path
from typing import Any

from mixlab import _check


def page_path(page: Any) -> Path:
    """The path of an HTML file in a folder that exists."""
    if not isinstance(page, (str, os.PathLike)):
        raise TypeError(f"page must be the path of an HTML file, got {_check.shown(page)}")
    path = Path(page).expanduser()
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"page must be a file in a folder that exists, got {str(path)!r}")
    return path
