"""Mixing in other people's loops, each run against the real package: what README.md shows, and how it behaves."""

import re

import pytest
import torch
from seeding import seeded
from take_home import BLOCKS, CLASSES, SETTINGS, images

import mixlab as mx


def moved(names):
    now = names["model"].state_dict()
    return [name for name, was in names["before"].items() if not torch.equal(was, now[name])]


@pytest.mark.parametrize("block", ["plain", "general"])
def test_readme_loop_trains(names, block):
    exec(BLOCKS[block], names)
    assert moved(names) == list(names["before"])
    assert names["loss"] < 2.5


@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_readme_general_loop_takes_every_variant(names, variant):
    (line,) = [line for line in BLOCKS["general"].splitlines() if line.startswith("inside = ")]
    names["settings"] = SETTINGS.get(variant, {})
    exec(BLOCKS["general"].replace(line, f"inside = mx.Mixer({variant!r}, k=2, **settings)"), names)
    assert moved(names) == list(names["before"])


def test_readme_dataloader_mixes_in_its_workers(names):
    exec(BLOCKS["loader"], names)
    assert names["x"].shape == (280 % 128, 3, 4, 4)
    assert names["loss"].isfinite()
    assert names["lam"].unique().numel() == 280 % 128


def test_readme_calibration(names, capsys):
    draw = seeded(3)
    logits = 3 * torch.randn(400, CLASSES, generator=draw)
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=draw)[:, 0]
    exec(BLOCKS["calibration"], names | {"logits": logits, "labels": labels})
    said = capsys.readouterr().out
    accuracy = float((logits.argmax(1) == labels).double().mean())
    assert f"accuracy     {accuracy:.4f}" in said
    raw, repaired = float(re.search(r"^ece +(\S+)", said, re.MULTILINE)[1]), float(said.splitlines()[-1].split()[0])
    assert repaired < raw / 2


def test_the_runs_of_the_readme_are_kept(names, capsys):
    exec(BLOCKS["runs"], names)
    kept = mx.runs()
    assert kept[-1].id == names["one"].id  # the newest is first
    variants = [run.settings["variant"] for run in kept if run.finished]
    assert variants.count("mixup") == 1 + 4
    assert variants.count("none") == 2  # without mixing, alpha is nothing
    _, swept = capsys.readouterr().out.split("\n", 1)
    assert swept.count("mixup") == 4


def test_readme_torchvision_pipeline(names):
    names["loader"] = [((images(8).tensors[0] * 255).to(torch.uint8), images(8).tensors[1])]
    exec(BLOCKS["torchvision"], names)
    assert names["x"].dtype == names["targets"].dtype == torch.float32
    assert 0 < names["x"].max() <= 1
    assert names["targets"].shape == (8, CLASSES)
    assert names["loss"].isfinite()


@pytest.mark.parametrize(
    ("count", "args", "message"),
    [
        (3, (mx.Mixer("mit"), 10), r"mixer must be .*'mit'.* mx\.mixed_loss\(model, x, y, plan\)"),
        (3, ("mixup", 10), "mixer must be a Mixer, .* got 'mixup'"),
        (3, (mx.Mixer(), 0), "num_classes .* at least 1, got 0"),
        (2, (mx.Mixer("manifold"), 10), "mixer must mix before the model .* inside the model"),
        (2, (mx.Mixer("puzzle"), 10), "mixer must mix before the model .* looks at the model"),
        (1, (mx.Mixer("perturbed"),), "num_classes must be given for .*, got None"),
    ],
)
def test_wrong_settings(MixCallback, count, args, message):
    for make in (mx.MixCollate, mx.MixTransform, MixCallback)[:count]:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            make(*args)
