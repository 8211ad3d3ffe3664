"""The checks behind every message: what passes, and how what came is shown."""

import math
import re

import numpy as np
import pytest
import torch
from refusals import each_refused

from mixlab import _check


def test_a_generator_of_another_device(monkeypatch):
    class Elsewhere:
        device = torch.device("cuda:1")

    here = torch.Generator()
    assert _check.generator(here, torch.device("cpu")) is here
    assert _check.generator(None, torch.device("cuda:0")) is None
    with pytest.raises(ValueError, match=r"^generator must live on cuda:0, .* got one on cpu$"):
        _check.generator(here, torch.device("cuda:0"))
    monkeypatch.setattr(torch, "Generator", Elsewhere)
    with pytest.raises(ValueError, match=r"^generator must live on cuda:0, .* got one on cuda:1$"):
        _check.generator(Elsewhere(), torch.device("cuda:0"))
    assert _check.generator(Elsewhere(), torch.device("cuda:1")) is not None
    assert _check.generator(Elsewhere(), torch.device("cuda")) is not None  # "cuda" is whichever card is current


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(2, 3), "a float32 tensor of shape [2, 3]"),
        (torch.zeros(1, dtype=torch.int64), "an int64 tensor of shape [1]"),
        (torch.zeros((), dtype=torch.uint8), "a uint8 tensor of shape []"),
        ("a", "'a'"),
        ("a" * 100, "'" + "a" * 56 + "..."),
        (np.zeros((2, 2)), "array([[0., 0.], [0., 0.]])"),
    ],
)
def test_what_came_is_shown_on_one_short_line(value, text):
    assert _check.shown(value) == text


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0), torch.tensor([2])])
def test_numbers_of_any_kind_are_numbers(value):
    assert _check.number("alpha", value, 0, 3) == 2.0
    assert type(_check.number("alpha", value, 0, 3)) is float


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), torch.tensor(2)])
def test_whole_numbers_of_any_kind_are_integers(value):
    assert _check.integer("k", value, 1, 2) == 2
    assert type(_check.integer("k", value, 1, 2)) is int


test_wrong_values_are_named_with_what_is_allowed = each_refused(
    *[(lambda v=v: _check.number("a", v, 0, 3), "a must .* from 0 to 3, got") for v in (True, "1", [1], -1, 4)],
    *[(lambda v=v: _check.number("a", v, 0, math.inf), "a must .* got") for v in (math.nan, math.inf, 10**400)],
    *[(lambda v=v: _check.integer("k", v, 1, 8), "k must .* from 1 to 8, got") for v in (True, "1", 1.5, 0, 9)],
    (lambda: _check.integer("k", 0, 1), "k must be an integer of at least 1, got 0"),
    (lambda: _check.flag("f", 1), "f must be True or False, got 1"),
    (lambda: _check.choice("c", "rol", ("roll", "random")), "c must .* 'random', got 'rol'; did you mean 'roll'"),
)


def test_a_device_is_one_of_this_machine():
    for value in ("cpu", torch.device("cpu"), "cpu:0"):
        assert _check.device("device", value) == torch.device(value)
    for value in ("gpu", "", "meta", torch.device("cuda:99"), 3, None, True):
        with pytest.raises((TypeError, ValueError), match=f"^where must be a device .* got {re.escape(repr(value))}$"):
            _check.device("where", value)
