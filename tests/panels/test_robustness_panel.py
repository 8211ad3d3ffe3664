"""The robustness panel without a browser: its levels against the probes and a float64 softmax, its refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from refusals import each_refused

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.mixing.normalize import normalized
from mixlab.probes import corrupt, occluded, pgd

NETS = {"a": mx.models.quick(10, seed=1), "b": mx.models.quick(10, seed=2)}


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    return mx.load("shapes", train_size=40, test_size=30)


def panel_of(data: Any = None, **settings: Any) -> Any:
    return mx.panels.robustness_panel(NETS, data or mx.load("shapes", train_size=40, test_size=30), **settings)


@pytest.mark.parametrize(
    ("kind", "worse"),
    [
        ("snow", lambda _, data: corrupt(data.test.images, "snow", 2)),
        ("patches", lambda _, data: occluded(data.test.images, 0.2, "patches")),
        ("pgd", lambda net, data: pgd(net, data.test, data.normalization, 0.5 / 255, steps=6).pixels),
    ],
    ids=["corrupted", "occluded", "attacked"],
)
def test_a_level_is_what_the_probe_makes_and_the_network_says(kind: str, worse: Any, drawn: Dataset) -> None:
    for name, part in panel_of(drawn).levels(kind).items():
        images, labels = worse(NETS[name], drawn), drawn.test.labels
        with torch.no_grad():
            probs = NETS[name].eval()(normalized(images, drawn.normalization)).double().softmax(1)
        sure, said = probs.max(1)
        scale = 1 if images.dtype == torch.uint8 else 255
        np.testing.assert_array_equal(part.pictures[2], (scale * images[:12]).round().byte().permute(0, 2, 3, 1))
        assert torch.equal(part.said[2], said[:12])
        torch.testing.assert_close(part.sure[2], sure[:12], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(part.truth[2], probs[torch.arange(12), labels[:12]], rtol=1e-4, atol=1e-6)
        assert part.accuracy[2].value == pytest.approx((said == labels).double().mean())
        assert part.ece[2].value == pytest.approx(mx.estimate(mx.Predictions.from_probs(probs, labels), "ece").value)
        np.testing.assert_array_equal(part.pictures[0], drawn.test.images[:12].permute(0, 2, 3, 1))


def test_it_says_and_draws_what_is_on_show(drawn: Dataset) -> None:
    panel = panel_of(drawn, kind="center", level=4, image=2)
    part = panel.levels()["b"]
    said = f"b says {drawn.classes[part.said[4, 2]]} ({part.sure[4, 2]:.2f})"
    assert panel.describe().startswith(
        f"occlusion: center, 40% hidden. Image 3, a picture of {panel._labels[2]}: a says"
    )
    assert f"; {said}. Over 30 images, a: accuracy " in panel.describe()
    assert panel.describe() in panel.still()
    panel.kind, panel.level = "fgsm", 3
    assert panel.describe().startswith("attack: FGSM, radius 1/255.")
    assert panel._answer["levels"] == ["as it is", *(f"radius {r}/255" for r in ("0.25", "0.5", "1", "2", "4"))]
    assert panel.levels() is panel.levels("fgsm"), "measured once"


FEW = mx.load("shapes", train_size=40, test_size=30)
NARROW = Dataset("few", FEW.train, Split(FEW.test.images[:11], FEW.test.labels[:11]), FEW.classes)
make = mx.panels.robustness_panel
test_a_wrong_argument_is_named = each_refused(
    (lambda: make({"a": "quick"}, FEW), "models must map two names .* got"),
    (lambda: make({"a": NETS["a"]}, FEW), "models must map two names .* got 1"),
    (lambda: make(NETS | {"a": mx.models.quick(30)}, FEW), "model must give .* logits, one for each"),
    (lambda: make(NETS, "shapes"), "data must be .*'shapes'"),
    (lambda: make(NETS, NARROW), "data must hold at least 12 test images .* got 11 of 3"),
    (lambda: panel_of(kind="snwo"), "kind must be .*'snow'?"),
    (lambda: panel_of(level=6), "level must .* 0 to 5, got 6"),
    (lambda: panel_of(image=12), "image must .* 0 to 11, got 12"),
)
