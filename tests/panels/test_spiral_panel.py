"""The spiral panel without a browser: its runs, what it sends, its words and its picture."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import mixlab as mx
from mixlab.data import spirals
from mixlab.models import SpiralNet
from mixlab.panels.spiral_panel.spiral_panel import POINTS, RANDOM, SpiralPanel
from mixlab.training.spiral_trainer import GRID, SpiralTrainer


@pytest.fixture
def make() -> Iterator[Callable[..., SpiralPanel]]:
    """Makes panels of short runs, and closes them."""
    panels = []

    def build(**settings: Any) -> SpiralPanel:
        panels.append(mx.panels.spiral_panel(**{"epochs": 2} | settings))
        return panels[-1]

    yield build
    for panel in panels:
        panel.close()


def wait_until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("layer", "mixer"),
    [
        ("none", mx.Mixer("none")),
        ("bottleneck", mx.Mixer("manifold", alpha=0.5, layers=["bottleneck"])),
        ("random", mx.Mixer("manifold", alpha=0.5, layers=RANDOM)),
    ],
)
def test_a_run_is_what_the_trainer_does(make: Callable[..., SpiralPanel], layer: str, mixer: mx.Mixer) -> None:
    panel = make(layer=layer, alpha=0.5, classes=3, seed=4, noise=0.1, turns=0.5)
    result = panel.run()
    g = torch.Generator().manual_seed(4)
    train, test = (spirals(n, classes=3, noise=0.1, turns=0.5, generator=g) for n in (POINTS, 2000))
    *_, expected = SpiralTrainer(SpiralNet(3, seed=4), train, test, mixer, epochs=2, seed=4)
    assert (result.phase, [record.epoch for record in panel.records]) == ("finished", [0, 1, 2])
    assert torch.equal(panel.records[-1].hidden, expected.hidden)
    assert panel.records[-1].test_nll == expected.test_nll
    assert isinstance(panel.trainer, SpiralTrainer)


def parts(panel: SpiralPanel, classes: int, at: int = 0) -> tuple[np.ndarray, ...]:
    raw = bytes(panel._pictures)
    points, hidden = np.frombuffer(raw, np.float32, 4 * POINTS, at).reshape(2, POINTS, 2)
    at += 16 * POINTS
    labels = np.frombuffer(raw, np.uint8, POINTS, at)
    field = np.frombuffer(raw, np.uint8, classes * GRID**2, at + POINTS).reshape(classes, GRID, GRID)
    return points, hidden, labels, field


def test_what_the_browser_gets(make: Callable[..., SpiralPanel]) -> None:
    panel = make(layer="none", classes=3)
    assert [run["values"] for run in panel._view["runs"]] == [None]  # before a run, its points
    assert parts(panel, 3)[0].any()
    panel.run()
    panel.classes, panel.layer = 2, "bottleneck"
    panel.run()
    assert panel.trainer is not None
    record, size = panel.records[-1], POINTS * 17 + 2 * GRID**2
    points, hidden, labels, field = parts(panel, 2)
    assert (points == panel.trainer.train[0].numpy()).all()
    assert (hidden == record.hidden.numpy()).all()
    assert (labels == panel.trainer.train[1].numpy()).all()
    assert (field == record.field.numpy()).all()
    assert panel.previous is not None
    before = panel.previous.records[-1]
    assert (parts(panel, 3, size)[1] == before.hidden.numpy()).all()
    assert (parts(panel, 3, size)[3] == before.field.numpy()).all()
    assert len(panel._pictures) == size + POINTS * 17 + 3 * GRID**2
    runs = panel._view["runs"]
    assert [(run["name"], run["classes"], run["count"]) for run in runs] == [
        ("mixed at bottleneck, α = 2", 2, POINTS),
        ("3 classes, no mixing", 3, POINTS),
    ]
    assert runs[0]["values"] == record.singular_values.tolist()


def test_stop_reset_and_a_refused_command(make: Callable[..., SpiralPanel]) -> None:
    panel = make(epochs=400)
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count > 2)
    panel.stop()
    assert panel.result is not None
    assert panel.result.phase == "stopped"
    assert panel._view["status"].startswith("Stopped at epoch ")
    panel._handle_custom_msg({"command": "start", "state": {"layer": "bottlenek"}}, [])
    assert panel._view["alert"].endswith("got 'bottlenek'; did you mean 'bottleneck'?")
    panel._handle_custom_msg({"command": "reset"}, [])
    assert (panel.result, panel._view["phase"], panel._view["alert"]) == (None, "idle", "")


def test_a_start_here_stops_a_training_elsewhere(make: Callable[..., SpiralPanel]) -> None:
    first, second = make(epochs=400), make(epochs=1)
    first.start()
    second.run()
    assert first.result is not None
    assert first.result.phase == "stopped"


def test_describe_gives_both_runs(make: Callable[..., SpiralPanel]) -> None:
    panel = make(layer="none")
    assert panel.describe() == "A panel to train a small net on spirals; nothing has been trained yet."
    panel.run()
    panel.layer = "random"
    panel.run()
    reached = (
        r"test accuracy [01]\.\d{3}, mean confidence 0\.\d{3}; "
        r"singular values of class A \d\.\d\d and \d\.\d\d; B \d\.\d\d and \d\.\d\d\."
    )
    assert re.fullmatch(
        r"Finished: 2 epochs in \d+ s with the measuring; trained at [\d,]+ points/s\. "
        rf"This run, mixed at input, block2 or bottleneck, drawn anew, α = 2: {reached} "
        rf"The run before, no mixing: {reached}",
        panel.describe(),
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_still_picture(make: Callable[..., SpiralPanel], classes: int) -> None:
    panel = make(classes=classes)
    assert panel.figure().axes == []
    for runs in (1, 2):
        panel.run()
        figure = panel.figure()
        assert len(figure.axes) == 3 * runs
        plane, hidden, bars = figure.axes[:3]
        (image,) = plane.images
        shown = np.asarray(image.get_array())
        assert shown.shape == (GRID, GRID, 3)
        assert 0 <= shown.min() <= shown.max() <= 1
        assert sum(len(cloud.get_offsets()) for cloud in hidden.collections) == POINTS
        widths = [bar.get_width() for bar in bars.patches]
        assert widths == pytest.approx(panel.records[-1].singular_values.flatten().tolist())
    assert '<img alt="Finished: 2 epochs' in panel.still()
    assert plt.get_fignums() == []


BAD = [
    ({"layer": "block9"}, "layer must be one of 'none', 'input', 'block1', "),
    ({"alpha": 0}, "alpha must be a number from 0.01 to 100, got 0"),
    ({"classes": 4}, "classes must be an integer from 2 to 3, got 4"),
    ({"epochs": 401}, "epochs must be an integer from 1 to 400, got 401"),
    ({"seed": -1}, "seed must be an integer from 0 to 2147483647, got -1"),
    ({"noise": 2}, "noise must be a number from 0 to 1, got 2"),
    ({"turns": "1"}, "turns must be a number from 0 to 4, got '1'"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_wrong_input_names_the_argument(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        mx.panels.spiral_panel(**settings)
    assert str(caught.value).startswith(message)
