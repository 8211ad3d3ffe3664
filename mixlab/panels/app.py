"""`mixlab app`: the dashboard, served by Voila on this machine, without a request to any other."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_CELL = {"cell_type": "code", "source": "from mixlab import panels\n\npanels.dashboard()"}
_EMPTY: dict[str, object] = {"metadata": {}, "outputs": [], "execution_count": None}
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
_NOTEBOOK = {"cells": [_CELL | _EMPTY], "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 4}
# Voila's own page asks a content network for a font of icons. This one is the same without: it calls what that one
# extends, and has no icons.
_PAGE = """{%- extends 'voila/templates/lab/index.html.j2' -%}
{% import "spinner.macro.html.j2" as spinner %}
{%- block notebook_css -%}
{{ resources.include_js("static/voila-style.js") }}
{{ spinner.css() }}
<style>.jp-mod-noOutputs.jp-mod-noInput { display: none }</style>
{{ super.super() }}
{%- endblock notebook_css -%}
"""


def serve(port: int, *, browser: bool) -> int:
    """Serve the dashboard on this port until it is stopped, and open a browser on it if asked; Voila's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        notebook, template = Path(folder, "mixlab.ipynb"), Path(folder, "voila", "templates", "mixlab")
        notebook.write_text(json.dumps(_NOTEBOOK), "utf-8")
        template.mkdir(parents=True)
        (template / "index.html.j2").write_text(_PAGE, "utf-8")
        (template / "conf.json").write_text('{"base_template": "lab"}', "utf-8")
        words = [sys.executable, "-m", "voila", str(notebook), f"--port={port}", "--theme=light", "--template=mixlab"]
        paths = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        try:
            return subprocess.run(  # noqa: S603
                [*words, *([] if browser else ["--no-browser"])], check=False, env=os.environ | {"JUPYTER_PATH": paths}
            ).returncode
        except KeyboardInterrupt:
            return 130
