"""RegMixup, input-only mixup and MIT, against their formulas in float64 and their official codes' rules."""

import pytest
import torch
from mixable import BATCH, CLASSES, batch, net
from scipy import stats
from seeding import seeded
from torch import Tensor, nn

from mixlab import Mixer, mixed_logits, mixed_loss

LEVEL = 1e-6


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def blended(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    lam = lam.double().view(-1, 1, 1, 1)
    return lam * x + (1 - lam) * x[partner]


def picked(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of each label."""
    return -torch.log(logits.exp() / logits.exp().sum(1, keepdim=True))[torch.arange(len(labels)), labels]


@pytest.mark.parametrize("shared", [False, True])
def test_regmixup_is_half_of_clean_and_mixed_cross_entropy(shared: bool) -> None:
    x, y = batch()
    model = net(norm=True)
    plan = Mixer("regmixup", 10, shared_lam=shared).plan(x, y, generator=seeded())
    lam, other = plan.lam[1].double(), y[plan.partner]
    logits = model(torch.cat([x, blended(x, plan.partner, lam)]))  # BatchNorm sees both together
    clean = picked(logits[:BATCH], y).mean()
    mixed = (lam * picked(logits[BATCH:], y) + (1 - lam) * picked(logits[BATCH:], other)).mean()
    loss = mixed_loss(model, x, y, plan)
    torch.testing.assert_close(loss, (clean + mixed) / 2, rtol=1e-12, atol=0)
    for one, expected in zip(gradients(loss, model), gradients((clean + mixed) / 2, model), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_regmixup_has_the_clean_batch_first_and_then_mixup(ordered: bool, dtype: torch.dtype) -> None:
    x, y = batch()
    x = (255 * x).to(dtype)
    mixed = Mixer("regmixup", 15, 3, ordered=ordered)(x, y, generator=seeded())
    assert mixed.plan.k == 4
    assert torch.equal(mixed.x[:BATCH], x)
    assert torch.equal(mixed.lam[:BATCH], torch.ones(BATCH))
    plain = Mixer("mixup", 15, 3, ordered=ordered)(x, y, generator=seeded())
    assert torch.equal(mixed.x[BATCH:], plain.x)
    assert torch.equal(mixed.lam[BATCH:], plain.lam)
    assert torch.equal(mixed.y_b[BATCH:], plain.y_b)


def test_inputonly_blends_pixels_and_keeps_the_label_of_the_heavier() -> None:
    x, y = batch()
    y = torch.arange(BATCH)
    mixed = Mixer("inputonly", 1, 5, distinct=True)(x, y, generator=seeded())
    plain = Mixer("mixup", 1, 5, distinct=True)(x, y, generator=seeded())
    torch.testing.assert_close(mixed.x, plain.x, rtol=0, atol=1e-12)
    assert torch.equal(mixed.plan.nominal, plain.plan.lam)
    heavier = torch.where(plain.lam >= 0.5, plain.y_a, plain.y_b)
    assert len(set((plain.lam >= 0.5).tolist())) == 2
    assert torch.equal(mixed.targets(BATCH), nn.functional.one_hot(heavier, BATCH).float())
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, BATCH)).double()
    expected = picked(model(plain.x), heavier).mean()
    torch.testing.assert_close(mixed_loss(model, x, y, mixed.plan), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("ordered", [False, True])
def test_mit_gives_a_linear_networks_clean_logits(ordered: bool) -> None:
    x, y = batch()
    model = net(linear=True)
    plan = Mixer("mit", 0.5, 3, ordered=ordered).plan(x, y, generator=seeded())
    logits = mixed_logits(model, x, plan).view(2, 3, BATCH, CLASSES)
    clean = model(x).detach()
    torch.testing.assert_close(logits[0], clean.expand(3, -1, -1), rtol=0, atol=1e-12)
    torch.testing.assert_close(logits[1], clean[plan.partner].expand(3, -1, -1), rtol=0, atol=1e-12)
    loss = mixed_loss(model, x, y, plan)
    torch.testing.assert_close(loss, picked(clean, y).mean(), rtol=1e-12, atol=0)  # each is a partner once


def test_mit_is_the_official_codes_solution() -> None:
    x, y = batch()
    model = net()
    plan = Mixer("mit", 0.5).plan(x, y, generator=seeded())
    first, second = (lam.double() for lam in plan.nominal)
    z = [model(blended(x, plan.partner, lam)) for lam in (first, second)]
    system = torch.stack([torch.stack([first, 1 - first], 1), torch.stack([second, 1 - second], 1)], 1)
    solved = torch.linalg.solve(system, torch.stack(z, 1))  # [B, 2, C]
    torch.testing.assert_close(mixed_logits(model, x, plan), solved.transpose(0, 1).flatten(0, 1), rtol=1e-9, atol=0)
    c = (1 - first) / (1 - second)
    torch.testing.assert_close(solved[:, 0], (z[0] - c[:, None] * z[1]) / (first - c * second)[:, None])
    expected = (picked(solved[:, 0], y).mean() + picked(solved[:, 1], y[plan.partner]).mean()) / 2
    loss = mixed_loss(model, x, y, plan)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    for one, right in zip(gradients(loss, model), gradients(expected, model), strict=True):
        torch.testing.assert_close(one, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 5.0, 1e6])
@pytest.mark.parametrize("margin", [0.01, 0.5, 0.9, 1])
@pytest.mark.parametrize("ordered", [False, True])
def test_mit_draws_pairs_of_lambdas_that_are_a_margin_apart(alpha: float, margin: float, ordered: bool) -> None:
    plan = Mixer("mit", alpha, 4, margin=margin, ordered=ordered).plan(torch.rand(500, 1, 1, 1), generator=seeded())
    upper, lower = plan.nominal.view(2, 4, 500)
    assert torch.all((upper >= 0.5) & (lower <= 0.5) & (upper <= 1) & (lower >= 0))
    assert torch.all(upper.double() - lower.double() >= margin - 1e-6)
    assert torch.equal(plan.lam, torch.tensor([1.0, 0.0]).repeat_interleave(4)[:, None].expand(8, 500))
    if alpha == 1e6:
        torch.testing.assert_close(upper - lower, torch.full_like(upper, max(margin, 0.01)), rtol=0, atol=0.01)


def test_mit_has_the_law_of_drawing_until_they_are_apart() -> None:
    plan = Mixer("mit", 0.7, 1, margin=0.4).plan(torch.rand(4000, 1, 1, 1), generator=seeded())
    draw = torch.distributions.Beta(0.7, 0.7)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, second = (torch.maximum(lam, 1 - lam) for lam in draw.sample((2, 40000)))
    kept = first - (1 - second) >= 0.4
    for ours, theirs in zip(plan.nominal, (first[kept], 1 - second[kept]), strict=True):
        assert stats.ks_2samp(ours.numpy(), theirs.numpy()).pvalue > LEVEL
    gap = (plan.nominal[0] - plan.nominal[1]).numpy()
    assert stats.ks_2samp(gap, (first - 1 + second)[kept].numpy()).pvalue > LEVEL


def test_mit_solves_in_float32_under_autocast() -> None:
    x, y = batch(torch.float32)
    model = net(linear=True).float()
    plan = Mixer("mit", margin=0.1).plan(x, y, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        logits = mixed_logits(model, x, plan)
        assert logits.dtype == torch.float32
        assert torch.isfinite(mixed_loss(model, x, y, plan))
