"""What tests of runs compare with: the tiny run, trained without a break."""

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import contents, tiny_run

import mixlab as mx
from mixlab.data.dataset import Dataset


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has the tiny run; to be read only."""
    root = tmp_path_factory.mktemp("tiny")
    tiny_run(root)
    return root


@pytest.fixture(scope="session")
def wanted(root: Path) -> dict[str, Any]:
    """What the tiny run comes to."""
    return contents(mx.runs(root)[0])


@pytest.fixture(scope="session")
def data() -> Dataset:
    """A few images for sweeps."""
    return mx.load("shapes", train_size=40, test_size=20)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread of torch's for each process, as Dask sets it for its workers."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
