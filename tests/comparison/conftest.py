"""Comparisons of a few milliseconds, on the tiny data set of the runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import PLAIN, dataset, net

import mixlab as mx
from mixlab.comparison import Comparison

MIXERS = {"none": mx.Mixer("none"), "soft": mx.Mixer("mixup", alpha=0.2), "cut": mx.Mixer("cutmix")}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Comparison]:
    """A comparison of three mixers over two seeds, or one with other arguments."""

    def compared(root: Path, **changed: Any) -> Comparison:
        given = {"mixers": MIXERS, "seeds": 2, "model": net, "epochs": 3, "root": root, **PLAIN, **changed}
        return mx.compare(dataset(train=24, test=60), **given)

    return compared


@pytest.fixture(scope="session")
def comparison(tiny: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The finished comparison; to be read only."""
    return tiny(tmp_path_factory.mktemp("comparison"))
