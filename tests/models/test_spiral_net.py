"""The net with a bottleneck."""

import torch
from same_weights import differing

from mixlab.models import SpiralNet


def test_the_net_names_its_mixing_points_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    net = SpiralNet(3, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert set(net.mixing_points) - {"input"} <= {name for name, _ in net.named_modules()}
    assert differing(net, SpiralNet(3, seed=5)) == []
    x, seen = torch.randn(7, 2), []
    net.bottleneck.register_forward_hook(lambda *args: seen.append(args[-1]))
    assert net(x).shape == (7, 3)
    assert torch.equal(seen[0], net.hidden(x))
