"""The path panel without a browser: the answers on the way against the network asked directly, both ways."""

import numpy as np
import pytest
import torch
from panel_runs import few, linear
from refusals import each_refused
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.panels.path_panel.path_panel import GRID, PathPanel


@pytest.fixture(scope="module")
def nets(data: Dataset) -> dict[str, nn.Module]:
    return {f"seed {seed}": linear(len(data.classes), seed=seed) for seed in (0, 1)}


@pytest.fixture(scope="module")
def panel(nets: dict[str, nn.Module], data: Dataset) -> PathPanel:
    return mx.panels.path_panel(nets, data, images=12, seed=3)


def asked(net: nn.Module, panel: PathPanel, data: Dataset) -> Tensor:
    """The probabilities at each λ, float64 [65, classes], from the panel's own pixels by the formula."""
    ends = torch.from_numpy(panel.images[[panel.first, panel.second]]).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(part, dtype=torch.float64).view(-1, 1, 1) for part in data.normalization)
    x, x_prime = (ends - mean) / std
    blends = torch.stack([lam * x + (1 - lam) * x_prime for lam in GRID])
    with torch.no_grad():
        return torch.softmax(net.eval()(blends.float()).double(), 1)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("back", [False, True])
def test_a_path_is_what_the_network_answers(
    same: bool, back: bool, panel: PathPanel, nets: dict[str, nn.Module], data: Dataset
) -> None:
    pair = (panel._labels.index(panel._labels[11]), 11) if same else (5, 2)
    panel.first, panel.second = reversed(pair) if back else pair
    first, second = (data.classes.index(name) for name in panel.names)
    assert (first == second) == same
    for name, net in nets.items():
        probs = asked(net, panel, data)
        top, answer = probs.max(1)
        of_x_prime = torch.zeros(len(GRID)) if first == second else probs[:, second]
        expected = torch.stack([probs[:, first], of_x_prime, top, answer.double()], 1)
        np.testing.assert_allclose(panel.path(name), expected, atol=1e-5)


def test_each_class_is_there_before_one_comes_twice(panel: PathPanel, data: Dataset) -> None:
    labels = panel._labels
    assert sorted(labels[: len(data.classes)]) == sorted(data.classes)
    assert len(panel.images) == len({image.tobytes() for image in panel.images}) == 12


def test_lambda_stands_on_a_stop_and_the_words_follow(panel: PathPanel) -> None:
    panel.first, panel.second, panel.lam = 0, 1, 0.3
    assert panel.lam == GRID[19]
    of_x, of_x_prime, top, _ = panel.path("seed 1")[19]
    first, second = panel.names
    assert f"seed 1: {of_x:.2f} {first} + {of_x_prime:.2f} {second} + " in panel.describe()
    assert f"({top:.2f})." in panel.describe()
    assert panel.describe() in panel.still()
    axes = panel.figure().axes
    assert len(axes) == 5
    np.testing.assert_array_equal(axes[3].lines[0].get_ydata(), panel.path("seed 0")[:, 0])


net = linear(10, seed=0)
test_a_wrong_argument_is_named = each_refused(
    (lambda: mx.panels.path_panel({"a": net}, "shapes"), "data must be .*'shapes'"),
    (lambda: mx.panels.path_panel({}, few()), "networks must map one to four"),
    (lambda: mx.panels.path_panel({"a": mx.models.quick(30)}, few()), "model must give .* logits, one for each"),
    (lambda: mx.panels.path_panel({"a": 1}, few()), "networks must map names to modules, got 'a': 1"),
    (lambda: mx.panels.path_panel({"a": net}, few(), images=1), "images must .* 2 to 16, got 1"),
    (lambda: setattr(mx.panels.path_panel({"a": net}, few(), 2), "first", 2), "first must .* 0 to 1, got 2"),
    (lambda: setattr(mx.panels.path_panel({"a": net}, few(), 2), "lam", 1.5), "lam must .* 1, got 1.5"),
)
