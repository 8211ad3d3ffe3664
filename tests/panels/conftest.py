"""Panels that tests make, closed afterwards, and what a notebook would show of them."""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from panel_runs import few, linear, no_training_left

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.panels.shared import panel as shared
from mixlab.panels.shared import running

__all__ = ["no_training_left"]


@pytest.fixture(scope="session")
def data() -> Dataset:
    return few()


@pytest.fixture
def open_panel() -> Iterator[Callable[..., Any]]:
    """Makes a panel by a function of `mx.panels`, and closes it after the test."""
    panels = []

    def build(make: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        panels.append(make(*arguments, **settings))
        return panels[-1]

    yield build
    for panel in panels:
        panel.close()


@pytest.fixture
def make(open_panel: Callable[..., Any], data: Dataset) -> Callable[..., Any]:
    """Makes a training panel of tiny runs."""

    def build(model: Any = linear, **settings: Any) -> Any:
        return open_panel(mx.panels.training_panel, data, model=model, **{"images": 20, "epochs": 2} | settings)

    return build


@pytest.fixture
def make_spirals(open_panel: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a spiral panel of short runs."""
    return partial(open_panel, mx.panels.spiral_panel, epochs=2)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is put out while a test runs: the first outputs, and the updates of the picture."""
    outputs = SimpleNamespace(first=[], updates=[])
    monkeypatch.setattr(shared, "display", lambda data, **_: outputs.first.append(data))
    for module in (shared, running):
        monkeypatch.setattr(module, "update_display", lambda data, **_: outputs.updates.append(data))
    return outputs
