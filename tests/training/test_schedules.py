"""Schedules of the learning rate against numpy's interpolation and torch's schedulers."""

import json
import math

import numpy as np
import pytest
import torch
from refusals import each_refused

from mixlab.training import schedules
from mixlab.training.schedules import TRIANGLE, Cosine, Linear, Steps, at_step

AIRBENCH = Linear(((0, 0.2), (0.23, 1), (1, 0.07)))


@pytest.mark.parametrize("schedule", [TRIANGLE, AIRBENCH, Linear([(0, 1), (1, 1)])])
def test_linear_is_numpys_interpolation(schedule: Linear) -> None:
    progress = np.linspace(0, 1, 1001)
    assert np.allclose([schedule(p) for p in progress], np.interp(progress, *np.array(schedule.points).T), atol=1e-15)
    for place, share in schedule.points:
        assert schedule(place) == share


@pytest.mark.parametrize("steps", [10, 480])
def test_cosine_is_torchs(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        assert math.isclose(Cosine()(step / steps), theirs.get_last_lr()[0], abs_tol=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("steps", [4, 200, 78_000, 100_000])
def test_steps_begin_where_a_share_of_the_steps_is_done(steps: int) -> None:
    schedule = Steps((0.5, 0.75), 0.1)
    half, later = steps // 2, steps * 3 // 4
    shares = [at_step(schedule, step, steps) for step in (0, half - 1, half, later - 1, later, steps - 1)]
    assert shares == [1, 1, 0.1, 0.1, 0.1**2, 0.1**2]


@pytest.mark.parametrize("schedule", [AIRBENCH, Cosine(), Steps([0.5], 0.1)])
def test_settings_are_json_and_schedules_are_values(schedule: schedules.Schedule) -> None:
    assert json.loads(json.dumps(schedule.settings)) == schedule.settings
    assert hash(schedule) == hash(eval(repr(schedule)))
    assert eval(repr(schedule)) == schedule
    assert schedules.check(schedule) is schedule


test_wrong_input = each_refused(
    (lambda: Linear(3), r"points .* pairs \(progress, share\), got 3"),
    (lambda: Linear([(0, 0)]), r"points must be two or more .* got \[\(0, 0\)\]"),
    (lambda: Linear([(0, 0), (0.5, 1)]), "points .* rises from 0 to 1, got"),
    (lambda: Linear([(0, 0), (0.5, 1), (0.5, 0), (1, 0)]), "points .* rises from 0 to 1, got"),
    (lambda: Linear([(0, 0), (1, 2)]), r"points\[1\]\[1\] .* from 0 to 1, got 2"),
    (lambda: Steps(0.5, 0.1), "at must be a rising sequence .* got 0.5"),
    (lambda: Steps((0.7, 0.5), 0.1), "at must be a rising sequence"),
    (lambda: Steps((0.5, 100), 0.1), r"at\[1\] .* from 0 to 1, got 100"),
    (lambda: schedules.check(Cosine), "schedule must be .*Linear, Cosine or Steps, got <class"),
)
