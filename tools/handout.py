"""Lessons as pages to hand out: `python tools/handout.py [lesson ...]`, run by `make handout`.

Each lesson is run once, and what its panels would train for a reader is trained and recorded. Its page holds every
picture, keeps alive what the panels do without a kernel, replays their trainings, shows the others as pictures, and
fetches nothing from a network.
"""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from mixlab.panels.shared.alone import alone
from mixlab.panels.shared.panel import REVIVE

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "handout"
CELL_SECONDS = 1800
RECORD = "from mixlab.panels.shared.running import RunPanel\nfor panel in RunPanel.idle():\n    panel.record()"
IN_TAB_ORDER = ' tabindex="0"'  # of every cell and output, so that a panel would be dozens of keys away
NEEDS_KERNEL = "This panel needs a kernel: open the lesson in JupyterLab."
WIDGET = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
FORMULA = re.compile(r"`[^`]*`|\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)
FETCHED = re.compile(r"<(?:script|link)\b[^>]*\b(?:src|href)=\"https?:[^>]*>(?:\s*</script>)?")


def main(wanted: list[str]) -> None:
    """Write the pages of the lessons whose file names begin with one of `wanted`, or of all."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if not wanted or path.name.startswith(tuple(wanted)):
            print(f"{path.stem}: running", flush=True)
            page = PAGES / f"{path.stem}.html"
            page.write_text(html_of(executed(path)), "utf-8")
            print(f"{path.stem}: {page}, {page.stat().st_size / 1e6:.1f} MB", flush=True)


def executed(path: Path) -> Any:
    """The notebook after a run from top to bottom, with the state of its widgets, their trainings recorded."""
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(RECORD))
    NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(path.parent)}}).execute()
    del notebook.cells[-1]
    return notebook


def html_of(notebook: Any) -> str:
    """One page, complete in itself."""
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    page, _ = exporter.from_notebook_node(without_kernel(notebook))
    return FETCHED.sub("", page).replace(IN_TAB_ORDER, "")


def without_kernel(notebook: Any) -> Any:
    """The notebook as pages show it: formulas as MathML, panels alive if they can be, else as pictures."""
    states = notebook.metadata.get("widgets", {}).get(STATES, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(_mathml, cell.source)
        else:
            cell.outputs = _without_kernel(cell.outputs, states)
    notebook.metadata.pop("widgets", None)
    return notebook


def _mathml(match: re.Match[str]) -> str:
    """A formula as MathML, which browsers draw by themselves; code as it is."""
    formula = match["display"] or match["inline"]
    return convert(formula, display="block" if match["display"] else "inline") if formula else match[0]


def _without_kernel(outputs: list[Any], states: dict[str, Any]) -> list[Any]:
    """The outputs, with each widget alive if it can be, else left out: its picture follows it."""
    kept: list[Any] = []
    replaced = None  # the name of a picture whose panel is alive
    for output in outputs:
        data = output.get("data", {})
        if WIDGET not in data:
            page = str(data.get("text/html", ""))
            if replaced is None or replaced not in page:
                if REVIVE in page:
                    data["text/html"] = page.replace(REVIVE, NEEDS_KERNEL)
                kept.append(output)
            continue
        saved = states.get(data[WIDGET]["model_id"], {"state": {}})
        if "_still" in saved["state"] and not saved["state"]["_needs_kernel"]:
            replaced = saved["state"]["_still"]
            kept.append(nbformat.v4.new_output("display_data", {"text/html": alone(saved)}))
    return kept


if __name__ == "__main__":
    main(sys.argv[1:])
