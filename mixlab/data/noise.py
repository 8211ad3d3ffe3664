"""Wrong labels, made or real: symmetric and pair-flip noise of a given share, and what people answered (CIFAR-N)."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixlab import _check
from mixlab._torch_state import usual_defaults
from mixlab.data.dataset import Dataset, Split, check_dataset

KINDS = {
    "symmetric": "any other class, each as likely",
    "pair": "the next class, the last one's next being the first",
}
HUMAN = {"cifar10": ("aggre", "worse", "random1", "random2", "random3"), "cifar100": ("noisy",)}


@dataclass(frozen=True, eq=False)
class Noisy:
    """A data set some of whose training labels are wrong, and which ones.

    Attributes:
        data: is the Dataset to train on; its test labels are right.
        true: holds the right training labels, int64 [N].
    """

    data: Dataset
    true: Tensor

    @property
    def wrong(self) -> Tensor:
        """Which training labels are wrong, bool [N]."""
        return self.data.train.labels != self.true

    @property
    def share(self) -> float:
        """The share of training labels that are wrong."""
        return float(self.wrong.double().mean())


@usual_defaults()
def with_wrong_labels(data: Dataset, share: float, kind: str = "symmetric", *, seed: int = 0) -> Noisy:
    """Make a share of a data set's training labels wrong: exactly that many, rounded, of images drawn by the seed.

    Args:
        data: is a Dataset of at least two classes.
        share: is the share of wrong labels, from 0 to 1. A larger share of the same seed holds the smaller ones.
        kind: is "symmetric" (any other class, each as likely) or "pair" (the next class).
        seed: seeds which labels are wrong, and what they become.

    Returns:
        Noisy. The images are not copied.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise", CVPR 2017; Han et al., "Co-teaching",
    NeurIPS 2018, for pairs. In some papers a symmetric noise may draw the right class again; here it never does.
    """
    check_dataset(data)
    share = _check.number("share", share, 0, 1)
    _check.choice("kind", kind, KINDS)
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX))
    true, classes = data.train.labels, len(data.classes)
    if classes < 2:
        raise ValueError(f"data must have at least two classes, got {classes}")
    order = torch.randperm(len(true), generator=generator)
    further = (
        torch.randint(1, classes, (len(true),), generator=generator) if kind == "symmetric" else torch.ones_like(true)
    )
    chosen = order[: round(share * len(true))].to(true.device)
    labels = true.clone()
    labels[chosen] = (true[chosen] + further.to(true.device)[chosen]) % classes
    return _relabeled(data, labels)


def with_human_labels(data: Dataset, path: str | os.PathLike[str], which: str = "worse") -> Noisy:
    """Take the labels that people gave the training images of CIFAR: real mistakes, not drawn ones.

    Args:
        data: is the whole of CIFAR-10 or CIFAR-100, in its official order.
        path: is your copy of the label sets as an .npz file of int arrays [50000]: for CIFAR-10 with the keys "aggre",
            "worse", "random1", "random2" and "random3" (9 to 40% wrong), for CIFAR-100 "noisy" (40%).
        which: is the key.

    Raises:
        TypeError, ValueError: another data set or a part of one; a file that is not there, or without such labels.

    Source: Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022 (http://noisylabels.com, CC BY-NC 4.0).
    """
    check_dataset(data)
    if data.name not in HUMAN or len(data.train) != 50_000:
        raise ValueError(f"data must be the whole of CIFAR-10 or CIFAR-100, got {data!r}")
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of an .npz file, got {_check.shown(path)}")
    file = Path(path).expanduser()
    _check.choice("which", which, HUMAN[data.name])
    try:
        with np.load(file, allow_pickle=False) as held:
            labels = torch.from_numpy(held[which].astype(np.int64))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"path must be an .npz file with labels {which!r}, got {str(file)!r}: {error}") from None
    _check.class_labels("labels", labels, batch=len(data.train), classes=len(data.classes))
    return _relabeled(data, labels)


def _relabeled(data: Dataset, labels: Tensor) -> Noisy:
    return Noisy(replace(data, train=Split(data.train.images, labels)), data.train.labels)
