"""The runs of a grid, and what is wrong with one."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.runs.grid import FITTING, MIXING, NAMES, planned

KNOWN = ", ".join(map(repr, NAMES))
GRID = "grid must be a mapping from names to values, or a list of such mappings, got "
ALPHA = 'alpha must be a number from 1e-06 to 1e+06 (for no mixing use Mixer("none")), got '
LACKING = "variant must be one that has the setting {!r}, such as {!r}, in some run at least, got {}"


@pytest.fixture(scope="module")
def data() -> Dataset:
    return mx.load("shapes", train_size=40, test_size=20)


def labels(grid: Any, data: Dataset, **given: Any) -> list[str]:
    return [run.label for run in planned(grid, data, {"epochs": 1} | given, elsewhere=False)]


def test_a_grid_is_the_product_of_its_values_and_settings_count_where_they_exist(data):
    grid = {
        "variant": ["none", "mixup", "resizemix", "puzzle"],
        "alpha": (0.2, 1),
        "blocks": [4, (2, 4)],
        "seed": range(2),
    }
    runs = planned(grid, data, {"epochs": 1}, elsewhere=False)
    found = [
        (run.mixing["variant"], run.mixing.get("alpha"), run.mixing.get("blocks"), run.fitting["seed"]) for run in runs
    ]
    wanted = []
    for variant, alpha, blocks, seed in itertools.product(*grid.values()):
        one = (
            variant,
            None if variant in ("none", "resizemix") else alpha,
            blocks if variant == "puzzle" else None,
            seed,
        )
        if one not in wanted:
            wanted.append(one)
    assert found == wanted
    assert [run.label for run in runs[:3]] == [
        "none, seed=0",
        "none, seed=1",
        "mixup, alpha=0.2, seed=0",
    ]


@pytest.mark.parametrize(
    ("grid", "given", "expected"),
    [
        ({"batch_size": [40, 128, 20]}, {}, ["none, batch_size=40", "none, batch_size=20"]),  # as many as there are
        ({"seed": iter([3, 3, np.int64(3)])}, {}, ["none"]),
        ({"variant": ["mixup"], "k": [1, 2]}, {"alpha": 1}, ["mixup, k=1", "mixup, k=2"]),
        ([{"variant": ["mixup"], "alpha": [1.0]}, {"variant": ["mixup"]}], {}, ["mixup"]),
        ([{"seed": [1]}, {"variant": ["none"]}], {"variant": "mixup"}, ["mixup, seed=1", "none, seed=0"]),
        (
            {"learning_rate": np.array([0.1, 2])},
            {"learning_rate": 3},
            ["none, learning_rate=0.1", "none, learning_rate=2.0"],
        ),
        ({"alpha": torch.tensor([0.5, 1.0])}, {"variant": "mixup"}, ["mixup, alpha=0.5", "mixup, alpha=1.0"]),
        ([{}, {"learning_rate": [0.1]}], {}, ["none", "none, learning_rate=0.1"]),
        ([{"variant": ["none"]}, {"variant": ["mixup"], "alpha": [0.5]}], {}, ["none", "mixup"]),
        ({}, {}, ["none"]),
        ({"model": ["quick", "resnet8"]}, {}, ["none, model='quick'", "none, model='resnet8'"]),
    ],
)
def test_equal_runs_count_once_and_are_told_apart_by_what_differs(data, grid, given, expected):
    assert labels(grid, data, **given) == expected


def test_every_name_means_one_thing():
    assert len(set(NAMES)) == len(NAMES) == 2 + len(MIXING) + len(FITTING)
    assert not set(NAMES) & {"grid", "data", "jobs", "cluster", "root", "progress"}


@pytest.mark.parametrize(
    ("error", "message", "grid", "given"),
    [
        (TypeError, f"{GRID}3", 3, {}),
        (TypeError, f"{GRID}'alpha'", "alpha", {}),
        (ValueError, f"{GRID}none", [], {}),
        (TypeError, f"{GRID}'alpha' in the list", ["alpha"], {}),
        (ValueError, f"a name in grid must be one of {KNOWN}, got 'alhpa'; did you mean 'alpha'?", {"alhpa": [1]}, {}),
        (ValueError, f"a name in grid must be one of {KNOWN}, got 3", {3: [1]}, {}),
        (
            ValueError,
            f"a keyword of sweep must be one of {KNOWN}, got 'epoch'; did you mean 'epochs'?",
            {},
            {"epoch": 3},
        ),
        (TypeError, "grid['alpha'] must be a list of values, got 0.4; for one value write [0.4]", {"alpha": 0.4}, {}),
        (
            TypeError,
            "grid['variant'] must be a list of values, got 'mixup'; for one value write ['mixup']",
            {"variant": "mixup"},
            {},
        ),
        (TypeError, "grid['k'] must be a list of values, got an int64 tensor of shape []", {"k": torch.tensor(1)}, {}),
        (ValueError, "grid['seed'] must be a list of values, at least one, got []", {"seed": []}, {}),
        (
            ValueError,
            "grid['seed'] must be a list of values, at most 10,000, got count(10001)",
            {"seed": itertools.count()},
            {},
        ),
        (
            ValueError,
            "grid must stand for at most 10,000 runs, got 20,000",
            {"seed": range(10_000), "variant": ["none", "mixup"]},
            {},
        ),
        (TypeError, "epochs must be given, in grid or as a keyword", [{"epochs": [1]}, {}], {"epochs": None}),
        (
            ValueError,
            LACKING.format("alpha", "mixup", "'none'"),
            {"alpha": [1]},
            {},
        ),
        (
            ValueError,
            LACKING.format("blocks", "puzzle", "'mixup', 'cutmix'"),
            [{"variant": ["mixup"]}, {"variant": ["cutmix"]}],
            {"blocks": 4},
        ),
        (
            ValueError,
            f"{ALPHA}-1; in the run with variant='mixup', alpha=-1",
            {"variant": ["none", "mixup"], "alpha": [1, -1]},
            {},
        ),
        (ValueError, f"{ALPHA}0; in the run with seed=1", {"seed": [1]}, {"variant": "mixup", "alpha": 0}),
        (
            ValueError,
            f"seed must be an integer from 0 to {2**63 - 1}, got -1; in the run with seed=-1",
            {"seed": [0, -1]},
            {},
        ),
        (ValueError, "learning_rate must be a number from 0 to 1e+06, got -2", {}, {"learning_rate": -2}),
        (
            ValueError,
            "learning_rate must be a number from 0 to 1e+06, got -1; in the run with learning_rate=-1",
            {"learning_rate": [0.1, -1]},
            {},
        ),
        (TypeError, "data must be a mixlab Dataset, as mx.load gives it, got 'shapes'", {}, {"data": "shapes"}),
        (ValueError, "jobs must be an integer of at least 1, got 0", {}, {"jobs": 0}),
        (TypeError, "progress must be True or False, got 1", {}, {"progress": 1}),
        (TypeError, "root must be a path, got 3", {}, {"root": 3}),
    ],
)
def test_what_is_wrong_is_said_at_the_call_before_anything_is_written(data, tmp_path, error, message, grid, given):
    given = {"data": data, "epochs": 1, "root": tmp_path / "runs"} | given
    if given["epochs"] is None:
        del given["epochs"]
    with pytest.raises(error) as raised:
        mx.sweep(grid, **given)
    assert str(raised.value) == message
    assert not (tmp_path / "runs").exists()


def test_an_unknown_model_is_named_with_the_nearest(data):
    with pytest.raises(ValueError, match=r"^model must be one of .*'quick'.*, got 'quik'; did you mean 'quick'\?; in"):
        mx.sweep({"model": ["quik"]}, data, epochs=1)


def test_a_layer_that_the_model_does_not_have_is_an_error_of_its_run(data):
    with pytest.raises(ValueError, match=r"^layer must be .*, got 'stage9'.*; in the run with layers=\['stage9'\]$"):
        mx.sweep({"layers": [["input"], ["stage9"]]}, data, variant="manifold", epochs=1)


def test_elsewhere_device_and_arithmetic_are_left_to_the_workers_that_may_have_others(data):
    grid = {"device": [None, "cuda"], "dtype": [None, torch.float32]}
    runs = planned(grid, data, {"epochs": 1}, elsewhere=True)
    assert [(run.fitting["device"], run.fitting["dtype"]) for run in runs] == list(itertools.product(*grid.values()))
    (run,) = planned({"seed": [0]}, data, {"epochs": 1}, elsewhere=True)
    assert not run.fitting.keys() & {"device", "dtype"}
    (run,) = planned({"seed": [0]}, data, {"epochs": 1, "device": "cpu"}, elsewhere=False)
    assert run.fitting["dtype"] in (torch.float32, torch.bfloat16)
