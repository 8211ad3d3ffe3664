"""Recipes: their settings against the scripts they come from, in those scripts' own terms, and a few steps of each."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusals import refuses
from same_weights import differing
from seeding import seeded
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.training import recipes
from mixlab.training.recipes import RECIPES, Recipe, quick, speedrun, standard
from mixlab.training.schedules import at_step
from mixlab.training.sgd import Descent, normalization_biases


def small(recipe: Recipe, **changed: object) -> Recipe:
    """The recipe at a cost that a test can bear."""
    return replace(recipe, settings=recipe.settings | {"epochs": 1, "batch_size": 32, "dtype": torch.float32} | changed)


def test_each_has_a_line() -> None:
    assert list(RECIPES) == ["quick", "speedrun", "standard"]
    for name, about in RECIPES.items():
        recipe = getattr(recipes, name)()
        assert (recipe.name, recipe.about) == (name, about)
        assert recipe.model in mx.models.MODELS
        assert len(about) < 120


def test_quick_is_what_fit_does_by_itself(data: Dataset) -> None:
    own = mx.fit(mx.models.quick(10, seed=3), data, mx.Mixer("mixup"), epochs=1, seed=3, device="cpu")
    assert quick(epochs=1).fit(data, mx.Mixer("mixup"), seed=3, device="cpu").settings == own.settings


def test_speedruns_descent_is_airbenchs() -> None:
    """In its own terms: summed losses, rates per 1,024 examples that do not grow with momentum, decay that is decoupled
    from the rate; 5 steps in float64."""
    batch, momentum, peak, decay, faster = 1024, 0.85, 11.5, 0.0153, 64
    kilostep = 1024 * (1 + 1 / (1 - momentum))
    rate, shrink = peak / kilostep, decay * batch / kilostep

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 10)).double()

    with torch.random.fork_rng(devices=[]):
        ours, theirs = net(), net()
    settings = speedrun().settings
    descent = Descent(ours.parameters(), biases=normalization_biases(ours), **settings["options"].descent)
    rest = [parameter for name, parameter in theirs.named_parameters() if name != "1.bias"]
    groups = [
        {"params": [theirs[1].bias], "lr": rate * faster, "weight_decay": shrink / (rate * faster)},
        {"params": rest, "lr": rate, "weight_decay": shrink / rate},
    ]
    sgd = torch.optim.SGD(groups, momentum=momentum, nesterov=True)
    for step in range(5):
        x = torch.randn(batch, 3, 4, 4, generator=seeded(step), dtype=torch.float64)
        y = torch.randint(0, 10, (batch,), generator=seeded(step))
        descent.zero_grad()
        functional.cross_entropy(ours(x), y, label_smoothing=settings["label_smoothing"]).backward()
        descent.learning_rate = settings["learning_rate"]
        descent.step()
        sgd.zero_grad()
        functional.cross_entropy(theirs(x), y, label_smoothing=0.2, reduction="sum").backward()
        sgd.step()
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert math.isclose(settings["learning_rate"], 1.5)


def test_speedruns_schedule_is_airbenchs_to_a_step() -> None:
    """0.2 up to 1 at 23% of the steps, then down to 0.07: within what one step of 480 changes."""
    steps, schedule = 480, speedrun().settings["options"].schedule
    for step in range(steps):
        peak = int(0.23 * steps)
        wanted = 0.2 + 0.8 * step / peak if step < peak else 1 - 0.93 * (step - peak) / (steps - peak)
        assert abs(at_step(schedule, step, steps) - wanted) < 0.8 / peak


def test_speedruns_network_whitens_the_data_it_is_for(data: Dataset) -> None:
    one, same, other = (speedrun().build(data, seed=seed) for seed in (1, 1, 2))
    assert differing(one, same) == []
    assert not torch.equal(one.head.weight, other.head.weight)
    filters = one.get_parameter("whiten.weight")
    assert torch.equal(filters, other.get_parameter("whiten.weight"))
    assert not torch.equal(filters, mx.models.airbench(10).get_parameter("whiten.weight"))
    mean, std = (torch.tensor(part)[:, None, None] for part in data.normalization)
    images = (data.train.images / 255 - mean) / std
    assert torch.allclose(filters, mx.models.airbench(10, images=images).get_parameter("whiten.weight"), atol=1e-3)


COSINE = [(1 + math.cos(math.pi * progress)) / 2 for progress in (0.25, 0.5, 0.9)]


@pytest.mark.parametrize(
    ("model", "batch", "shares"), [("resnet18", 100, COSINE), ("preact_resnet18", 128, [1, 0.1, 0.01])]
)
def test_standard_is_the_papers(model: str, batch: int, shares: list[float]) -> None:
    recipe = standard(model, epochs=3)
    settings, options = recipe.settings, recipe.settings["options"]
    assert (recipe.model, settings["batch_size"], settings["learning_rate"]) == (model, batch, 0.1)
    assert (settings["epochs"], standard(model).settings["epochs"]) == (3, 200)
    assert [options.schedule(progress) for progress in (0.25, 0.5, 0.9)] == pytest.approx(shares)
    assert (options.momentum, options.nesterov, options.weight_decay) == (0.9, False, 1e-4)
    assert (options.decay_biases, options.pad, options.border, options.flip) == (True, 4, "black", "random")


@pytest.mark.parametrize("recipe", [quick(), speedrun(), standard()], ids=lambda recipe: recipe.name)
def test_each_trains_with_a_mixer(recipe: Recipe) -> None:
    tiny = mx.load("shapes", 10, test_size=10)
    (record,) = small(recipe, batch_size=10).fit(tiny, mx.Mixer("cutmix", k=2), device="cpu")
    assert math.isfinite(record.train_loss)
    assert record.step == 1


def test_a_recipe_is_run_and_stored_as_it_is_fitted(tmp_path: Path) -> None:
    """The network whitened for the data, and predictions of all six views, as the accuracy in the history is."""
    tiny = mx.load("shapes", 20, test_size=10)
    recipe = small(speedrun(), batch_size=10)
    trainer = recipe.fit(tiny, device="cpu", seed=1)
    fitted = [record.test_nll for record in trainer]
    where = {"device": "cpu", "root": tmp_path, "progress": False, "name": recipe.model, "seed": 1}
    run = mx.run(recipe.build(tiny, seed=1), tiny, **where, **recipe.settings)
    assert [record.test_nll for record in run.history] == fitted
    assert torch.equal(run.predictions.logits, trainer.predictions().logits)
    assert run.settings["model"] == "airbench"


def test_wrong_input() -> None:
    refuses(lambda: standard("resnet20"), ValueError, "model", "'resnet18', 'preact_resnet18'", "got 'resnet20'")
    refuses(lambda: speedrun().fit("cifar10"), TypeError, "data", "mixlab Dataset", "got 'cifar10'")
