"""Generated series against their definition, warped and not, and the network."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from refusals import each_refused, refuses
from seeding import seeded

import mixlab as mx
from mixlab.domains import predict, series, train


def test_without_warp_each_class_is_its_definition() -> None:
    problem = series.load("cbf", warp=0, noise=0, train_size=30)
    x, y = problem.train
    for row, label in zip(x[:, 0].double(), y.tolist(), strict=True):
        height = [row[40], row[55] * 64 / 32, row[55] * 64 / 32][label]  # at t = 56, half of the way from 24 to 88
        for index, value in enumerate(row.tolist()):
            progress = (index + 1 - 24) / 64
            shape = [1, progress, 1 - progress][label] if 0 <= progress <= 1 else 0
            assert value == pytest.approx(float(height) * shape, abs=1e-5)


def test_warped_starts_and_lengths_are_uniform_and_heights_normal() -> None:
    x = series.load("cbf", noise=0, train_size=3000).train[0][::3, 0]  # cylinders
    first = (x != 0).long().argmax(1) + 1
    last = 128 - (x.flip(1) != 0).long().argmax(1)
    assert int(first.min()) >= 16
    assert int(first.max()) <= 33
    whole = last < 128  # not cut at the end
    assert int((last - first)[whole].max()) <= 96
    assert int((last - first)[whole].min()) >= 30
    assert scipy.stats.kstest(first - 0.5, scipy.stats.uniform(16, 16).cdf).statistic < 0.05  # whole numbers of it
    assert scipy.stats.kstest(x.amax(1), scipy.stats.norm(6, 1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", series.SETS)
def test_sets_differ_by_seed_but_not_in_their_test_series(name) -> None:
    one, two = series.load(name, train_size=12), series.load(name, train_size=12, seed=1)
    assert not torch.equal(one.train[0], two.train[0])
    assert torch.equal(one.test[0], two.test[0])
    assert set(torch.bincount(one.test[1]).tolist()) == {900 // len(one.classes)}
    flat = series.load(name, warp=0, noise=0, train_size=36)
    rows = flat.train[0][flat.train[1] == 0]
    correlation = np.corrcoef(rows.flatten(1).numpy())
    assert correlation.min() > 0.9999  # all series of a class are one shape, whatever its height


@pytest.mark.parametrize(
    "mixer",
    [None, mx.Mixer("mixup", k=5), mx.Mixer("cutmix"), mx.Mixer("manifold", layers=["stage1"], k=2)],
    ids=str,
)
def test_network_learns_gestures_with_every_mixer(mixer) -> None:
    problem = series.load("gestures", train_size=120)
    model = series.SeriesNet(3, 6)
    train(problem, model, mixer, epochs=6, learning_rate=0.01)
    assert predict(problem, model).correct.double().mean() > 0.6
    assert model(torch.randn(2, 3, 50, generator=seeded())).shape == (2, 6)


test_refused = each_refused(
    (lambda: series.load("cfb"), "name must be one of 'cbf', 'gestures'"),
    (lambda: series.load(warp=1.1), "warp must be a number from 0 to 1"),
    (lambda: series.load(noise=-1), "noise must be"),
    (lambda: series.load(train_size=1), "train_size must be"),
    (lambda: series.SeriesNet(0, 2), "channels must be"),
    (lambda: series.SeriesNet(3, 2)(torch.zeros(4, 1, 50)), r"x must be \[batch, 3, times\], got .* \[4, 1, 50\]"),
    (lambda: series.SeriesNet(1, 2)(torch.zeros(1, 50)), r"x must be \[batch, 1, times\], got .* \[1, 50\]"),
)


@pytest.mark.parametrize(("name", "folder"), [("gunpoint", "GunPoint"), ("motions", "BasicMotions")])
def test_recorded_series_are_those_of_the_files(name: str, folder: str) -> None:
    files = Path(importlib.util.find_spec("sktime").origin).parent / "datasets" / "data" / folder
    problem = series.recorded(name)
    for part, (x, y) in (("TRAIN", problem.train), ("TEST", problem.test)):
        lines = (files / f"{folder}_{part}.ts").read_text().lower().split("@data\n")[1].split()
        rows = [line.split(":") for line in lines]
        values = [[[float(value) for value in channel.split(",")] for channel in row[:-1]] for row in rows]
        torch.testing.assert_close(x, torch.tensor(values))
        names = sorted({row[-1] for row in rows})
        assert [names[label] for label in y.tolist()] == [row[-1] for row in rows]
        assert len(problem.classes) == len(names)


def test_recorded_series_can_be_learned_and_mixed() -> None:
    problem = series.recorded("motions")
    net = series.SeriesNet(6, 4)
    train(problem, net, mx.Mixer("mixup"), epochs=40, learning_rate=0.01)
    assert predict(problem, net).correct.double().mean() > 0.8


def test_recorded_series_lie_on_the_cpu_whatever_the_default() -> None:
    with torch.device("meta"):
        problem = series.recorded("motions")
    assert {part.device.type for pair in (problem.train, problem.test) for part in pair} == {"cpu"}


def test_what_recorded_series_need_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(lambda: series.recorded("coffee"), ValueError, "name", "gunpoint", "'coffee'")
    monkeypatch.setitem(sys.modules, "sktime", None)
    with pytest.raises(ImportError, match=r"pip install .mixlab\[series\]"):
        series.recorded()
