"""A task whose answer depends on every bit of its input: the parity of five bits, learned with mixing and without."""

import torch
from torch import Tensor, nn

from mixlab.mixing.losses import mixed_loss
from mixlab.mixing.mixer import Mixer
from mixlab.training.adamw import AdamW

BITS, COUNTED = 10, 5  # as many as the net still learns without mixing


def parity(seeds: int = 3, steps: int = 300) -> list[float]:
    """Test error with mixup (α = 1) less that without, in points: one number for each seed.

    The inputs are all rows of ten bits, as ±1; the label is the parity of the first five. Half of them, drawn by the
    seed, are learned, in full batches; the other half tests. A blend of two rows with different bits lies between the
    corners of the cube, where parity says nothing.
    """
    return [_error(Mixer("mixup"), seed, steps) - _error(Mixer("none"), seed, steps) for seed in range(seeds)]


def _error(mixer: Mixer, seed: int, steps: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    x, y = _all_rows()
    train, test = torch.randperm(len(x), generator=generator).chunk(2)
    net = _network(generator)
    optimizer = AdamW(net.parameters(), momentum=0.9, weight_decay=0.0)
    optimizer.learning_rate = 0.01
    for optimizer.step_count in range(steps):
        plan = mixer.plan(x[train], y[train], generator=generator)
        optimizer.zero_grad()
        mixed_loss(net, x[train], y[train], plan).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return 100 * float((net(x[test]).argmax(1) != y[test]).double().mean())


def _all_rows() -> tuple[Tensor, Tensor]:
    bits = torch.arange(2**BITS).unsqueeze(1) >> torch.arange(BITS) & 1
    return 2.0 * bits - 1, bits[:, :COUNTED].sum(1) % 2


def _network(generator: torch.Generator) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(BITS, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return net
