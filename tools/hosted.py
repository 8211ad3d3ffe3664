"""Copies of the lessons for Colab and Kaggle: `python tools/hosted.py`, run by `make hosted`.

Each begins with a cell that installs mixlab where it is missing, which the lessons themselves need not: `make lab` and
Binder have it. The site's workflow puts the copies on a branch of their own, to which the links lead.
"""

from pathlib import Path
from typing import Any

import nbformat
from addresses import REPOSITORY

COPIES = Path(__file__).resolve().parent.parent / "build" / "hosted"
# Both hosts have torch, matplotlib, scikit-learn and SciPy. Colab shows other widgets than its own when it is told to.
INSTALL = f"""# Colab and Kaggle begin without mixlab: this installs it, in about a minute.
import sys
from importlib.util import find_spec

if find_spec("mixlab") is None:
    %pip install -q "mixlab[hub,cluster] @ git+{REPOSITORY}" anywidget relplot
if "google.colab" in sys.modules:
    from google.colab import output

    output.enable_custom_widget_manager()"""


def main() -> None:
    """Write a copy of each lesson."""
    COPIES.mkdir(parents=True, exist_ok=True)
    for path in sorted((COPIES.parents[1] / "notebooks").glob("*.ipynb")):
        nbformat.write(hosted_copy(nbformat.read(path, 4)), COPIES / path.name)
        print(COPIES / path.name)


def hosted_copy(notebook: Any) -> Any:
    """The notebook with the cell that installs mixlab before all others; changed in place."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell(INSTALL, id="install"))
    return notebook


if __name__ == "__main__":
    main()
