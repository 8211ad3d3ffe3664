"""The spiral panel without a browser: its runs, what it sends, its words and its picture."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from panel_runs import phase, train_until

import mixlab as mx
from mixlab.data import spirals
from mixlab.models import SpiralNet
from mixlab.panels.spiral_panel.spiral_panel import POINTS, RANDOM
from mixlab.training.spiral_trainer import GRID, SpiralTrainer

Make = Callable[..., Any]
LAYERS = {
    "none": mx.Mixer("none"),
    "bottleneck": mx.Mixer("manifold", alpha=0.5, k=3, layers=["bottleneck"]),
    "random": mx.Mixer("manifold", alpha=0.5, k=3, layers=RANDOM),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_run_is_what_the_trainer_does(make_spirals: Make, layer: str, run_store: Path) -> None:
    panel = make_spirals(layer=layer, alpha=0.5, k=3, classes=3, seed=4, noise=0.1, turns=0.5)
    result = panel.run()
    g = torch.Generator().manual_seed(4)
    train, test = (spirals(n, classes=3, noise=0.1, turns=0.5, generator=g) for n in (POINTS, 2000))
    *_, expected = SpiralTrainer(SpiralNet(3, seed=4), train, test, LAYERS[layer], epochs=2, seed=4)
    assert (result.phase, [record.epoch for record in panel.records]) == ("finished", [0, 1, 2])
    assert torch.equal(panel.records[-1].hidden, expected.hidden)
    assert panel.records[-1].test_nll == expected.test_nll
    assert not run_store.exists()  # spirals are not stored


def test_what_the_browser_is_told(make_spirals: Make) -> None:
    panel = make_spirals(layer="none", classes=3)
    assert [run["values"] for run in panel._view["runs"]] == [None]  # before a run, its points
    assert len(panel._pictures) == POINTS * 17 + 3 * GRID**2
    panel.run()
    panel.classes, panel.layer = 2, "bottleneck"
    panel.run()
    runs = panel._view["runs"]
    assert [(run["name"], run["classes"], run["count"]) for run in runs] == [
        ("mixed at bottleneck, α = 2, K = 1", 2, POINTS),
        ("3 classes, no mixing", 3, POINTS),
    ]
    for run, result in zip(runs, (panel.result, panel.previous), strict=True):
        assert run["values"] == result.records[-1].singular_values.tolist()


def test_stop_reset_and_a_refused_command(make_spirals: Make) -> None:
    panel = make_spirals(epochs=400)
    train_until(panel, 3)
    make_spirals(epochs=1).run()  # a start elsewhere stops a training here
    assert phase(panel) == "stopped"
    assert panel._view["status"].startswith("Stopped at epoch ")
    panel._handle_custom_msg({"command": "start", "state": {"layer": "bottlenek"}}, [])
    assert panel._view["alert"].endswith("got 'bottlenek'; did you mean 'bottleneck'?")
    panel._handle_custom_msg({"command": "reset"}, [])
    assert (panel.result, phase(panel), panel._view["alert"]) == (None, "idle", "")


@pytest.mark.parametrize("classes", [2, 3])
def test_words_and_still_picture_of_both_runs(make_spirals: Make, classes: int) -> None:
    panel = make_spirals(layer="none", classes=classes)
    assert panel.describe() == "A panel to train a small net on spirals; nothing has been trained yet."
    assert panel.figure().axes == []
    for runs, layer in ((1, "none"), (2, "random")):
        panel.layer = layer
        panel.run()
        figure = panel.figure()
        assert len(figure.axes) == 3 * runs
    plane, hidden, bars = figure.axes[:3]
    (image,) = plane.images
    pixels = np.asarray(image.get_array())
    assert pixels.shape == (GRID, GRID, 3)
    assert 0 <= pixels.min() <= pixels.max() <= 1
    assert sum(len(cloud.get_offsets()) for cloud in hidden.collections) == POINTS
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == pytest.approx(panel.records[-1].singular_values.flatten().tolist())
    many, third = ("", "") if classes == 2 else ("3 classes, ", r"; C \d\.\d\d and \d\.\d\d")
    reached = (
        r"test accuracy [01]\.\d{3}, mean confidence 0\.\d{3}; "
        rf"singular values of class A \d\.\d\d and \d\.\d\d; B \d\.\d\d and \d\.\d\d{third}\."
    )
    assert re.fullmatch(
        r"Finished: 2 epochs in \d+ s with the measuring; trained at [\d,]+ points/s\. "
        rf"This run, {many}mixed at input, block2 or bottleneck, drawn anew, α = 2, K = 1: {reached} "
        rf"The run before, {many}no mixing: {reached}",
        panel.describe(),
    )
    assert f'<img alt="{panel.describe()}"' in panel.still()
    assert plt.get_fignums() == []
