"""The peers that mix a batch, each behind one call, and what they do found by running them on images that tell.

`probe` gives a batch whose images are the unit vectors: a mix λ x_i + (1 − λ) x_j then shows λ and j as its entries.
Where a random source is put back to where it was, the next call draws the same again, so that λ and partners of a call
on real images are known without looking into a peer.
"""

import os
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

os.environ.setdefault("KERAS_BACKEND", "torch")  # before keras is imported

MODULES = {  # distribution -> the module whose import says that it is here
    "torchvision": "torchvision.transforms.v2",
    "timm": "timm.data",
    "kornia": "kornia.augmentation",
    "fastai": "fastai.callback.mixup",
    "torch-uncertainty": "torch_uncertainty.transforms.mixup",
    "keras": "keras.layers",
}
CLASSES = 10


@dataclass(frozen=True)
class Peer:
    """One way of mixing of one library.

    Attributes:
        name: its distribution.
        call: what of it is called.
        kind: "mixup" or "cutmix".
        mix: images [B, C, H, W] and class labels [B] to mixed images and what it gives for labels.
        soft: what it gives for labels, as its documentation reads it, as soft labels [B, CLASSES].
        given: picks the λ that it hands back from these; None where it hands back none.
        in_place: whether it mixes in the memory of its input, which is lost then.
        timed: whether it is timed; not where another one does the same work.
    """

    name: str
    call: str
    kind: str
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Any]]
    soft: Callable[[Any], Tensor] = lambda labels: labels
    given: Callable[[Any], Tensor] | None = None
    in_place: bool = False
    timed: bool = True

    def leave(self, x: Tensor, y: Tensor) -> tuple[Tensor, Any]:
        """What `mix` gives of images that are left as they are: where it mixes in place, of a clone."""
        return self.mix(x.clone() if self.in_place else x, y)


def of_torchvision(alpha: float) -> Iterator[Peer]:
    """MixUp and CutMix of the transforms v2."""
    from torchvision.transforms import v2

    for kind, make in (("mixup", v2.MixUp), ("cutmix", v2.CutMix)):
        yield Peer("torchvision", f"v2.{make.__name__}", kind, make(alpha=alpha, num_classes=CLASSES))


def of_timm(alpha: float) -> Iterator[Peer]:
    """Mixup by batch and by element, and CutMix by batch; each mixes its input in place."""
    from timm.data import Mixup

    for kind, mode in (("mixup", "batch"), ("mixup", "elem"), ("cutmix", "batch")):
        alphas = {"mixup_alpha": alpha if kind == "mixup" else 0.0, "cutmix_alpha": alpha if kind == "cutmix" else 0.0}
        mixer = Mixup(**alphas, mode=mode, label_smoothing=0.0, num_classes=CLASSES)
        name = "Mixup" if kind == "mixup" else "Mixup, cutmix"
        yield Peer("timm", f"{name}, mode {mode!r}", kind, mixer, in_place=True)


def of_kornia(alpha: float) -> Iterator[Peer]:
    """RandomMixUpV2, whose λ is uniform whatever α; RandomCutMixV2 with both of its λs."""
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    def column(labels: Tensor) -> Tensor:
        return labels.reshape(-1, 3)[:, 2]

    def of_partner(labels: Tensor) -> Tensor:
        return _two_labels(labels.reshape(-1, 3), 1 - column(labels))

    def of_example(labels: Tensor) -> Tensor:
        return _two_labels(labels.reshape(-1, 3), column(labels))

    keys = ["input", "class"]
    mixup = RandomMixUpV2(p=1.0, data_keys=keys)
    yield Peer("kornia", "RandomMixUpV2", "mixup", mixup, of_partner, column)
    beta = torch.tensor(float(alpha))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the default λ of CutMix
        cutmix = RandomCutMixV2(p=1.0, beta=beta, data_keys=keys)
    yield Peer("kornia", "RandomCutMixV2", "cutmix", cutmix, of_partner, column)
    correct = RandomCutMixV2(p=1.0, beta=beta, data_keys=keys, use_correct_lambda=True)
    yield Peer("kornia", "RandomCutMixV2, use_correct_lambda", "cutmix", correct, of_example, column, timed=False)


def of_fastai(alpha: float) -> Iterator[Peer]:
    """The callbacks MixUp and CutMix, their before_batch called with the least of a learner."""
    from fastai.callback.mixup import CutMix, MixUp

    def called(callback: Any) -> Callable[[Tensor, Tensor], tuple[Tensor, Any]]:
        def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Any]:
            callback.learn = SimpleNamespace(x=x, y=y, xb=(x,), yb=(y,), loss_func=SimpleNamespace(y_int=True))
            callback.before_train()
            callback.before_batch()
            return callback.learn.xb[0], (y, callback.yb1[0], callback.lam)

        return mix

    def soft(labels: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        own, other, lam = labels
        return _two_labels(torch.stack([own, other], 1), lam.expand(len(own)))

    def given(labels: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return labels[2]

    yield Peer("fastai", "MixUp", "mixup", called(MixUp(alpha)), soft, given)
    yield Peer("fastai", "CutMix", "cutmix", called(CutMix(alpha)), soft, given, in_place=True)


def of_torch_uncertainty(alpha: float) -> Iterator[Peer]:
    """Mixup."""
    from torch_uncertainty.transforms.mixup import Mixup

    yield Peer("torch-uncertainty", "Mixup", "mixup", Mixup(alpha=alpha, num_classes=CLASSES))


def of_keras(alpha: float) -> Iterator[Peer]:
    """The layers MixUp and CutMix on the torch backend; they take one-hot labels, and making these is in the call.

    CutMix has no α of its own to set: it draws one, uniform from 0 to `factor`.
    """
    from keras.layers import CutMix, MixUp

    def called(layer: Any) -> Callable[[Tensor, Tensor], tuple[Tensor, Any]]:
        def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Any]:
            mixed = layer({"images": x, "labels": functional.one_hot(y, CLASSES).float()})
            return mixed["images"], mixed["labels"]

        return mix

    yield Peer("keras", "layers.MixUp", "mixup", called(MixUp(alpha)))
    cutmix = called(CutMix(min(1.0, alpha), data_format="channels_first"))
    yield Peer("keras", "layers.CutMix", "cutmix", cutmix)


MAKERS = dict(
    zip(MODULES, (of_torchvision, of_timm, of_kornia, of_fastai, of_torch_uncertainty, of_keras), strict=True)
)


def here(absent: dict[str, str], alpha: float = 1.0) -> list[Peer]:
    """Every peer that is not absent (see `harness.absent`), new, mixing with this α."""
    return [peer for name, make in MAKERS.items() if name not in absent for peer in make(alpha)]


def replayed(peer: Peer, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Any]:
    """What a new peer of this kind gives, at α = 1, with every source of randomness set; x is left as it is."""
    random.seed(seed)  # keras draws its seed here, when a layer is made
    np.random.seed(seed)  # noqa: NPY002 - timm draws from it
    torch.manual_seed(seed)
    fresh = next(other for other in MAKERS[peer.name](1.0) if other.call == peer.call)
    return fresh.mix(x.clone(), y)


def drawn(peer: Peer, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """λ of the example, float64 [count], and partner [count] of the mixup that `replayed` does with this seed."""
    y = torch.zeros(count, dtype=torch.long)
    try:
        mixed, _ = replayed(peer, probe(count, torch.float64), y, seed)
    except RuntimeError:  # fastai mixes what has λ's type alone
        mixed, _ = replayed(peer, probe(count, torch.float32), y, seed)
    return read(mixed)


def read(mixed: Tensor) -> tuple[Tensor, Tensor]:
    """λ of the example, float64 [count], and partner [count] of the mixed images of `probe`."""
    count = len(mixed)
    mixed = mixed.double().view(count, count)
    others = mixed - torch.diag(mixed.diagonal())
    alone = others.amax(1) == 0  # one's own partner
    partner = torch.where(alone, torch.arange(count), others.argmax(1))
    return torch.where(alone, 1.0, mixed.diagonal()), partner


def pasted(mixed: Tensor) -> tuple[Tensor, Tensor]:
    """Share of its own pixels, float64 [count], and partner [count] of each of the cut images of `coded`."""
    own = torch.arange(len(mixed))
    alien = mixed.flatten(1) != own[:, None]
    partner = mixed.flatten(1).gather(1, alien.int().argmax(1, keepdim=True))[:, 0].long()
    return 1 - alien.double().mean(1), partner


def _two_labels(labels: Tensor, lam: Tensor) -> Tensor:
    """λ onehot(first) + (1 − λ) onehot(second), in λ's own type."""
    own, other = (functional.one_hot(labels[:, i].long(), CLASSES).to(lam.dtype) for i in (0, 1))
    return lam[:, None] * own + (1 - lam[:, None]) * other


def probe(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """[count, 1, count, 1]: image i is 1 at row i and 0 elsewhere."""
    return torch.eye(count, dtype=dtype).view(count, 1, count, 1)


def coded(count: int, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[count, 1, side, side]: every pixel of image i is i, so that a pasted pixel tells whose it is."""
    return torch.arange(count, dtype=dtype).view(-1, 1, 1, 1).expand(-1, 1, side, side).clone()
