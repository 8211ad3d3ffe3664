"""What users of libraries for mixing reported, and what is right: one row a report.

A row names the public thread, says in one sentence what was asked or went wrong there, and compares what mixlab gives
for such an input with a value calculated without it, or with the words of the error that is due.
"""

from typing import Any

import numpy as np
import pytest
import torch
from reported import Report, judge, refused
from scipy.stats import beta
from seeding import seeded
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

import mixlab as mx

X = torch.randn(8, 3, 6, 4, generator=seeded(1))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
PARTNER = Y.flip(0)
Z = torch.randn(8, 3, generator=seeded(3), dtype=torch.float64)
LAM = torch.linspace(0, 1, 8)
WEIGHT = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)


def one_hot(y: Tensor) -> Tensor:
    return functional.one_hot(y, 3).double()


SOFT = LAM.double()[:, None] * one_hot(Y) + (1 - LAM.double()[:, None]) * one_hot(PARTNER)


def soft_loss(targets: Tensor) -> Tensor:
    return -(targets * Z.log_softmax(1)).sum(1).mean()


def mixed(variant: str = "mixup", x: Tensor = X, y: Tensor = Y, **settings: Any) -> mx.Mixed:
    return mx.Mixer(variant, **settings)(x, y, generator=seeded(0))


def numbered(*shape: int) -> Tensor:
    """Images that are filled with their own number."""
    return torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()


def own_share(mixes: Tensor) -> Tensor:
    """Of mixes of `numbered` images without a partner of the same number: the share that is the example's own."""
    own = torch.arange(float(len(mixes))).view(-1, *[1] * (mixes.ndim - 1))
    return (mixes == own).float().flatten(1).mean(1)


def cut(*shape: int, variant: str = "cutmix") -> mx.Mixed:
    return mixed(variant, numbered(*shape), torch.arange(shape[0]), distinct=True)


def shares_of_lambda(alpha: float) -> list[float]:
    """How often λ is near 0, in the middle, near 1."""
    lam = mx.sample_lambda(alpha, (100_000,), generator=seeded(0))
    return [float(part.double().mean()) for part in (lam < 0.1, (lam >= 0.1) & (lam <= 0.9), lam > 0.9)]


def batches(count: int, size: int, workers: int = 0) -> list[Any]:
    data = [(X[i % 8], int(Y[i % 8])) for i in range(count)]
    torch.manual_seed(0)
    return list(DataLoader(data, size, num_workers=workers, collate_fn=mx.MixCollate(mx.Mixer("mixup"))))


MIXING = [
    Report(
        "facebookresearch/mixup-cifar10#9",
        "class numbers or one-hot rows: both are labels",
        lambda: mx.mixed_cross_entropy(Z, one_hot(Y), one_hot(PARTNER), LAM),
        lambda: soft_loss(SOFT),
    ),
    Report(
        "huggingface/pytorch-image-models#46",
        "the loss of the mixed label is the mix of the losses",
        lambda: mx.mixed_cross_entropy(Z, Y, PARTNER, LAM),
        lambda: soft_loss(SOFT),
    ),
    Report(
        "keras-team/keras-cv#69",
        "labels smoothed before mixing or after it give one loss",
        lambda: mx.mixed_cross_entropy(Z, Y, PARTNER, LAM, label_smoothing=0.1),
        lambda: soft_loss(0.9 * SOFT + 0.1 / 3),
    ),
    Report(
        "pytorch/vision#9222",
        "MixUp knows no ignore_index",
        lambda: mx.mixed_cross_entropy(Z, Y, PARTNER, torch.ones(8), ignore_index=2),
        lambda: functional.cross_entropy(Z, Y, ignore_index=2),
    ),
    Report(
        "alireza-nasiri/SoundCLR#5",
        "class weights for mixed labels",
        lambda: mx.mixed_cross_entropy(Z, Y, PARTNER, torch.ones(8), weight=WEIGHT),
        lambda: functional.cross_entropy(Z, Y, weight=WEIGHT),
    ),
    Report(
        "fastai/fastai_dev#269",
        "multi-label targets were broadcast against λ",
        lambda: mixed(y=(one_hot(Y) + one_hot(Y + 1 - 3 * (Y == 2).long())).float()).targets().sum(1),
        torch.full((8,), 2.0),
    ),
    Report(
        "xudonmao/VMT#1",
        "images and labels got different partners",
        lambda: mixed(x=numbered(8, 1, 2, 2), y=torch.arange(8)).targets(8) @ torch.arange(8.0),
        lambda: mixed(x=numbered(8, 1, 2, 2), y=torch.arange(8)).x[:, 0, 0, 0],
    ),
    Report(
        "huggingface/pytorch-image-models#1143",
        "the caller's batch was overwritten",
        lambda: (mixed(x=(same := X.clone())), same)[1],
        X,
    ),
    Report(
        "TorchSSL/TorchSSL#69",
        "one λ for a whole batch where each example should have its own",
        lambda: len(mixed().lam.unique()),
        8,
    ),
    Report(
        "albumentations-team/albumentations#1563",
        "λ and the partner are needed afterwards",
        lambda: mixed(x=X.double()).x,
        lambda: (
            torch.stack([m.lam[i] * X[i] + (1 - m.lam[i]) * X[m.plan.partner[i]] for i in range(8)])
            if (m := mixed(x=X.double()))
            else None
        ),
    ),
    Report(
        "kornia/kornia#4657", "λ of bfloat16 images was rounded", lambda: mixed(x=X.bfloat16()).lam, lambda: mixed().lam
    ),
    Report(
        "pytorch/pytorch#84625",
        "Beta(α, α) becomes a spike at 0.5 as α goes to 0",
        lambda: shares_of_lambda(1e-3)[1],
        lambda: pytest.approx(beta.cdf(0.9, 1e-3, 1e-3) - beta.cdf(0.1, 1e-3, 1e-3), abs=1e-3),
    ),
    Report(
        "pytorch/pytorch#15738",
        "at α = 0.01 the histogram is wrong between the ends",
        lambda: shares_of_lambda(0.01),
        lambda: pytest.approx(np.diff(beta.cdf([0, 0.1, 0.9, 1], 0.01, 0.01)).tolist(), abs=6e-3),
    ),
    Report(
        "clovaai/CutMix-PyTorch#1",
        "λ is not corrected for a box that is clipped at the edge",
        lambda: (m := cut(8, 3, 6, 4)).lam - own_share(m.x),
        torch.zeros(8),
    ),
    Report(
        "kornia/kornia#3077",
        "CutMix's λ is the share of the other image",
        lambda: (m := cut(8, 3, 32, 32)).lam - own_share(m.x),
        torch.zeros(8),
    ),
    Report(
        "tensorflow/models#11271",
        "the width of the box was computed from the height",
        lambda: cut(64, 1, 40, 4).plan.box.view(-1, 4).amax(0).tolist()[2:],
        [40, 4],
    ),
    Report(
        "yukiu00/kaggle-child-mind-institute-detect-sleep-states#62",
        "on signals the length of the cut is 1 − λ, without a square root",
        lambda: (m := cut(64, 2, 500)).lam - own_share(m.x),
        torch.zeros(64),
    ),
    Report(
        "pytorch/vision#6731",
        "in a video each frame got a partner of its own",
        lambda: (m := cut(8, 3, 5, 6, 4)).lam - own_share(m.x),
        torch.zeros(8),
    ),
    Report(
        "Project-MONAI/MONAI#8137",
        "CutMix blends the masks of a segmentation",
        lambda: set(cut_masks().unique().tolist()) <= {0, 7, 255},
        True,
    ),
    Report(
        "pytorch/vision#9215",
        "mixup for segmentation: masks are never blended into classes that do not exist",
        lambda: refused(lambda: mx.Mixer("mixup").plan(X).apply(torch.zeros(8, 6, 4, dtype=torch.int64)), TypeError),
        "labels",
    ),
    Report(
        "dsfsi/textaugment#17",
        "word numbers were mixed as if they were amounts",
        lambda: refused(lambda: mixed(x=torch.randint(0, 50, (8, 12), generator=seeded(0))), TypeError),
        "x must be",
    ),
    Report(
        "huggingface/pytorch-image-models#1304",
        "a batch of odd size is refused",
        lambda: [len(batch[0]) for batch in batches(15, 8)],
        [8, 7],
    ),
    Report(
        "DBD-research-group/BirdSet#274",
        "the last batch holds one example",
        lambda: [len(batch[0]) for batch in batches(9, 8)],
        [8, 1],
    ),
    Report(
        "Lightning-AI/pytorch-lightning#20412",
        "each epoch repeats the same mixes",
        lambda: torch.equal(*(batch[3] for batch in batches(16, 8))),
        False,
    ),
    Report(
        "mosaicml/composer#793",
        "the same seed gives other mixes",
        lambda: torch.stack([batch[3] for batch in batches(16, 4, workers=2)]),
        lambda: torch.stack([batch[3] for batch in batches(16, 4, workers=2)]),
    ),
]


def cut_masks() -> Tensor:
    plan = mx.Mixer("cutmix").plan(X, generator=seeded(0))
    return plan.apply(torch.tensor([0, 7, 255])[torch.randint(0, 3, (8, 6, 4), generator=seeded(1))])


@pytest.mark.parametrize("report", MIXING, ids=lambda report: f"{report.thread}: {report.says}")
def test_what_was_reported_is_right(report):
    judge(report)
