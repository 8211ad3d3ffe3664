"""JupyterLab applies the settings of binder/overrides.json."""

import json

from laboratory import Lab
from paths import ROOT


def test_jupyterlab_takes_the_overrides(jupyterlab: Lab) -> None:
    """In the schema that the page reads. The setup of `make lab` wrote the file into this environment."""
    for name, changed in json.loads((ROOT / "binder" / "overrides.json").read_text()).items():
        schema = json.loads(jupyterlab.get(f"lab/api/settings/{name}"))["schema"]["properties"]
        assert {key: schema[key]["default"] for key in changed} == changed
