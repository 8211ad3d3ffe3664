"""What tests of trainings train on."""

import pytest

import mixlab as mx
from mixlab.data.dataset import Dataset


@pytest.fixture(scope="session")
def data() -> Dataset:
    """A few images, to be read only."""
    return mx.load("shapes", train_size=160, test_size=40)
