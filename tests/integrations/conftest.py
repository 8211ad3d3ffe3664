"""What tests of other people's loops ask for: Lightning is imported once, and README.md's blocks run in a folder."""

import copy

import pytest
import torch
from take_home import learnable, network
from torch.utils.data import DataLoader, TensorDataset

import mixlab as mx


@pytest.fixture(scope="module")
def MixCallback():
    from mixlab.integrations.lightning import MixCallback

    return MixCallback


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the blocks take for granted: a model, its data, and what the first block made."""
    monkeypatch.chdir(tmp_path)
    model = network()
    given = {"mx": mx, "mixer": mx.Mixer("mixup", alpha=0.4), "model": model}
    given["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
    given["loader"] = DataLoader(learnable(), batch_size=8, drop_last=True)
    given["data"] = TensorDataset(*(part.repeat(7, *[1] * (part.ndim - 1)) for part in learnable().tensors))
    return given | {"before": copy.deepcopy(model.state_dict())}
