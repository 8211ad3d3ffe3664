"""All panels in one page, a tab for each: what `mixlab app` opens."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import ipywidgets
from torch import nn

import mixlab as mx
from mixlab import panels
from mixlab.calibration.predictions import Predictions
from mixlab.data.dataset import Dataset

_TITLES = {  # short, as eleven tabs share a line
    "law": "Law of λ",
    "mixing": "Two images",
    "training": "Train",
    "calibration": "Calibration",
    "spiral": "Spirals",
    "path": "On the way",
    "surface": "Surface",
    "robustness": "Corruption",
    "puzzle": "Puzzle Mix",
    "eyes": "Your eyes",
    "atlas": "Atlas",
}


class _Parts:
    """What the panels show, made when the first of them asks: data, and two networks trained with and without mixup."""

    @cached_property
    def data(self) -> Dataset:
        return mx.load("auto", train_size=500, test_size=500)

    @cached_property
    def runs(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"epochs": 12, "every": 12, "progress": False}
        return {name: mx.run("quick", self.data, mx.Mixer(name), **settings) for name in ("none", "mixup")}

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {name: run.model for name, run in self.runs.items()}

    @property
    def predictions(self) -> dict[str, Predictions]:
        return {name: run.predictions for name, run in self.runs.items()}

    def panel(self, name: str) -> ipywidgets.DOMWidget:
        make: dict[str, Callable[[], ipywidgets.DOMWidget]] = {
            "law": lambda: panels.lambda_panel(data=self.data),
            "mixing": lambda: panels.mixing_panel(self.data),
            "training": lambda: panels.training_panel(self.data),
            "calibration": lambda: panels.calibration_panel(self.predictions, other="mixup"),
            "spiral": panels.spiral_panel,
            "path": lambda: panels.path_panel(self.networks, self.data),
            "surface": lambda: panels.surface_panel(self.networks, self.data),
            "robustness": lambda: panels.robustness_panel(self.networks, self.data),
            "puzzle": lambda: panels.puzzle_panel(self.data),
            "eyes": lambda: panels.eyes_panel(self.data),
            "atlas": panels.atlas_panel,
        }
        return make[name]()


def dashboard() -> ipywidgets.Tab:
    """The panels that need no notebook around them, a tab for each; a panel is made when its tab is first opened.

    Panels that compare two networks train them once, in half a minute; the run store keeps them. The images are those
    of `mx.load("auto")`.
    """
    parts, names = _Parts(), list(_TITLES)
    tab = ipywidgets.Tab([ipywidgets.VBox() for _ in names], titles=list(_TITLES.values()))

    def opened(change: Any = None) -> None:
        place = tab.selected_index if change is None else change["new"]
        if place is None or tab.children[place].children:
            return
        tab.children[place].children = [ipywidgets.HTML("One moment: what this panel shows is being made.")]
        tab.children[place].children = [parts.panel(names[place])]

    tab.observe(opened, names="selected_index")
    tab.selected_index = 0
    opened()
    return tab
