"""Puzzle Mix as a variant: its plan is what its parts say, in every unit of x; its options; wrong settings."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from puzzles import energy as weigh
from puzzles import least
from seeding import seeded
from torch import Tensor, nn

import mixlab as mx
from mixlab import Mixer, MixPlan
from mixlab.mixing.normalize import normalized
from mixlab.mixing.saliency import saliency
from mixlab.mixing.variants.puzzle.energy import block_saliency, energy, seams

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@cache
def shapes(count: int = 8) -> tuple[Tensor, Tensor]:
    """uint8 images with something to see, and their labels."""
    split = mx.load("shapes", train_size=60, test_size=10).train
    return split.images[:count], split.labels[:count]


def net() -> nn.Module:
    return mx.models.quick(10, seed=1)


def plan(x: Tensor, y: Tensor, *, seed: int = 0, k: int = 1, normalize=(MEAN, STD), model=None, **settings):
    mixer = Mixer("puzzle", k=k, **settings)
    return mixer.plan(x, y, model=model or net(), normalize=normalize, generator=seeded(seed))


def problems_of(drawn: MixPlan, x: Tensor, own: Tensor, levels: int, pooled: int, **changes: float) -> list:
    """Each mask of a plan as (the problem it solves, its labels), for images whose blocks have the saliency `own`."""
    seam = seams(x.double() / 255, drawn.partner, own.shape[-1], pooled)
    settings = {"levels": levels, "beta": 1.2, "gamma": 0.5, "eta": 0.2} | changes
    parts = [part.numpy() for part in energy(own, own[drawn.partner], seam, drawn.nominal.double(), **settings)]
    labels = (drawn.mask * (levels - 1)).round().long().flatten(0, 1).numpy()
    return list(zip(zip(*parts, strict=True), labels, strict=True))


def assert_least(problems: list) -> None:
    for problem, labels in problems:
        assert weigh(*problem, labels) == pytest.approx(least(*problem), abs=2e-6)


@pytest.mark.parametrize(
    ("side", "blocks", "levels", "pooled"), [(32, 2, 2, 4), (28, 2, 3, 2), (32, 4, 3, 4), (28, 4, 3, 1), (32, 8, 4, 4)]
)
def test_masks_have_the_least_energy_for_real_saliency(side: int, blocks: int, levels: int, pooled: int) -> None:
    x, y = shapes()
    x = x[..., :side, :side]
    seams_count = {"beta": 20.0, "gamma": 1.0}
    drawn = plan(x, y, k=3, blocks=blocks, levels=levels, **seams_count)
    own = block_saliency(saliency(net(), x, y, normalize=(MEAN, STD)).double(), blocks)
    assert_least(problems_of(drawn, x, own, levels, pooled, **seams_count)[:5])
    assert torch.equal(drawn.lam, drawn.mask.mean((2, 3)))


@pytest.mark.parametrize(
    ("blocks", "size", "places"),
    [(2, 4, 64), (4, 4, 64), (8, 4, 64), (16, 4, 256), (4, None, 16), (2, 8, 16), (4, 32, 16)],
)
def test_blocks_move_on_the_mask_or_on_a_finer_grid(blocks: int, size: int | None, places: int) -> None:
    x, y = shapes(6)
    drawn = plan(x, y, k=2, blocks=blocks, transport_size=size, transport_cost=0.05)
    assert drawn.moves.shape == (2, 2, 6, places)
    assert torch.equal(drawn.moves.sort(-1).values, torch.arange(places).expand(2, 2, 6, -1))
    if blocks < 16:
        assert not torch.equal(drawn.moves, torch.arange(places).expand_as(drawn.moves))
    assert plan(x, y, blocks=blocks, transport=False).moves is None


def test_moving_shows_more_of_what_is_salient() -> None:
    x, y = shapes(40)
    drawn = plan(x, y, k=2, blocks=4, transport_cost=0.1)
    value = block_saliency(saliency(net(), x, y, normalize=(MEAN, STD)), 8).flatten(1)
    share = drawn.mask.repeat_interleave(2, 2).repeat_interleave(2, 3).flatten(2)
    for side, (weight, at_home) in enumerate(((share, value), (1 - share, value[drawn.partner]))):
        own = at_home.expand(2, -1, -1)
        moved = own.gather(2, drawn.moves[side])
        assert float((weight * moved).sum()) > float((weight * own).sum())


def test_the_same_images_in_other_units_make_the_same_plan() -> None:
    x, y = shapes()
    gray, unit, seen = (
        plan(x, y, k=2, blocks=8),
        plan(x.float() / 255, y, k=2, blocks=8),
        plan(normalized(x, (MEAN, STD)), y, k=2, blocks=8, normalize=None, std=STD),
    )
    for other in (unit, seen):
        assert torch.equal(other.mask, gray.mask)
        assert torch.equal(other.moves, gray.moves)


def test_clean_loss_is_for_the_caller_to_add() -> None:
    x, y = shapes()
    model = net().train()
    before = model.stage1[2].running_mean.clone()
    drawn = plan(x, y, model=model, clean=0.5, blocks=4)
    logits = net().train()(normalized(x, (MEAN, STD)))
    wanted = 0.5 * nn.functional.cross_entropy(logits, y)
    torch.testing.assert_close(drawn.clean_loss, wanted, rtol=1e-5, atol=0)
    assert not torch.equal(model.stage1[2].running_mean, before)
    drawn.clean_loss.backward()
    assert all(part.grad is not None for part in model.parameters() if part.requires_grad)
    assert plan(x, y, blocks=4).clean_loss is None


@pytest.mark.parametrize("form", ["uint8", "float"])
def test_adversarial_noise_is_a_clipped_step_along_the_gradient_in_units_of_x(form: str) -> None:
    x, y = shapes(30)
    unit = 255.0 if form == "uint8" else 1.0
    x = x if form == "uint8" else x.float() / 255
    # Of two classes and a linear model, the gradient's sign is that of a difference of weights, wherever it is taken.
    torch.manual_seed(0)
    model, y = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), y % 2
    drawn = plan(x, y, model=model, adversarial=1.0, epsilon=8 / 255, blocks=4)
    assert torch.equal(drawn.way.noise[0], drawn.way.noise[1])
    noise, pixels = drawn.way.noise[0].double() / unit, x.double() / unit
    assert float(noise.abs().max()) <= 8 / 255 + 1e-6
    assert float((pixels + noise).min()) >= -1e-6
    assert float((pixels + noise).max()) <= 1 + 1e-6
    # A start s in ±8 and a step of 10 along the sign, clipped to 8: from 2 to 8 along it, and 8 in 10 of 16 cases.
    free = (pixels > 0.1) & (pixels < 0.9)
    sign = (model[1].weight.detach()[1 - y] - model[1].weight.detach()[y]).sign().view(x.shape)
    along = (noise * sign)[free] / noise[free].abs().max()  # in units of 8 U(0, 1)
    assert float(along.min()) == pytest.approx(0.25, abs=0.01)
    assert float((along > 0.999).double().mean()) == pytest.approx(10 / 16, abs=0.01)
    plain = replace(drawn, way=replace(drawn.way, noise=None))
    assert not torch.equal(drawn.apply(x), plain.apply(x))
    other = x.float() / 255 if form == "uint8" else (255 * x).to(torch.uint8)  # in other units than the noise
    for there in (drawn, mx.MixPlan.from_json(drawn.to_json())):
        assert torch.equal(there.apply(other), plain.apply(other))
        assert torch.equal(there.apply(x), drawn.apply(x))


def test_each_side_gets_noise_by_chance_and_normalized_images_in_their_units() -> None:
    x, y = shapes(4)
    sides = [plan(x, y, adversarial=0.5, blocks=2, seed=seed).way.noise for seed in range(24)]
    kinds = {"none" if noise is None else tuple((noise != 0).flatten(1).any(1).tolist()) for noise in sides}
    assert kinds == {"none", (True, False), (False, True), (True, True)}
    noise = plan(
        normalized(x, (0.5, 0.25)), y, adversarial=1.0, epsilon=0.1, std=0.25, blocks=2, normalize=None
    ).way.noise
    assert 0 < float(noise.abs().max()) <= 0.1 / 0.25 + 1e-6
    assert plan(x, y, adversarial=0.0).way.noise is None


def test_images_without_any_gradient_are_mixed_all_the_same() -> None:
    x, y = shapes()
    model = net()
    nn.init.zeros_(model.head.weight)
    drawn = plan(x, y, k=3, model=model, blocks=4, transport_cost=0.0)
    uniform = torch.full((len(x), 4, 4), 1 / 16, dtype=torch.float64)
    assert_least(problems_of(drawn, x, uniform, 3, 4)[:8])
    assert len(drawn.mask.unique()) > 1  # λ and the seams still decide


@pytest.mark.parametrize(
    ("side", "grids"),
    [(28, {2: 14, 4: 4}), (32, {2: 8, 4: 8, 8: 8, 16: 16}), (20, {2: 10, 4: 4}), (8, {2: 2, 4: 4, 8: 8}), (2, {2: 2})],
)
def test_the_defaults_take_what_fits_the_images(side: int, grids: dict) -> None:
    x = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8, generator=seeded())
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 4))
    drawn = [plan(x, torch.arange(4), model=model, seed=seed) for seed in range(24)]
    assert {one.mask.shape[-1]: round(one.moves.shape[-1] ** 0.5) for one in drawn} == grids
    assert drawn[0].apply(x).shape == x.shape
