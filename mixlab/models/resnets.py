"""Residual networks for small images."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


class ResNet(nn.Module):
    """See `mixlab.models.resnet8` and `resnet20`; `blocks` in each of three stages."""

    mixing_points = ("input", "stage1", "stage2", "stage3")

    def __init__(self, num_classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stage1 = _stage(Padded, 16, 16, blocks)
        self.stage2 = _stage(Padded, 16, 32, blocks)
        self.stage3 = _stage(Padded, 32, 64, blocks)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalized images [B, channels, H, W]."""
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class ResNet18(nn.Module):
    """See `mixlab.models.resnet18` and `preact_resnet18`: four stages of two blocks, of 64 to 512 channels."""

    mixing_points = ("input", "stage1", "stage2", "stage3", "stage4")

    def __init__(self, num_classes: int, stem: nn.Module, block: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.stem = stem
        self.stage1 = _stage(block, 64, 64, 2)
        self.stage2 = _stage(block, 64, 128, 2)
        self.stage3 = _stage(block, 128, 256, 2)
        self.stage4 = _stage(block, 256, 512, 2)
        self.head = nn.Linear(512, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalized images [B, channels, H, W]."""
        x = self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def resnet18(num_classes: int, channels: int) -> ResNet18:
    """A ResNet18 whose convolutions begin as He et al. (ICCV 2015) draw them, each block as its short cut alone."""
    stem = nn.Sequential(_conv(channels, 64), nn.BatchNorm2d(64), nn.ReLU())
    net = ResNet18(num_classes, stem, Projected)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Projected):
            nn.init.zeros_(module.get_parameter("body.4.weight"))
    return net


def preact_resnet18(num_classes: int, channels: int) -> ResNet18:
    """A ResNet18 of pre-activated blocks, with torch's own initial weights."""
    return ResNet18(num_classes, _conv(channels, 64), PreActivated)


class Padded(nn.Module):
    """Two convolutions and a short cut; where the width grows, the short cut is subsampled and padded with zeros."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride = after // before
        self.body = _residual(before, after)

    def forward(self, x: Tensor) -> Tensor:
        """[B, after, H/stride, W/stride] of hidden states [B, before, H, W]."""
        residual = self.body(x)
        short = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(residual + functional.pad(short, (0, 0, 0, 0, 0, residual.shape[1] - x.shape[1])))


class Projected(nn.Module):
    """Two convolutions and a short cut, which is a normalized 1×1 convolution where the width grows."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.body = _residual(before, after)
        self.short = (
            nn.Identity()
            if before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, after, H/stride, W/stride] of hidden states [B, before, H, W]."""
        return functional.relu(self.body(x) + self.short(x))


class PreActivated(nn.Module):
    """Normalization and ReLU before each of two convolutions.

    Where the width grows, the short cut is a 1×1 convolution of what the first of them takes.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.body = nn.Sequential(_conv(before, after, stride), nn.BatchNorm2d(after), nn.ReLU(), _conv(after, after))
        self.short = None if before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, after, H/stride, W/stride] of hidden states [B, before, H, W]."""
        activated = self.first(x)
        short: Tensor = x if self.short is None else self.short(activated)
        residual: Tensor = self.body(activated)
        return residual + short


def _residual(before: int, after: int) -> nn.Sequential:
    """What is added to the short cut; channels and stride grow together."""
    return nn.Sequential(
        _conv(before, after, after // before),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        _conv(after, after),
        nn.BatchNorm2d(after),
    )


def _conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)


def _stage(block: Callable[[int, int], nn.Module], before: int, after: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(block(before if i == 0 else after, after) for i in range(blocks)))
