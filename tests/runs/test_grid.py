"""The runs of a grid, and what is wrong with one."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import raising

import mixlab as mx
from mixlab.runs.grid import FITTING, MIXING, NAMES, planned

BOTH, MANIFOLD = [{"variant": ["mixup"]}, {"variant": ["cutmix"]}], {"variant": "manifold"}
ALPHAS = {"variant": ["none", "mixup"], "alpha": [1, -1]}


def test_a_grid_is_the_product_of_its_values_and_settings_count_where_they_exist(data):
    grid = {"variant": ["none", "mixup", "puzzle"], "alpha": (0.2, 1), "blocks": [4, (2, 4)], "seed": [0, 1]}
    runs = planned(grid, data, {"epochs": 1})
    wanted: dict[tuple[Any, ...], None] = {}  # in the order of the grid
    for variant, alpha, blocks, seed in itertools.product(*grid.values()):
        has_alpha, has_blocks = variant in ("mixup", "puzzle"), variant == "puzzle"
        wanted[variant, alpha if has_alpha else None, blocks if has_blocks else None, seed] = None
    settings = [{**run.mixing, **run.fitting} for run in runs]
    assert [tuple(one.get(name) for name in grid) for one in settings] == list(wanted)
    assert [run.label for run in runs[:3]] == ["none, seed=0", "none, seed=1", "mixup, alpha=0.2, seed=0"]


@pytest.mark.parametrize(
    ("grid", "given", "expected"),
    [
        ({"batch_size": [40, 128, 20]}, {}, ["none, batch_size=40", "none, batch_size=20"]),  # as many as there are
        ({"seed": iter([3, 3, np.int64(3)])}, {}, ["none"]),
        ({"variant": ["mixup"], "k": [1, 2]}, {"alpha": 1}, ["mixup, k=1", "mixup, k=2"]),
        ([{"variant": ["mixup"], "alpha": [1.0]}, {"variant": ["mixup"]}], {}, ["mixup"]),
        ([{"seed": [1]}, {"variant": ["none"]}], {"variant": "mixup"}, ["mixup, seed=1", "none, seed=0"]),
        ({"learning_rate": np.array([0.1, 2])}, {}, ["none, learning_rate=0.1", "none, learning_rate=2.0"]),
        ({"alpha": torch.tensor([0.5, 1.0])}, {"variant": "mixup"}, ["mixup, alpha=0.5", "mixup, alpha=1.0"]),
        ([{}, {"learning_rate": [0.1]}], {}, ["none", "none, learning_rate=0.1"]),
        ([{"variant": ["none"]}, {"variant": ["mixup"], "alpha": [0.5]}], {}, ["none", "mixup"]),
        ({}, {}, ["none"]),
        ({"model": ["quick", "resnet8"]}, {}, ["none, model='quick'", "none, model='resnet8'"]),
    ],
)
def test_equal_runs_count_once_and_are_told_apart_by_what_differs(data, grid, given, expected):
    assert [run.label for run in planned(grid, data, {"epochs": 1} | given)] == expected


def test_every_name_means_one_thing():
    assert len(set(NAMES)) == len(NAMES) == 2 + len(MIXING) + len(FITTING)
    assert not set(NAMES) & {"grid", "data", "jobs", "cluster", "root", "progress"}


@pytest.mark.parametrize(
    ("error", "words", "grid", "given"),
    [
        (TypeError, ["grid must be a mapping", "got 3"], 3, {}),
        (TypeError, ["grid must be a mapping", "got 'alpha'"], "alpha", {}),
        (TypeError, ["grid must be a mapping", "got []"], [], {}),
        (TypeError, ["grid must be a mapping", "got ['alpha']"], ["alpha"], {}),
        (ValueError, ["a name in grid", "got 'alhpa'", "did you mean 'alpha'"], {"alhpa": [1]}, {}),
        (ValueError, ["a name in grid", "got 3"], {3: [1]}, {}),
        (ValueError, ["a keyword of sweep", "got 'epoch'", "did you mean 'epochs'"], {}, {"epoch": 3}),
        (TypeError, ["grid['alpha'] must be a list of values", "got 0.4", "[0.4]"], {"alpha": 0.4}, {}),
        (TypeError, ["grid['variant'] must be a list", "got 'mixup'", "['mixup']"], {"variant": "mixup"}, {}),
        (TypeError, ["grid['k'] must be a list", "got an int64 tensor of shape []"], {"k": torch.tensor(1)}, {}),
        (ValueError, ["grid['seed'] must be a list", "at least one", "got []"], {"seed": []}, {}),
        (TypeError, ["epochs must be given"], [{"epochs": [1]}, {}], {"epochs": None}),
        (ValueError, ["the setting 'alpha', such as 'mixup'", "got 'none'"], {"alpha": [1]}, {}),
        (ValueError, ["'blocks', such as 'puzzle'", "got 'mixup', 'cutmix'"], BOTH, {"blocks": 4}),
        (ValueError, ["alpha", "got -1; in the run with variant='mixup', alpha=-1"], ALPHAS, {}),
        (ValueError, ["alpha", "got 0; in the run with seed=1"], {"seed": [1]}, {"variant": "mixup", "alpha": 0}),
        (ValueError, ["model must be one of", "got 'quik'", "did you mean 'quick'"], {"model": ["quik"]}, {}),
        (ValueError, ["layer", "got 'stage9'", "with layers=['stage9']"], {"layers": [["stage9"]]}, MANIFOLD),
        (TypeError, ["data must be a mixlab Dataset", "got 'shapes'"], {}, {"data": "shapes"}),
        (ValueError, ["jobs must be", "got 0"], {}, {"jobs": 0}),
    ],
)
def test_what_is_wrong_is_said_at_the_call_before_anything_is_written(data, tmp_path, error, words, grid, given):
    given = {"data": data, "epochs": 1, "root": tmp_path / "runs"} | given
    with raising(error, *words):
        mx.sweep(grid, **{name: value for name, value in given.items() if value is not None})
    assert not (tmp_path / "runs").exists()


def test_device_and_arithmetic_are_left_to_the_workers_that_may_have_others(data):
    grid = {"device": [None, "cuda"], "dtype": [None, torch.float32]}
    runs = planned(grid, data, {"epochs": 1})
    assert [(run.fitting["device"], run.fitting["dtype"]) for run in runs] == list(itertools.product(*grid.values()))
    (run,) = planned({"seed": [0]}, data, {"epochs": 1})
    assert not run.fitting.keys() & {"device", "dtype"}
