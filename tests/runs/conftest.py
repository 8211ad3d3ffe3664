"""What tests of runs compare with: the tiny run, trained without a break."""

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import contents, tiny_run

import mixlab as mx


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
