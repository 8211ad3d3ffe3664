"""Our descents against torch.optim's SGD and AdamW, to the bit, and Lookahead against its formula in float64."""

import pytest
import torch
from same_weights import differing
from seeding import seeded
from torch import nn

import mixlab as mx
from mixlab.training.adamw import AdamW
from mixlab.training.sgd import Descent, Lookahead, normalization_biases


def batch(step: int) -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=seeded(step))


def groups_by_name(model: nn.Module) -> tuple[list[nn.Parameter], ...]:
    """Filters; other biases and scales; biases of normalization: told apart by their names in our nets."""
    kinds: tuple[list[nn.Parameter], ...] = ([], [], [])
    norms = {name for name, module in model.named_modules() if "BatchNorm" in type(module).__name__}
    for name, parameter in model.named_parameters():
        owner, _, part = name.rpartition(".")
        if parameter.requires_grad:
            kinds[2 if owner in norms and part == "bias" else int(parameter.ndim == 1)].append(parameter)
    return kinds


@pytest.mark.parametrize(
    ("name", "asked", "decays", "rates", "momentum", "nesterov"),
    [
        ("quick", {}, (0.01, 0, 0), (1, 1, 1), 0.9, True),
        ("airbench", {"decay_biases": True, "bias_rate": 64.0}, (0.01, 0.01, 0.01 / 64), (1, 1, 64), 0.85, True),
        ("resnet8", {"decay_biases": True}, (0.01, 0.01, 0.01), (1, 1, 1), 0.9, False),
        ("quick", {"bias_rate": 2.0}, (0.01, 0, 0), (1, 1, 2), 0.0, False),
    ],
)
def test_descent_is_torchs_sgd_to_the_bit(name, asked, decays, rates, momentum, nesterov) -> None:
    one, two, start = (getattr(mx.models, name)(10) for _ in range(3))
    asked = {"momentum": momentum, "weight_decay": 0.01, "nesterov": nesterov, **asked}
    ours = Descent(one.parameters(), biases=normalization_biases(one), **asked)
    groups = zip(groups_by_name(two), decays, strict=True)
    groups = [{"params": parameters, "weight_decay": decay} for parameters, decay in groups]
    theirs = torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov)
    for step in range(3):
        rate = 0.01 * (step + 1)
        ours.learning_rate = rate
        for group, times in zip(theirs.param_groups, rates, strict=True):
            group["lr"] = rate * times
        for model, optimizer in ((one, ours), (two, theirs)):
            optimizer.zero_grad()
            model(batch(step)).square().mean().backward()
            optimizer.step()
    assert differing(one, two) == []
    assert differing(one, start)


def test_adamw_is_torchs_to_the_bit_also_where_a_parameter_rests() -> None:
    one, two, start = (mx.models.vit_tiny(10) for _ in range(3))
    ours = AdamW(one.parameters(), biases=normalization_biases(one), momentum=0.85, weight_decay=0.05, bias_rate=2.0)
    norms = {f"{name}.bias" for name, module in two.named_modules() if isinstance(module, nn.LayerNorm)}
    named = dict(two.named_parameters())
    groups = [
        {"params": [p for p in named.values() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for name, p in named.items() if p.ndim == 1 and name not in norms], "weight_decay": 0.0},
        {"params": [named[name] for name in named if name in norms], "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, lr=0.0, betas=(0.85, 0.999))
    for step in range(4):
        ours.step_count, ours.learning_rate = step, 0.01 * (step + 1)
        for group, times in zip(theirs.param_groups, (1, 1, 2), strict=True):
            group["lr"] = ours.learning_rate * times
        for model, optimizer in ((one, ours), (two, theirs)):
            optimizer.zero_grad()
            model.token.requires_grad = step < 2
            model(batch(step)).square().mean().backward()
            optimizer.step()
    assert differing(one, two) == []
    assert {name for name in named if name not in differing(one, start)} == set()


def test_groups_hold_each_trained_parameter_once() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv1d(4, 4, 1), nn.GroupNorm(2, 4), nn.LayerNorm(4))
    model[4].bias = None
    model[0].weight.requires_grad = False
    found = normalization_biases(model)
    descent = Descent(
        model.parameters(), momentum=0.9, weight_decay=0.5, decay_biases=True, biases=found, bias_rate=4.0
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert [([names[parameter] for parameter in group.parameters], *group[1:]) for group in descent.groups] == [
        (["2.weight"], 0.5, 1.0),
        (["0.bias", "1.weight", "2.bias", "3.weight", "4.weight"], 0.5, 1.0),
        (["1.bias", "3.bias"], 0.125, 4.0),
    ]
    assert descent.velocities.keys() == {parameter for parameter in model.parameters() if parameter.requires_grad}


def test_a_parameter_without_a_gradient_rests_with_its_velocity() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    descent = Descent([weight], momentum=0.9, weight_decay=0.1)
    descent.learning_rate = 0.1
    weight.square().sum().backward()
    descent.step()
    velocity, before = descent.velocities[weight], weight.detach().clone()
    kept = velocity.clone()
    descent.zero_grad()
    descent.step()
    assert torch.equal(weight, before)
    assert descent.velocities[weight] is velocity
    assert torch.equal(velocity, kept)


def test_lookahead_is_its_formula() -> None:
    """slow ← d·slow + (1 − d)·fast with d = 0.95⁵ (s/S)³ at every fifth step, and after the last; float64."""
    steps, generator = 23, seeded()
    model = nn.BatchNorm1d(4)
    names = ["weight", "bias", "running_mean", "running_var"]
    lookahead = Lookahead(model)
    held = dict(model.named_parameters()) | dict(model.named_buffers())
    slow = {name: held[name].detach().double() for name in names}
    fast = dict(slow)
    for step in range(1, steps + 1):
        for name in names:
            move = torch.randn(4, generator=generator)
            held[name].data.add_(move)
            fast[name] = fast[name] + move.double()
        lookahead.after(step, steps)
        if step % 5 == 0:
            stay = 0.95**5 * (step / steps) ** 3
            slow = {name: stay * slow[name] + (1 - stay) * fast[name] for name in names}
        if step % 5 == 0 or step == steps:
            fast = dict(slow)
        for name in names:
            assert torch.allclose(held[name].double(), fast[name], atol=1e-5)
            assert torch.allclose(lookahead.slow[name].double(), slow[name], atol=1e-5)
    assert held["num_batches_tracked"] == 0
    assert set(lookahead.slow) == set(names)


def test_lookahead_leaves_what_is_not_trained() -> None:
    lookahead = Lookahead(mx.models.airbench(10))
    assert "whiten.weight" not in lookahead.slow
    assert "stage1.2.weight" not in lookahead.slow
    assert {"whiten.bias", "stage1.2.bias", "stage1.2.running_var", "head.weight"} <= set(lookahead.slow)
