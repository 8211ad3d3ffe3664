"""Wrong labels: as many as asked for, of their law; and those that people gave."""

import numpy as np
import pytest
import torch
from refusals import refuses
from small_pictures import small_data

from mixlab.data import with_human_labels, with_wrong_labels
from mixlab.data.dataset import Dataset, Split


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_wrong_labels_are_as_many_as_said_and_of_their_law(kind):
    data = small_data((1000,) * 4, side=1)
    true = data.train.labels
    noisy, more = (with_wrong_labels(data, share, kind, seed=1) for share in (0.3, 0.6))
    assert int(noisy.wrong.sum()) == 1200
    assert bool(more.wrong[noisy.wrong].all())
    step = (noisy.data.train.labels - true)[noisy.wrong] % 4
    if kind == "pair":
        assert step.unique().tolist() == [1]
    else:
        counts = torch.bincount(step, minlength=4)
        assert counts[0] == 0
        assert counts[1:].tolist() == pytest.approx([400] * 3, abs=70)
    assert torch.equal(noisy.true, true)
    assert noisy.data.test is data.test
    assert noisy.share == 0.3


def test_human_labels(tmp_path):
    true = torch.arange(50_000) % 10
    split = Split(torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8), true)
    data = Dataset("cifar10", split, split, tuple("abcdefghij"))
    worse = ((true + (torch.arange(50_000) % 5 == 0)) % 10).numpy()
    np.savez(tmp_path / "n.npz", worse=worse)
    assert with_human_labels(data, tmp_path / "n.npz").share == 0.2
    refuses(lambda: with_human_labels(data, tmp_path / "n.npz", "aggre"), ValueError, "path", "aggre", "n.npz")
    refuses(lambda: with_human_labels(data, tmp_path / "n.npz", "noisy"), ValueError, "which", "worse", "noisy")
    refuses(lambda: with_human_labels(small_data(), tmp_path), ValueError, "data", "CIFAR-10", "small")
    refuses(lambda: with_wrong_labels(split, 0.1), TypeError, "data", "Dataset", "Split")
