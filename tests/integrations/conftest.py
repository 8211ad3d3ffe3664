"""What tests of other people's loops ask for: Lightning is imported once, and README.md's blocks run in a folder."""

import pytest
from take_home import readme_names


@pytest.fixture(scope="module")
def MixCallback():
    from mixlab.integrations.lightning import MixCallback

    return MixCallback


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return readme_names()
