"""The shape of airbench (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024), at two widths.

A fixed whitening of 2×2 patches, three stages that halve the image after their first convolution, and a linear
read-out of the largest value of each channel.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

_RIDGE = 5e-4  # added to the eigenvalues, so that what hardly varies is not blown up
_CHUNK = 250  # images whose patches are laid out at a time


class Quick(nn.Module):
    """See `mixlab.models.quick`; `widths` are the channels of the three stages, `norm` normalizes that many."""

    mixing_points = ("input", "stage1", "stage2", "stage3")

    def __init__(
        self,
        num_classes: int,
        channels: int = 3,
        widths: tuple[int, int, int] = (24, 64, 96),
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        filters = 8 * channels  # 2×2 pixels have 4 eigenvectors for each channel, each taken with both signs
        self.whiten = nn.Conv2d(channels, filters, 2)
        self.whiten.weight = nn.Parameter(whitening(photograph_covariance(channels)), requires_grad=False)
        self.stage1 = _stage(filters, widths[0], norm)
        self.stage2 = _stage(widths[0], widths[1], norm)
        self.stage3 = _stage(widths[1], widths[2], norm)
        self.head = nn.Linear(widths[2], num_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalized images [B, channels, H, W], from 2 pixels each way."""
        x = functional.gelu(self.whiten(x))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.head(x.amax((2, 3))) / 9  # airbench's scale of the logits
        return logits


class Airbench(Quick):
    """See `mixlab.models.airbench`."""

    def __init__(self, num_classes: int, channels: int = 3) -> None:
        super().__init__(num_classes, channels, (64, 256, 256), _shifting_norm)
        assert self.whiten.bias is not None
        nn.init.zeros_(self.whiten.bias)


def _shifting_norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm that learns a shift and no scale; a batch is 0.4 of the running statistics, where torch takes 0.1."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad = False
    return norm


def _stage(before: int, after: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    first, second = (
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
    )
    for conv in (first, second):  # begin by passing the channels on, as airbench does
        nn.init.dirac_(conv.weight[: conv.in_channels])
    return nn.Sequential(first, Halving(2), norm(after), nn.GELU(), second, norm(after), nn.GELU())


class Halving(nn.MaxPool2d):
    """Max pooling that leaves a single row or column as it is, so that an image of any size reaches the end."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H/2, W/2] of hidden states [B, C, H, W]; unchanged where a side is 1."""
        return x if min(x.shape[2:]) < 2 else super().forward(x)


def whitening(covariance: Tensor) -> Tensor:
    """Filters [8 C, C, 2, 2] that decorrelate patches of C channels with covariance [4 C, 4 C], and their negatives.

    They are its eigenvectors, divided by the roots of their eigenvalues.
    """
    values, vectors = torch.linalg.eigh(covariance)
    filters = (vectors / torch.sqrt(values + _RIDGE)).T.reshape(len(values), -1, 2, 2).float()
    return torch.cat([filters, -filters])


def photograph_covariance(channels: int) -> Tensor:
    """Of the 2×2 patches of a normalized photograph, [4 channels, 4 channels] float32, channel by channel.

    Neighboring pixels correlate by about 0.95, and so do the color channels.
    """
    distance = torch.tensor([[0.0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]])
    color = torch.full((channels, channels), 0.94) + 0.06 * torch.eye(channels)
    return torch.kron(color, 0.95**distance)


def patch_covariance(images: Tensor) -> Tensor:
    """Mean of p pᵀ over the 2×2 patches p of normalized float images [N, C, H, W]: [4 C, 4 C] float64 on the CPU."""
    size = 4 * images.shape[1]
    total = torch.zeros(size, size, dtype=torch.float64, device="cpu")
    patches = 0
    for chunk in torch.split(images, _CHUNK):
        rows = functional.unfold(chunk.detach().cpu().double(), 2).transpose(1, 2).flatten(0, 1)
        total += rows.T @ rows
        patches += len(rows)
    return total / patches
