"""Gradient variance against brute force in float64: every batch, every pairing, λ by quadrature; and its intervals."""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refuses
from same_weights import differing
from seeding import seeded
from small_pictures import small_data, small_model
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.training import gradient_variance as variance
from mixlab.training.gradient_variance import GradientVariance, Scheme, gradient_variance

SCHEMES = {
    "none": Scheme(mx.Mixer("none")),
    "mixup": Scheme(mx.Mixer()),
    "shared": Scheme(mx.Mixer(shared_lam=True)),
    "K = 2": Scheme(mx.Mixer(k=2)),
    "K = 2, shared": Scheme(mx.Mixer(k=2, shared_lam=True)),
    "2 permutations": Scheme(mx.Mixer(), permutations=2),
    "2 batches": Scheme(mx.Mixer(), batches=2),
}


class Linear(nn.Linear):
    """Logits linear in the pixels, in float64."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(3, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1).double())


def tiny(count: int = 5, side: int = 1) -> Dataset:
    images = torch.randint(256, (count, 3, side, side), generator=seeded(3), dtype=torch.uint8)
    split = Split(images, torch.arange(count) % 3)
    return Dataset("tiny", split, split, ("a", "b", "c"))


def pair_gradients(model: Linear, data: Dataset, lam: np.ndarray) -> np.ndarray:
    """The gradient of one mix's loss, [example, partner, λ, weights], written out: (softmax(Wx + b) − y) xᵀ."""
    mean, std = (np.array(part) for part in data.normalization)
    x = (data.train.images.flatten(1).double().numpy() / 255 - mean) / std
    y = np.eye(3)[data.train.labels.numpy()]
    mix = lambda v: lam[:, None] * v[:, None, None] + (1 - lam)[:, None] * v[None, :, None]  # noqa: E731
    x, y = mix(x), mix(y)
    logits = x @ model.weight.detach().numpy().T + model.bias.detach().numpy()
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    ones = np.ones((*x.shape[:-1], 1))
    return ((probs - y)[..., :, None] * np.concatenate([x, ones], -1)[..., None, :]).reshape(*x.shape[:-1], 12)


def exact(scheme: Scheme, batch: int, data: Dataset, model: Linear) -> float:
    """The trace by enumeration: all batches, all partners, and the λs (uniform) at 5 Gauss–Legendre nodes each."""
    count, mixer = batch * scheme.batches, scheme.mixer
    nodes, weights = np.polynomial.legendre.leggauss(5)
    nodes, weights = (nodes + 1) / 2, weights / 2
    if mixer.variant == "none":
        nodes, weights = np.ones(1), np.ones(1)
    table = pair_gradients(model, data, nodes)
    per_mix = 1 if mixer.shared_lam else count
    free = scheme.permutations * mixer.k * per_mix
    grid = np.array(list(itertools.product(range(len(nodes)), repeat=free)))
    probability = weights[grid].prod(1)
    grid = grid.reshape(-1, scheme.permutations, mixer.k, per_mix)
    pairings = [tuple(range(count))] if mixer.variant == "none" else list(itertools.permutations(range(count)))
    cases, total, square = 0, np.zeros(12), 0.0
    for images in itertools.combinations(range(len(data.train)), count):
        for chosen in itertools.product(pairings, repeat=scheme.permutations):
            gradient = np.zeros((len(grid), 12))
            for p, pairing in enumerate(chosen):
                for k, b in itertools.product(range(mixer.k), range(count)):
                    gradient += table[images[b], images[pairing[b]], grid[:, p, k, b % per_mix]]
            gradient /= scheme.permutations * mixer.k * count
            total += probability @ gradient
            square += float(probability @ (gradient**2).sum(1))
            cases += 1
    return square / cases - float((total / cases) @ (total / cases))


@pytest.fixture(scope="module")
def found() -> Mapping[str, GradientVariance]:
    return gradient_variance(Linear(), tiny(), SCHEMES, batch_size=2, draws=120)


@pytest.fixture(scope="module")
def truth() -> Mapping[str, float]:
    return {name: exact(scheme, 2, tiny(), Linear()) for name, scheme in SCHEMES.items()}


@pytest.mark.parametrize("name", SCHEMES)
def test_trace_is_that_of_enumeration(name, found, truth):
    """n = 120 draws, within 4.5 standard errors; so is the ratio to mixup, which is surer than both."""
    trace = found[name].trace
    assert trace.value == pytest.approx(truth[name], abs=4.5 * (trace.high - trace.low) / 3.92)
    if name != "mixup":
        ratio = found[name].ratio(found["mixup"])
        error = (np.log(ratio.high) - np.log(ratio.low)) / 3.92
        assert np.log(ratio.value) == pytest.approx(np.log(truth[name] / truth["mixup"]), abs=4.5 * error)


@pytest.mark.parametrize("scheme", [Scheme(mx.Mixer("none")), Scheme(mx.Mixer(k=2, shared_lam=True))])
def test_the_whole_set_as_one_batch_leaves_the_variance_of_mixing(scheme):
    found = gradient_variance(Linear(), tiny(4), {"": scheme}, batch_size=4, draws=200)[""].trace
    truth = exact(scheme, 4, tiny(4), Linear())
    assert found.value == pytest.approx(truth, abs=4.5 * (found.high - found.low) / 3.92 + 1e-14)


@pytest.mark.parametrize(("n", "shared"), [(10, 0.0), (50, 0.7)])
def test_ratio_covers_gaussian_gradients(n: int, shared: float) -> None:
    """2,000 intervals of ½|g − g′|² for Gaussian g of 10 weights, correlated between the schemes: 93% to 97%."""
    draw = np.random.default_rng(n)
    a = draw.normal(size=(2000, n, 10))
    b = np.sqrt(0.5) * (shared * a + (1 - shared**2) ** 0.5 * draw.normal(size=a.shape))
    below, above = ((part**2).sum(2).tolist() for part in (a, b))
    ratios = (result(top).ratio(result(bottom)) for top, bottom in zip(above, below, strict=True))
    hits = sum(ratio.low <= 0.5 <= ratio.high for ratio in ratios)
    assert 0.93 <= hits / 2000 <= 0.97


def result(values: list[float]) -> GradientVariance:
    return GradientVariance(mx.mean_interval(values), 1, 1, 1, tuple(values))


def test_a_scheme_does_not_feel_its_neighbors_and_the_seed_decides():
    alone = gradient_variance(Linear(), tiny(), {"b": mx.Mixer(k=2)}, batch_size=2, draws=3, seed=5)
    both = gradient_variance(Linear(), tiny(), {"a": mx.Mixer(), "b": mx.Mixer(k=2)}, batch_size=2, draws=3, seed=5)
    other = gradient_variance(Linear(), tiny(), {"b": mx.Mixer(k=2)}, batch_size=2, draws=3, seed=6)
    assert alone["b"].values == both["b"].values
    assert set(alone["b"].values).isdisjoint(other["b"].values)


class Twice(mx.Mixer):
    """A mixer whose plans have their own loss once more as a clean one."""

    def plan(self, x, y=None, *, model=None, normalize=None, generator=None):
        plan = super().plan(x, y, model=model, normalize=normalize, generator=generator)
        return replace(plan, clean_loss=mx.mixed_loss(model, x, y, plan, normalize=normalize))


def test_a_clean_loss_is_part_of_the_gradient():
    schemes = {"once": mx.Mixer("mixup"), "twice": Twice("mixup")}
    found = gradient_variance(Linear(), tiny(), schemes, batch_size=3, draws=5)
    assert found["twice"].values == pytest.approx([4 * value for value in found["once"].values], rel=1e-5)


def test_costs_are_counted():
    schemes = {"none": mx.Mixer("none"), "k": mx.Mixer(k=3), "all": Scheme(mx.Mixer(k=2), batches=2, permutations=3)}
    found = gradient_variance(Linear(), tiny(), schemes, batch_size=2, draws=2)
    costs = {name: (one.images, one.pairs, one.forwards) for name, one in found.items()}
    assert costs == {"none": (2, 2, 2), "k": (2, 2, 6), "all": (4, 12, 24)}
    assert {one.trace.n for one in found.values()} == {2}


def with_state() -> nn.Sequential:
    """A net with BatchNorm, dropout, a frozen part and a weight that takes no part."""
    model = small_model()
    model.idle = nn.Parameter(torch.ones(2))
    model[0].bias.requires_grad_(False)
    model[1].eval()  # as one freezes BatchNorm
    return model


@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_nothing_is_left_changed_and_every_variant_is_measured(variant):
    model = with_state()
    before = copy.deepcopy(model)
    settings = {"layers": ["0"]} if variant == "manifold" else {}
    scheme = Scheme(mx.Mixer(variant, k=2, **settings), permutations=2)
    state = torch.random.get_rng_state()
    with torch.no_grad():  # the caller's mode does not matter, and stays
        found = gradient_variance(model, small_data(), {"": scheme}, batch_size=4, draws=2)
        assert not torch.is_grad_enabled()
    assert found[""].trace.value > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in model.modules()] == [module.training for module in before.modules()]
    assert differing(model, before) == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_modes_come_back_after_an_error():
    model = with_state()
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        model[5].weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"^the gradient of scheme 'mixup' is not finite at draw 1 of 5$"):
        gradient_variance(model, small_data(), {"mixup": mx.Mixer()}, batch_size=4, draws=5)
    assert [module.training for module in model.modules()] == modes


GIVEN = {"model": Linear(), "data": tiny(), "schemes": {"a": mx.Mixer()}, "batch_size": 2, "draws": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemes": {}}, "schemes must be a dict .* got {}"),
        ({"schemes": mx.Mixer("none")}, "schemes must be a dict .* got Mixer"),
        ({"schemes": {"a": "mixup"}}, r"schemes\['a'\] must be a Mixer or a Scheme, got 'mixup'"),
        ({"data": "cifar10"}, "data must be a mixlab Dataset, .* got 'cifar10'"),
        ({"data": replace(tiny(), classes=("a", "b", "c", "d"))}, r"model must give 4 logits, .* \[2, 3\]"),
        ({"model": nn.Flatten()}, "model must have parameters that require gradients, got none"),
        ({"batch_size": 6}, "batch_size .* from 1 to 5, got 6"),
        ({"batch_size": 1}, "x must hold at least two examples .* got a batch of one"),
        ({"schemes": {"a": Scheme(mx.Mixer(), batches=3)}}, "scheme 'a' .* the 5 training images, got 3 batches of 2"),
        ({"schemes": GIVEN["schemes"] | {"b": mx.Mixer("puzzle", blocks=3)}, "data": tiny(side=4)}, "blocks .* got 3"),
        ({"schemes": GIVEN["schemes"] | {"b": mx.Mixer("manifold", layers=["lineer"])}}, "layer must .* got 'lineer'"),
    ],
)
def test_wrong_input_is_refused(change, message, monkeypatch):
    monkeypatch.setattr(variance, "mixed_loss", lambda *_, **__: pytest.fail("something was computed"))
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        gradient_variance(**GIVEN | change)


def test_inference_mode_is_refused():
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"gradients.* outside torch\.inference_mode"):
        gradient_variance(**GIVEN)


def test_wrong_schemes_and_ratios_are_refused():
    refuses(lambda: Scheme("mixup"), TypeError, "mixer", "Mixer", "got 'mixup'")
    refuses(lambda: result([1.0, 2.0]).ratio(1.0), TypeError, "base", "GradientVariance", "got 1.0")
    refuses(lambda: result([1.0, 2.0]).ratio(result([1.0, 2.0, 3.0])), ValueError, "base", "draws, 2", "got 3")
    refuses(lambda: result([1.0, 2.0]).ratio(result([0.0, 0.0])), ValueError, "both traces", "above 0", "1.5 and 0")
