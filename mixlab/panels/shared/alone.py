"""A panel as HTML that is alive on a page without a kernel, for what the browser computes alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from mixlab.panels.shared.bundle import module

_OURS = ("_esm", "_css", "_still", "_anywidget_id")  # of a widget's values, those that no panel asks for


def alone(saved: Mapping[str, Any], address: bool | Mapping[str, Sequence[float] | Sequence[str]] = False) -> str:
    """The HTML of a panel from what a notebook stores of it, with its own copy of the panel's module.

    Args:
        saved: is one widget of a notebook's `metadata.widgets` or of `ipywidgets.Widget.get_manager_state()`: its
            values under "state", its binary values in base64 under "buffers".
        address: names the values that the page's address follows, as in #alpha=0.4&k=3, and maps each to what it may
            be: the ends of a range, or texts. True is for panels that know this themselves (the atlas panel). A page
            has one such panel; by default the address stays as it is.

    Raises:
        ValueError: `saved` is no panel of mixlab, or one that can do nothing without Python.
    """
    state = saved["state"]
    if "_still" not in state or state.get("_needs_kernel"):
        raise ValueError(
            f"saved must be a panel that needs no kernel, got {state.get('_anywidget_id', 'another widget')}"
        )
    place = f"mixlab-{uuid4().hex}"
    panel = {
        "source": state["_esm"],
        "styles": state["_css"],
        "values": {name: value for name, value in state.items() if name not in _OURS}
        | {"_alone": True, "_address": address is True},
        "bytes": {buffer["path"][0]: buffer["data"] for buffer in saved.get("buffers", ())},
    }
    if isinstance(address, Mapping):
        panel["address"] = {name: list(allowed) for name, allowed in address.items()}
    mount = module("shared/host.js").replace("export default", "const mount =")
    call = f'mount(document.getElementById("{place}"), {json.dumps(panel)});'.replace("</", "<\\/")
    return f'<div id="{place}"></div>\n<script type="module">\n{mount}{call}\n</script>'
