"""How Sphinx makes the site; `tools/website.py` puts the pages together first, and calls it."""

from collections.abc import Mapping
from typing import Any

import mixlab

SECTIONS = ("Args:", "Returns:", "Raises:", "Attributes:", "Yields:")

project = "mixlab"
release = mixlab.__version__
author = "the authors of mixlab"
project_copyright = "the authors of mixlab; code BSD 3-Clause, lessons CC BY 4.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # the lessons come with their outputs
nb_merge_streams = True
myst_heading_anchors = 3
html_theme = "furo"
html_title = "mixlab: a laboratory for mixup"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("scroll.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # which would fetch pages, and a page from a disk may not
templates_path: list[str] = []
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
# A lesson may go from a second to a fourth heading; several classes have an attribute of one name.
suppress_warnings = ["myst.header", "ref.python"]


def setup(app: Any) -> None:
    """Docstrings are plain text with `code` and indented examples: make them what Sphinx reads, before Napoleon."""
    app.connect("autodoc-process-docstring", readable, priority=400)


def readable(_app: Any, _what: str, _name: str, value: Any, _options: Any, lines: list[str]) -> None:
    """Change the lines of one docstring in place; a mapping of words has these for a docstring."""
    if isinstance(value, Mapping):
        lines[:] = [part for key, words in value.items() for part in (f"``{key}``", f"    {escaped(str(words))}", "")]
        return
    made: list[str] = []
    section = literal = False
    for place, line in enumerate(lines):
        indented, after_blank = line.startswith("    "), place > 0 and not lines[place - 1].strip()
        if line.strip() and not indented:
            section, literal = line in SECTIONS, False
        if indented and after_blank and not section and not literal:
            made += ["::", ""]
            literal = True
        made.append(line if literal else escaped(line))
    lines[:] = made


def escaped(line: str) -> str:
    """Text whose bars and stars mean themselves, and whose code stays code."""
    parts = line.split("`")
    for place in range(0, len(parts), 2):
        parts[place] = parts[place].replace("*", "\\*").replace("|", "\\|")
    return "``".join(parts)
