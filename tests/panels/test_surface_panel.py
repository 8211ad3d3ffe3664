"""The surface panel without a browser: its numbers by hand, its words for either sign, its picture, its stop."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from panel_runs import Counting, linear, phase, wait_until
from seeding import seeded
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.data.parts import stratified
from mixlab.mixing.normalize import normalized
from mixlab.panels.surface_panel.planes import Planes
from mixlab.panels.surface_panel.surface_panel import corners, cut_at
from mixlab.probes import filter_normalized

Make = Callable[..., Any]


@pytest.fixture
def make(open_panel: Make, data: Dataset) -> Make:
    """Makes a surface panel of few images and few points."""

    def build(networks: Any = None, **settings: Any) -> Any:
        networks = {"none": linear(10, seed=0), "mixup": linear(10, seed=1)} if networks is None else networks
        return open_panel(mx.panels.surface_panel, networks, data, **{"images": 30, "side": 5} | settings)

    return build


class Rectified(nn.Module):
    """Two layers without biases; a second scale gives the same function by other weights."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 32 * 32, 8, bias=False)
        self.second = nn.Linear(8, 10, bias=False)
        for layer, size in ((self.first, 0.01 * scale), (self.second, 0.5 / scale)):
            layer.weight.data = size * torch.randn(layer.weight.shape, generator=seeded(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x.flatten(1)).relu())


class Waiting(Counting):
    """A linear net that takes a little while in evaluation too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return super().forward(x)


@torch.no_grad()
@pytest.mark.parametrize("on", ["clean", "mixed"])
def test_heights_by_hand(make: Make, data: Dataset, on: str) -> None:
    panel = make(Rectified(1), on=on, seed=3, part="test")
    panel.run()
    chosen = data.test.subset(stratified(data.test.labels, 30, seed=0))
    x, targets = normalized(chosen.images, data.normalization), functional.one_hot(chosen.labels, 10).float()
    if on == "mixed":
        plan = mx.Mixer("mixup", alpha=1.0).plan(x, generator=seeded(0))
        x, targets = plan.apply(x), plan.targets(chosen.labels, 10)
    net, generator = Rectified(1), seeded(3)
    directions = [filter_normalized(net, generator=generator) for _ in range(2)]
    for i, a in enumerate((-1, -0.5, 0, 0.5, 1)):
        for j, b in enumerate((-1, -0.5, 0, 0.5, 1)):
            first, second = (
                w + a * d + b * e for w, d, e in zip((net.first.weight, net.second.weight), *directions, strict=True)
            )
            logits = (x.flatten(1).double() @ first.T.double()).relu() @ second.T.double()
            loss = -(targets * logits.log_softmax(1)).sum(1).mean()
            error = (logits.argmax(1) != targets.argmax(1)).double().mean()
            assert panel.planes.heights[0, :, i, j].tolist() == pytest.approx([float(loss), float(error)], rel=1e-4)


def test_weights_of_other_norms_give_the_same_surface(make: Make) -> None:
    panel = make({"small": Rectified(0.1), "large": Rectified(10)})
    panel.run()
    small, large = panel.planes.heights
    torch.testing.assert_close(small[0], large[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(small[1], large[1], rtol=0, atol=0.04)  # an image of 30 may be on the edge


def test_the_networks_are_copied_and_left_as_they_are(make: Make) -> None:
    net = linear(10, seed=0).train()
    before = net.linear.weight.clone()
    panel = make(net)
    panel.run()
    first = panel.planes.heights
    assert net.training
    assert torch.equal(net.linear.weight, before)
    net.linear.weight.data.zero_()
    panel.run()
    assert torch.equal(panel.planes.heights, first)
    panel.seed = 1
    panel.run()
    middle = (Ellipsis, 2, 2)
    assert torch.equal(panel.planes.heights[middle], first[middle])
    assert not torch.equal(panel.planes.heights, first)


def test_centers_and_mean_rises() -> None:
    axis = tuple(np.linspace(-1, 1, 5))
    heights = torch.rand(2, 2, 5, 5, generator=seeded(0), dtype=torch.float64)
    planes = Planes(10, axis, heights)
    near = [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]
    far = [*near, (0, 2), (1, 1), (1, 3), (2, 0), (2, 4), (3, 1), (3, 3), (4, 2)]
    for kind, place in (("loss", 0), ("error", 1)):
        for one, center, rises in zip(heights[:, place], planes.centers(kind), planes.rises(kind), strict=True):
            assert center == float(one[2, 2])
            by_hand = [np.mean([float(one[point]) for point in points]) - center for points in (near, far)]
            assert rises == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("differences", "words"),
    [([1.0, 1.1], "none rises more"), ([-1.0, -1.1], "mixup rises more"), ([-1.0, 1.0], "undecided")],
)
def test_the_planes_together_say_which_sign_whatever_it_is(make: Make, differences: list[float], words: str) -> None:
    panel = make()
    panel.run()
    assert panel.describe().endswith("This is one plane: other seeds show whether the difference stays.")
    panel._rises = {("clean", seed): [[d, d], [0.0, 0.0]] for seed, d in enumerate(differences)}
    panel._rises["mixed", 0] = [[50.0, 50.0], [0.0, 0.0]]  # of other images, so not counted
    span = mx.mean_interval(differences)
    said = f"within 0.5 {span.value:+.2f} [{span.low:+.2f}, {span.high:+.2f}], {words}"
    assert said.replace("-", "−") in panel._said()
    assert panel._said().startswith("Over 2 planes, the rise of none minus that of mixup")


def test_what_the_browser_is_told_while_it_is_measured(make: Make) -> None:
    panel = make()
    assert (phase(panel), panel._heights, panel._view["table"]) == ("idle", b"", [])
    assert panel.figure().axes == []
    panel.run()
    sent = np.frombuffer(panel._heights, np.float32).reshape(2, 2, 5, 5)
    np.testing.assert_array_equal(sent, panel.planes.heights.float())
    assert panel._view["status"] == "Measured on clean images, plane of seed 0."
    head, first, _ = panel._view["table"]
    assert head == ["network", "loss (nats)", "error", "rise within 0.5", "rise within 1"]
    assert first[:2] == ["none", f"{panel.planes.centers('loss')[0]:.2f}"]
    panel.reset()
    assert (panel.result, panel._rises) == (None, {})


def test_it_stops_within_a_row(make: Make) -> None:
    panel = make({"none": Waiting(10), "mixup": Waiting(10)}, side=41)
    panel.start()
    wait_until(lambda: panel.planes is not None and panel.planes.step > 0)
    panel.stop()
    assert phase(panel) == "stopped"
    assert 0 < int(panel.planes.heights.isfinite().sum()) < panel.planes.heights.numel()
    assert panel._rises == {}
    panel._handle_custom_msg({"command": "start", "state": {"height": "los"}}, [])
    assert panel._view["alert"].endswith("got 'los'; did you mean 'loss'?")


@pytest.mark.parametrize("height", ["loss", "error"])
def test_the_still_picture_has_the_same_numbers(make: Make, height: str) -> None:
    panel = make(height=height, azimuth=20, elevation=50)
    panel.run()
    panel.cut = top = float(panel.planes.heights[:, 0].mean()) if height == "loss" else 1.0
    figure = panel.figure()
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["none", "mixup"]
    for ax, heights in zip(figure.axes, panel.planes.heights[:, ["loss", "error"].index(height)], strict=True):
        assert (ax.azim, ax.elev, ax.get_zticks().tolist()) == (20, 50, [0, top / 2, top])
        lowest = -functional.max_pool2d(-heights[None], 2, stride=1)  # of the corners of each cell
        assert len(ax.collections[0].get_facecolor()) == int((lowest < top).sum())
    assert panel.describe() in panel.still()


def test_a_cut_polygon_is_what_lies_below() -> None:
    heights = np.array([[0.0, 2.0], [4.0, 2.0]])
    (cell,) = corners([-1, 1], heights)
    assert cell == [(-1, -1, 0), (-1, 1, 2), (1, 1, 2), (1, -1, 4)]
    assert cut_at(cell, 5) == cell
    assert cut_at(cell, -1) == []
    assert cut_at(cell, 1) == [(-1, -1, 0), (-1, 0, 1), (-0.5, -1, 1)]
