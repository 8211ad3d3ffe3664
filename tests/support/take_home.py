"""What tests of other people's loops share: a network, data for it, and what README.md shows."""

import re
from collections import OrderedDict

import torch
from paths import ROOT
from seeding import seeded
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

CLASSES = 10
SETTINGS = {"manifold": {"layers": ["input", "layer1"]}, "puzzle": {"blocks": 2, "clean": 1.0}}


def network(channels=3, side=4):
    torch.manual_seed(0)
    flat = channels * side * side
    layers = {"flat": nn.Flatten(), "layer1": nn.Linear(flat, 12), "act": nn.Tanh(), "layer2": nn.Linear(12, 12)}
    return nn.Sequential(OrderedDict(layers, head=nn.Linear(12, CLASSES)))


def images(count, side=4):
    """Images of one value each, which their label gives back: what was mixed can be read off the result."""
    y = torch.arange(count) % CLASSES
    x = (y / CLASSES).view(-1, 1, 1, 1).expand(-1, 3, side, side)
    return TensorDataset(x.contiguous(), y)


def learnable(count=40):
    """Ten patterns with noise, one of each class."""
    draw = seeded(1)
    patterns = torch.randn(CLASSES, 3, 4, 4, generator=draw)
    y = torch.arange(count) % CLASSES
    return TensorDataset(patterns[y] + 0.1 * torch.randn(count, 3, 4, 4, generator=draw), y)


def one_hot_mix(y_a, y_b, lam):
    """Soft targets by the formula, in float64."""
    a, b = F.one_hot(y_a, CLASSES).double(), F.one_hot(y_b, CLASSES).double()
    return lam.double()[:, None] * a + (1 - lam.double())[:, None] * b


SECTION = (ROOT / "README.md").read_text(encoding="utf-8").split("## Take it home\n")[1].split("\n## ")[0]
NAMES = ("plain", "general", "loader", "torchvision", "lightning", "huggingface", "calibration", "runs")
BLOCKS = dict(zip(NAMES, re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL), strict=True))
