"""A default dtype or device of the user's changes nothing: sets, nets, trainings and panels have the same numbers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from seeding import seeded

import mixlab as mx
from mixlab.calibration import LabelPredictions
from mixlab.data import spirals, with_wrong_labels
from mixlab.domains import regression, series, speech, tabular, train
from mixlab.ledger import Ledger, parity, stress
from mixlab.probes import CORRUPTIONS, corrupt, occluded
from mixlab.probes.occlusion import PLACES
from mixlab.runs.atlas import Atlas
from mixlab.runs.digest import tensors_digest


@pytest.fixture(params=[torch.float64, torch.bfloat16, "meta"], ids=str)
def unusual(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Sets a default that is not torch's own, for the rest of the test."""
    of = torch.set_default_device if request.param == "meta" else torch.set_default_dtype
    yield lambda: of(request.param)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def trained(variant: str) -> str:
    data, model = mx.load("shapes", train_size=100, test_size=20), mx.models.quick(10)
    *_, record = mx.fit(model, data, mx.Mixer(variant), epochs=1, batch_size=50, dtype=torch.float32)
    return f"{tensors_digest(dict(model.state_dict()))} {record.test_nll} {record.train_loss}"


def spiral() -> str:
    panel = mx.panels.spiral_panel(epochs=1)
    panel.run()
    panel.close()
    return panel.describe().split("points/s.")[1]


def surface() -> str:
    panel = mx.panels.surface_panel(
        mx.models.resnet8(10), mx.load("shapes", train_size=10, test_size=10), images=10, side=5
    )
    panel.run()
    panel.close()
    return panel.describe()


def puzzle() -> str:
    return mx.panels.puzzle_panel(mx.load("shapes", train_size=40, test_size=20), pairs=2).describe()


def beyond() -> str:
    waves = speech.load("generated", form="waves").test[0][:3]
    parts = {form: speech.as_form(waves[:, 0], form) for form in speech.FORMS}
    for kind, problem, net in (
        ("series", series.load(train_size=40), series.SeriesNet(1, 3)),
        ("table", (table := tabular.load()).smaller(40), tabular.TableNet(table.columns, 2)),
        ("numbers", regression.load().smaller(40), regression.ForecastNet(10)),
    ):
        loss = regression.gaussian_loss if kind == "numbers" else None
        train(problem, net, mx.Mixer("mixup", k=2), epochs=1, loss=loss)
        parts |= {f"{kind} {name}": weight for name, weight in net.state_dict().items()}
    return tensors_digest(parts)


IMAGES = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=seeded(1))


def spoiled() -> str:
    noisy = with_wrong_labels(mx.load("shapes", train_size=100, test_size=20), 0.3)
    parts = {kind: corrupt(IMAGES, kind, 4) for kind in CORRUPTIONS} | {"labels": noisy.data.train.labels}
    return tensors_digest(parts | {place: occluded(IMAGES, 0.4, place) for place in PLACES})


def told() -> str:
    """What is said of predictions, and drawn of them, of λ, and of what lies between two images."""
    data, net = mx.load("shapes", train_size=40, test_size=40), mx.models.quick(10)
    p = mx.predict(net, data.test, data.normalization)
    for picture in (mx.plot_reliability, mx.plot_bins, mx.plot_confidence):
        picture(p)
    mx.plot_lambda(0.4)
    panels = (mx.panels.path_panel({"a": net}, data), mx.panels.calibration_panel(p), mx.panels.mixing_panel(data))
    said = [panel.describe() for panel in panels]
    fitted = (mx.fit_isotonic(p), mx.fit_vector_scaling(p), mx.crossfit(p, mx.fit_isotonic).probs.double().sum().item())
    return f"{mx.estimates(p)} {LabelPredictions.one_vs_rest(p).errors()} {fitted} {said} {len(mx.atlas())}"


def ledger() -> str:
    """What the ledger says and trains by itself."""
    data = mx.load("shapes", train_size=40, test_size=20)
    why = Ledger(Atlas([]), measured={"pgd": [1.0, -1.0, 0.5]})["pgd"].why
    parts = stress._small(data, 0).state_dict() | {"jittered": stress._jittered(data, 0).train.images}
    return f"{why} {parity(2, steps=2)} {tensors_digest(parts)}"


def mixes() -> str:
    """Plans of every kind, and λs."""
    net, y = mx.models.resnet8(10), torch.arange(4, device="cpu")
    settings = {"perturbed": {}, "puzzle": {"epsilon": 0.1}, "cutmix": {"probability": 0.5}, "mit": {}, "patchmix": {}}
    plans = [
        mx.Mixer(variant, alpha=0.3, k=2, **more).plan(
            IMAGES, y, model=net, normalize=mx.load("shapes", train_size=20, test_size=10).normalization, generator=g
        )
        for variant, more in settings.items()
        for g in [torch.Generator("cpu").manual_seed(seed) for seed in range(3)]
    ]
    return tensors_digest({str(i): plan.apply(IMAGES) for i, plan in enumerate(plans)})


WORK: list[Callable[[], Any]] = [
    told,
    mixes,
    spoiled,
    lambda: mx.load("shapes", train_size=100, test_size=20).digest,
    lambda: tensors_digest(dict(zip("xy", spirals(60, generator=seeded()), strict=True))),
    lambda: [tensors_digest(dict(net(10).state_dict())) for net in (mx.models.airbench, mx.models.resnet8)],
    *(lambda variant=variant: trained(variant) for variant in ("none", "mixup", "puzzle")),
    spiral,
    surface,
    puzzle,
    beyond,
    ledger,
]


@pytest.mark.parametrize("work", WORK)
def test_a_default_changes_no_number(work: Callable[[], Any], unusual: Callable[[], None]) -> None:
    wanted = work()
    unusual()
    assert work() == wanted
