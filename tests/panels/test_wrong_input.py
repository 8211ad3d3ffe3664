"""Wrong input to a panel is refused at once, and leaves the panel as it was."""

from typing import Any

import pytest
import torch
from drawn_predictions import HARD
from panel_runs import linear
from refusals import refuses

import mixlab as mx
from mixlab.calibration.predictions import Predictions
from mixlab.data.dataset import Dataset, Split

ONE = HARD["one row"]
NET = linear(10, seed=0)
NEEDED = {
    "surface": {"networks": NET},
    "mixing": {"pairs": 3},
    "puzzle": {"pairs": 2},
    "calibration": {"runs": {"a": ONE, "b": ONE}},
}
CONTROLS = {  # of each panel: a wrong value, and words of what is allowed
    "lambda": {"alpha": (-1, "0.01 to 100"), "k": (9, "1 to 8"), "variant": ("mixip", "'mixup'?"), "seed": (-1, "0")},
    "mixing": {"pair": (3, "0 to 2"), "row": (32, "0 to 31"), "column": (-1, "0"), "variant": ("mixup", "'regmixup'?")},
    "puzzle": {"pair": (2, "0 to 1"), "blocks": (5, "2, 4, 8, 16"), "levels": (5, "2 to 4"), "lam": (2, "0 to 1")}
    | {"beta": (-1, "0 to 4"), "gamma": (1.5, "0 to 1"), "cost": (1.5, "0 to 1")},
    "calibration": {"run": ("c", "'a', 'b'"), "other": (3, "'a', 'b'"), "bins": ("mas", "'mass'?")}
    | {"n_bins": (101, "1 to 100"), "estimator": ("eec", "'ece'?"), "scaling": ("alhpa", "'alpha'?")}
    | {"temperature": (5, "0.25 to 4"), "alpha": (0, "0.01 to 100")},
    "spiral": {"layer": ("block9", "'bottleneck'"), "classes": (4, "2 to 3"), "epochs": (401, "1 to 400")},
    "surface": {"on": ("mix", "'mixed'?"), "height": ("los", "'loss'?"), "cut": (0, "0.1 to 20"), "seed": (-1, "0")}
    | {"azimuth": (181, "-180 to 180"), "elevation": (-1, "0 to 90")},
    "training": {"variant": ("mixip", "'mixup'?"), "images": (9, "10 to 600"), "epochs": (51, "1 to 50")}
    | {"prediction": (67, "0 to 1 or None")},
}
ROWS = [(panel, name, *row) for panel, controls in CONTROLS.items() for name, row in controls.items()]
LARGE = Predictions.from_logits(torch.zeros(20_001, 2), torch.zeros(20_001, dtype=torch.int64))
BROAD = Predictions.from_logits(torch.zeros(1500, 1000), torch.zeros(1500, dtype=torch.int64))
ARGUMENTS = [  # panel, argument, a wrong value, the error, words of what is allowed and what came
    ("mixing", "data", "cifar10", TypeError, "mixlab.load", "got 'cifar10'"),
    ("mixing", "model", "quick", TypeError, "torch.nn.Module", "None", "got 'quick'"),
    ("mixing", "pairs", 65, ValueError, "1 to 64", "got 65"),
    ("puzzle", "model", "quick", TypeError, "torch.nn.Module", "None", "got 'quick'"),
    ("calibration", "runs", torch.zeros(3, 2), TypeError, "Predictions", "got a float32 tensor of shape [3, 2]"),
    ("calibration", "runs", {}, ValueError, "1 to 6", "got 0"),
    ("calibration", "runs", {str(i): ONE for i in range(7)}, ValueError, "1 to 6", "got 7"),
    ("calibration", "runs", {"": ONE}, TypeError, "words as names", "got ''"),
    ("calibration", "runs", {"a": LARGE}, ValueError, "20,000", "got 20,001 in 'a'", "p[:20000]"),
    ("calibration", "runs", dict.fromkeys("abc", BROAD), ValueError, "4,000,000", "got 4,500,000", "p[:1333]"),
    ("calibration", "overlaid", 1, TypeError, "True or False", "got 1"),
    ("calibration", "n_bins", 0, ValueError, "1 to 100", "got 0"),
    ("lambda", "k", 2.5, TypeError, "1 to 8", "got 2.5"),
    ("spiral", "noise", 2, ValueError, "0 to 1", "got 2"),
    ("spiral", "turns", "1", TypeError, "0 to 4", "got '1'"),
    ("surface", "data", "cifar10", TypeError, "mx.load", "got 'cifar10'"),
    ("surface", "networks", [NET], TypeError, "torch.nn.Module", "names", "got [Counting"),
    ("surface", "networks", {}, ValueError, "1 or 2", "got 0"),
    ("surface", "part", "tran", ValueError, "'train'?", "got 'tran'"),
    ("surface", "images", 9, ValueError, "10 to 600", "got 9"),
    ("surface", "side", 6, ValueError, "odd", "got 6"),
    ("surface", "alpha", 0, ValueError, "0.01 to 100", "got 0"),
    ("training", "data", "cifar10", TypeError, "mixlab.load", "got 'cifar10'"),
    ("training", "model", "quik", ValueError, "'quick'?", "got 'quik'"),
    ("training", "images", 601, ValueError, "10 to 600", "got 601"),
    ("training", "root", 3, TypeError, "a path", "got 3"),
]


def build(panel: str, data: Dataset, /, **given: Any) -> Any:
    """The panel of this name, with what it cannot do without."""
    images = {} if panel in ("lambda", "calibration", "spiral") else {"data": data}
    return getattr(mx.panels, f"{panel}_panel")(**images | NEEDED.get(panel, {}) | given)


@pytest.mark.parametrize(("panel", "control", "value", "words"), ROWS)
def test_a_control_refuses_a_wrong_value_and_stays(
    panel: str, control: str, value: Any, words: str, data: Dataset
) -> None:
    built = build(panel, data)
    before = built.state
    refuses(lambda: setattr(built, control, value), ValueError, control, words, f"got {value!r}")
    assert built.state == before


@pytest.mark.parametrize(("panel", "argument", "value", "error", "words"), [(*row[:4], row[4:]) for row in ARGUMENTS])
def test_an_argument_is_refused_at_the_call(
    panel: str, argument: str, value: Any, error: type[Exception], words: tuple[str, ...], data: Dataset
) -> None:
    refuses(lambda: build(panel, data, **{argument: value}), error, argument, *words)


@pytest.mark.parametrize(
    ("panel", "shape", "argument", "words"),
    [
        ("mixing", (32, 32, 2, 600), "data", ("1 or 3 channels", "got 2 channels")),
        ("mixing", (32, 32, 3, 5), "pairs", ("two images for each pair", "got 3 pairs of 5 ")),
        ("puzzle", (32, 20, 3, 600), "data", ("square images of an even side", "got 32 by 20 pixels")),
        ("puzzle", (15, 15, 3, 600), "data", ("square images of an even side", "got 15 by 15 pixels")),
    ],
)
def test_images_that_a_panel_cannot_show(
    panel: str, shape: tuple[int, ...], argument: str, words: tuple[str, ...], data: Dataset
) -> None:
    height, width, channels, count = shape
    train = Split(data.train.images[:count, :channels, :height, :width].contiguous(), data.train.labels[:count])
    refuses(lambda: build(panel, Dataset("cut", train, train, data.classes)), ValueError, argument, *words)
