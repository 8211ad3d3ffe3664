"""Small networks for small images, each naming the points where hidden states can be mixed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check


def quick(num_classes: int, *, seed: int = 0) -> nn.Module:
    """A net for two CPU cores: 0.2 million weights, wide only where the image is small.

    The shape is airbench's (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024) at about a third of its width: a fixed
    whitening of 2×2 patches, three stages that halve the image after their first convolution, and a linear read-out.

    Args:
        num_classes: how many logits to give.
        seed: of the initial weights; the global random state is left alone.

    Returns:
        A module from normalised float images [B, 3, 32, 32] to logits [B, num_classes], with `mixing_points`.
    """
    return _seeded(seed, lambda: Quick(_check.integer("num_classes", num_classes, 2)))


def resnet8(num_classes: int, *, seed: int = 0) -> nn.Module:
    """ResNet of He et al. (2016), section 4.2, with n = 1: 75 thousand weights. Arguments as for `quick`."""
    return _seeded(seed, lambda: ResNet(_check.integer("num_classes", num_classes, 2), blocks=1))


def resnet20(num_classes: int, *, seed: int = 0) -> nn.Module:
    """ResNet of He et al. (2016), section 4.2, with n = 3: 270 thousand weights. Arguments as for `quick`."""
    return _seeded(seed, lambda: ResNet(_check.integer("num_classes", num_classes, 2), blocks=3))


class Quick(nn.Module):
    """See `quick`; `widths` are the channels of the three stages."""

    mixing_points = ("input", "stage1", "stage2", "stage3")

    def __init__(self, num_classes: int, widths: tuple[int, int, int] = (24, 64, 96)) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight = nn.Parameter(_whitening(), requires_grad=False)
        self.stage1 = _quick_stage(24, widths[0])
        self.stage2 = _quick_stage(widths[0], widths[1])
        self.stage3 = _quick_stage(widths[1], widths[2])
        self.head = nn.Linear(widths[2], num_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalised images [B, 3, H, W]."""
        x = functional.gelu(self.whiten(x))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.head(x.amax((2, 3))) / 9  # airbench's scale of the logits
        return logits


def _quick_stage(before: int, after: int) -> nn.Sequential:
    first, second = (
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
    )
    for conv in (first, second):  # begin by passing the channels on, as airbench does
        nn.init.dirac_(conv.weight[: conv.in_channels])
    return nn.Sequential(
        first, nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.GELU(), second, nn.BatchNorm2d(after), nn.GELU()
    )


def _whitening() -> Tensor:
    """Filters [24, 3, 2, 2] that decorrelate the 2×2 patches of a natural image, and their negatives.

    In normalised photographs neighbouring pixels correlate by about 0.95, and so do the colour channels. The
    eigenvectors of that covariance, divided by the roots of their eigenvalues, whiten it.
    """
    distance = torch.tensor([[0.0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]])
    space = 0.95**distance
    colour = torch.full((3, 3), 0.94) + 0.06 * torch.eye(3)
    values, vectors = torch.linalg.eigh(torch.kron(colour, space))
    filters = (vectors / torch.sqrt(values + 5e-4)).T.reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters])


class ResNet(nn.Module):
    """See `resnet8` and `resnet20`; `blocks` in each of three stages."""

    mixing_points = ("input", "stage1", "stage2", "stage3")

    def __init__(self, num_classes: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stage1 = _resnet_stage(16, 16, blocks)
        self.stage2 = _resnet_stage(16, 32, blocks)
        self.stage3 = _resnet_stage(32, 64, blocks)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalised images [B, 3, H, W]."""
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _resnet_stage(before: int, after: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(before if i == 0 else after, after) for i in range(blocks)))


class _Block(nn.Module):
    """Two convolutions and a short cut; where the width grows, the short cut is subsampled and padded with zeros."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride = after // before
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=self.stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.body(x)
        short = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(residual + functional.pad(short, (0, 0, 0, 0, 0, residual.shape[1] - x.shape[1])))


def _seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes when the global CPU generator starts at `seed`; afterwards that generator is as before."""
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
