"""The checks behind every message: what passes, and how what came is shown."""

import re

import numpy as np
import pytest
import torch

from mixlab import _check


def test_a_generator_of_another_device():
    message = "generator must live on cuda:0, where it draws, got one on cpu"
    with pytest.raises(ValueError, match=f"^{message}$"):
        _check.generator(torch.Generator(), torch.device("cuda:0"))
    here = torch.Generator()
    assert _check.generator(here, torch.device("cpu")) is here
    assert _check.generator(None, torch.device("cuda:0")) is None


def test_a_generator_of_another_card(monkeypatch):
    class Elsewhere:
        device = torch.device("cuda:1")

    monkeypatch.setattr(torch, "Generator", Elsewhere)
    with pytest.raises(ValueError, match=r"^generator must live on cuda:0, where it draws, got one on cuda:1$"):
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


def test_an_integer_with_a_top_says_both_ends():
    with pytest.raises(ValueError, match=r"^k must be an integer from 1 to 8, got 9$"):
        _check.integer("k", 9, 1, 8)


def test_a_device_is_one_of_this_machine():
    for value in ("cpu", torch.device("cpu"), "cpu:0"):
        assert _check.device("device", value) == torch.device(value)
    wanted = 'where must be a device of this machine, such as "cpu" or "cuda", got '
    elsewhere = torch.device("cuda:99")
    for value in ("gpu", "", "meta", "cuda:99", elsewhere):
        with pytest.raises(ValueError, match=f"^{re.escape(wanted + repr(value))}$"):
            _check.device("where", value)
    for wrong in (3, 1.5, None, True):
        with pytest.raises(TypeError, match=f"^{re.escape(wanted + repr(wrong))}$"):
            _check.device("where", wrong)
