"""The atlas: what its file keeps, how runs are chosen and compared, and that its runs can be trained again."""

import random
from dataclasses import replace
from types import SimpleNamespace

import atlas as tool
import pytest
import torch
from scipy import stats
from seeding import seeded

import mixlab as mx
from mixlab.data import Split
from mixlab.runs.atlas import Atlas, AtlasError, AtlasRun
from mixlab.runs.atlas.atlas_run import COLUMNS, of_run
from mixlab.runs.atlas.file import HERE, read, write

GRID = [
    {"variant": ["none"], "seed": [0, 1, 2]},
    {"variant": ["mixup"], "k": [1, 2], "seed": [0, 1, 2]},
    {"variant": [tool.BOTH], "seed": [0]},
]


UNLIKE = {"mixers": [{"variant": "mixup", "alpha": alpha, "k": 1} for alpha in (0.2, 1.0)]}
PLACES = {name: (part, grid) for part in tool.parts() for name, grid in part.runs().items()}


def bright(count: int) -> Split:
    """Pictures of noise in three shades that overlap, so that answers are better than chance, and not all right."""
    labels = torch.arange(count) % 3
    shade = 60 * labels.view(-1, 1, 1, 1) + torch.randint(0, 70, (count, 1, 1, 1), generator=seeded(count))
    return Split((shade + torch.randint(0, 60, (count, 3, 8, 8), generator=seeded())).to(torch.uint8), labels)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Tiny finished runs of the store."""
    root, data = (
        tmp_path_factory.mktemp("runs"),
        mx.Dataset("small", bright(100), bright(200), ("dark", "gray", "light")),
    )
    return list(mx.sweep(GRID, data, epochs=4, batch_size=20, root=root, progress=False))


@pytest.fixture(scope="module")
def table(stored):
    return Atlas(of_run(run, 100, {"cpu": "a test's"}) for run in stored)


def test_a_file_gives_back_what_was_measured(stored, table, tmp_path):
    path = tmp_path / "some.safetensors"
    write(path, list(table))
    again = mx.atlas(path)
    assert len(again) == 10
    assert [run.id for run in again] == sorted(run.id for run in table)
    for run in again:
        (source,) = (one for one in stored if one.id == run.id)
        (held,) = (one for one in table if one.id == run.id)
        assert (run.settings, dict(run.made)) == (held.settings, {"cpu": "a test's"})
        assert torch.equal(run.curve, held.curve)
        assert run.curve.isfinite().all()
        for name in ("accuracy", "nll", "ece"):
            for when in (False, True):
                path = run.along(name, tempered=when)
                assert list(path) == [1, 2, 3, 4]
                assert path[4] == pytest.approx(run.value(name, tempered=when), rel=1e-5, abs=1e-6)
        steps = [record.tempered_ece for record in source.history]
        assert list(run.along("ece", tempered=True).values()) == pytest.approx(steps, rel=1e-6)
        assert run.curve[-1, 2].item() == pytest.approx(source.history[-1].test_accuracy, abs=1e-7)
        for n_bins in (5, 15, 60):
            direct = mx.Reliability(n_bins).update(source.predictions.probs, source.predictions.labels)
            for metric in ("accuracy", "ece", "mce", "nll", "brier"):
                assert run.value(metric, n_bins=n_bins) == pytest.approx(getattr(direct, metric)(), rel=1e-5, abs=1e-6)
        cross = mx.crossfit(source.predictions, mx.fit_temperature)
        expected = mx.Reliability().update(cross.probs, cross.labels).ece()
        assert run.value("ece", tempered=True) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        steps = source.history[-1].steps
        assert run.forwards == steps * 20 * run.k


def test_runs_are_chosen_and_compared(table):
    assert len(table.where(variant="mixup", k=2)) == 3
    assert len(table.where(seed=range(2), variant=["none"])) == 2
    assert table.values("k") == [1, 2]
    assert table.values("alpha") == [1.0]
    assert len(table.where(**tool.AS_RECORDED, k=1)) == 1
    one, other = ({"variant": "mixup", "k": 2}, {"variant": "none"})
    seen = table.difference("nll", one, other)
    gaps = [table.where(seed=s, **one)[0].value("nll") - table.where(seed=s, **other)[0].value("nll") for s in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=sum(gaps) / 3, scale=stats.sem(gaps))
    assert (seen.value, seen.low, seen.high, seen.n) == (
        pytest.approx(sum(gaps) / 3),
        pytest.approx(low),
        pytest.approx(high),
        3,
    )
    assert table.where(**other).interval("accuracy").n == 3
    assert "10 runs" in repr(table)
    assert table[:2]._repr_html_().count("<tr>") == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: t.where(color="red"), ["a setting", "'data'", "'color'"]),
        (lambda t: t.where(k=7), ["k must be one of", "1, 2", "got 7"]),
        (lambda t: t.where(seed=[]), ["seed must name a value", "got []"]),
        (lambda t: t.values("colour"), ["setting", "'seed'", "'colour'"]),
        (
            lambda t: t.difference("ece", {"variant": "mixup"}, {"variant": "none"}),
            ["first", "all settings", "several"],
        ),
        (lambda t: t.difference("ece", {"k": 2, "seed": 0}, {"variant": "none", "seed": 1}), ["two pairs", "got 1"]),
        (lambda t: t.difference("eke", {"k": 2}, {"variant": "none"}), ["metric", "'ece'", "'eke'"]),
        (lambda t: t[0].value("ece", n_bins=7), ["n_bins must divide 60", "got 7"]),
        (lambda _: of_run(SimpleNamespace(settings=UNLIKE, history=(), predictions=None), 100, {}), ["one alpha"]),
        (lambda _: Atlas([1]), ["runs must be AtlasRuns", "got 1"]),
        (lambda _: mx.atlas(3), ["path must be a path", "got 3"]),
    ],
)
def test_wrong_choices_say_what_there_is(table, call, says):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(table)
    assert all(part in str(caught.value) for part in says), str(caught.value)


def test_a_file_that_is_no_atlas_is_named(table, tmp_path):
    path = tmp_path / "some.safetensors"
    with pytest.raises(FileNotFoundError, match="some"):
        mx.atlas(path)
    with pytest.raises(AtlasError, match="is damaged"):
        mx.atlas(tmp_path)
    path.write_bytes(b"no such thing")
    with pytest.raises(AtlasError, match="is damaged"):
        mx.atlas(path)
    write(path, list(table))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AtlasError, match="is damaged"):
        mx.atlas(path)
    write(path, list(table))
    flipped = bytearray(path.read_bytes())
    flipped[-1000] ^= 1  # one bit of the calibration
    path.write_bytes(flipped)
    with pytest.raises(AtlasError, match="damaged: its bytes"):
        mx.atlas(path)
    write(path, [replace(table[0], id="0" * 16)])
    assert [run.id for run in mx.atlas(path)] == ["0" * 16]


def test_the_recorded_runs_are_those_of_the_grid():
    recorded = read(HERE)
    assert HERE.stat().st_size < 3e6
    assert len({run.id for run in recorded}) == len(recorded)
    for run in recorded:
        assert tool.key(run.settings) in PLACES, run
        assert (run.variant == "none") == (run.alpha is None)
        assert run.curve.shape == (len(run.curve), 7)
        assert len(run.curve) > 1
        assert run.curve[-1, 0] == run.epochs
        assert run.value("accuracy") == pytest.approx(float(run.curve[-1, 2]), abs=1e-6)
        after = [run.value(name, tempered=True) for name in ("nll", "ece")]
        assert run.curve[-1, 5:].tolist() == pytest.approx(after, rel=1e-5, abs=1e-6)
        assert run.tempered.count == run.raw.count == tool.TEST_IMAGES


def test_a_part_that_was_made_elsewhere_is_taken_up(table, tmp_path, monkeypatch):
    here, there = tmp_path / "here.safetensors", tmp_path / "there.safetensors"
    write(here, list(table[:6]))
    write(there, [*table[6:], replace(table[0], seconds=99.0)])
    monkeypatch.setattr(tool, "HERE", here)
    monkeypatch.setattr("sys.argv", ["atlas.py", "--take", str(there), "--minutes", "0"])
    tool.main()
    assert {run.id: run.seconds for run in read(here)} == {run.id: round(run.seconds, 2) for run in table}


def test_runs_that_another_call_wrote_meanwhile_are_kept(table, tmp_path, monkeypatch):
    here = tmp_path / "here.safetensors"

    def trained(*_):
        yield table[0]
        write(here, [*read(here), *table[1:4]])  # another call's
        yield table[4]

    monkeypatch.setattr(tool, "HERE", here)
    monkeypatch.setattr(tool, "trained", trained)
    monkeypatch.setattr("sys.argv", ["atlas.py"])
    tool.main()
    assert {run.id for run in read(here)} == {run.id for run in table[:5]}


def trained_again(run: AtlasRun) -> AtlasRun:
    part, grid = PLACES[tool.key(run.settings)]
    (again,) = part.trained([grid])
    return of_run(again, run.images, run.made)


def test_a_recorded_run_is_trained_again_to_the_same_bits():
    """The cheapest of ten that are drawn by chance, anew each time, where the machine and torch are those of then."""
    here = {"cpu": tool.kind(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    alike = [run for run in read(HERE) if {name: run.made[name] for name in here} == here]
    if not alike:
        pytest.skip("no recorded run was made on a machine like this one")
    drawn = random.SystemRandom().sample(alike, min(10, len(alike)))
    run = min(drawn, key=lambda one: one.forwards)
    try:
        again = trained_again(run)
    except mx.data.DataError as error:
        pytest.skip(f"its data are not here: {error}")
    recorded = ~run.curve.isnan()
    assert recorded[-1].all()
    torch.testing.assert_close(again.curve[recorded], run.curve[recorded], rtol=1e-5, atol=1e-7)
    measured = [COLUMNS.index(name) for name in ("epoch", "accuracy", "nll", "ece")]  # the rest is summed, or fitted
    assert torch.equal(again.curve[:, measured], run.curve[:, measured]), run
    assert torch.equal(again.raw.state[:-4].float(), run.raw.state[:-4].float())
