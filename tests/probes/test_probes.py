"""Probes against float64 by brute force: whole Jacobians and Hessians of tiny networks, and formulas on paper."""

import itertools

import pytest
import torch
from refusals import refuses
from scipy.stats import beta
from seeding import seeded
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.mixing.beta import sample_lambda
from mixlab.probes import (
    PerImage,
    curvature,
    expansion,
    filter_normalized,
    gradient_change,
    jacobian_norm,
    linearity_gap,
    loss_on_grid,
    prediction_path,
    sharpness,
)

N, FEATURES, CLASSES = 6, 5, 3
X = torch.randn(N, FEATURES, generator=seeded(0), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1, 1])


def net(kind: type[nn.Module] = nn.Tanh, seed: int = 1) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), kind(), nn.Linear(4, CLASSES)).double()
    for number, part in enumerate(layers.parameters()):
        part.data = torch.randn(part.shape, generator=seeded(seed + number), dtype=torch.float64)
    return layers


def loss_of(model: nn.Module) -> torch.Tensor:
    return functional.cross_entropy(model(X), Y)


def hessian(model: nn.Module) -> torch.Tensor:
    names, parts = zip(*model.named_parameters(), strict=True)
    sizes = [part.numel() for part in parts]

    def at(flat: torch.Tensor) -> torch.Tensor:
        pieces = [piece.view_as(part) for piece, part in zip(flat.split(sizes), parts, strict=True)]
        return functional.cross_entropy(torch.func.functional_call(model, dict(zip(names, pieces, strict=True)), X), Y)

    model.eval()
    return torch.autograd.functional.hessian(at, torch.cat([part.detach().flatten() for part in parts]))


def jacobians(model: nn.Module, of: str) -> torch.Tensor:
    def answer(x: torch.Tensor) -> torch.Tensor:
        logits = model.eval()(x[None])[0]
        return logits.softmax(0) if of == "probs" else logits

    return torch.stack([torch.autograd.functional.jacobian(answer, x) for x in X])


@pytest.mark.parametrize("of", ["probs", "logits"])
def test_the_gap_by_the_definition(of):
    model = net().eval()
    lam, partner = [0.0, 0.3, 1.0], X.flip(0)
    found = linearity_gap(model, X, partner, lam, of=of)
    for share, gap in zip(lam, found, strict=True):
        said = [model(at) for at in (share * X + (1 - share) * partner, X, partner)]
        a, b, c = [s.softmax(1) for s in said] if of == "probs" else [s - s.mean(1, keepdim=True) for s in said]
        torch.testing.assert_close(gap.values, (a - share * b - (1 - share) * c).norm(dim=1).detach())
    path = prediction_path(model, X, partner, lam, of=of)
    torch.testing.assert_close(path[1], outputs_of(model, 0.3 * X + 0.7 * partner, of))


def outputs_of(model, x, of):
    return (model(x).softmax(1) if of == "probs" else model(x)).detach()


def test_a_linear_network_has_no_gap_in_its_logits_but_one_in_its_probabilities():
    model = nn.Linear(FEATURES, CLASSES).double()
    logits, probs = (linearity_gap(model, X, X.flip(0), [0.5], of=of)[0].values for of in ("logits", "probs"))
    assert float(logits.max()) < 1e-12
    assert float(probs.max()) > 1e-3


@pytest.mark.parametrize("of", ["probs", "logits"])
def test_norms_of_the_whole_jacobian(of):
    model = net()
    whole = jacobians(model, of)
    torch.testing.assert_close(jacobian_norm(model, X, of=of).values, whole.flatten(1).norm(dim=1))
    largest = torch.linalg.matrix_norm(whole, 2)
    power = jacobian_norm(model, X, of=of, kind="spectral", steps=200, generator=seeded(0)).values
    torch.testing.assert_close(power, largest)
    few = jacobian_norm(model, X, of=of, kind="spectral", steps=2, generator=seeded(0)).values
    assert bool((few <= largest + 1e-12).all())
    drawn = jacobian_norm(model, X, of=of, draws=20_000, generator=seeded(0)).values
    torch.testing.assert_close(drawn, whole.flatten(1).norm(dim=1), rtol=0.03, atol=0)


def test_eigenvalues_and_trace_of_the_whole_hessian():
    model = net()
    model(X)  # so that evaluation differs from training
    whole = hessian(model)
    measured = curvature(model.train(), loss_of, top=3, draws=4000, generator=seeded(0))
    assert model.training
    torch.testing.assert_close(
        torch.tensor(measured.eigenvalues, dtype=torch.float64),
        torch.linalg.eigvalsh(whole).flip(0)[:3],
        rtol=1e-3,
        atol=0,
    )
    assert measured.parameters == len(whole)
    assert abs(measured.trace.value - float(whole.trace())) < 2 * (measured.trace.high - measured.trace.low)


def test_the_hessian_of_a_mixed_loss():
    model, plan = net(), mx.Mixer("mixup").plan(X, generator=seeded(0))
    targets = plan.targets(Y, CLASSES)
    measured = curvature(model, lambda at: mx.mixed_loss(at, X, Y, plan), draws=2, generator=seeded(0))
    by_targets = curvature(
        model, lambda at: functional.cross_entropy(at(plan.apply(X)), targets.double()), draws=2, generator=seeded(0)
    )
    assert measured.eigenvalues == pytest.approx(by_targets.eigenvalues, rel=1e-3)


class Bowl(nn.Module):
    """L = ½ wᵀ diag(a) w at w: the largest rise in a ball is known."""

    def __init__(self, at: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(at, dtype=torch.float64))


def bowl(model: Bowl) -> torch.Tensor:
    return (torch.tensor([1.0, 4.0], dtype=torch.float64) * model.w.square()).sum() / 2


def test_sharpness_of_a_bowl_by_brute_force():
    for adaptive, at in itertools.product((False, True), ([0.5, 0.1], [1.0, -2.0])):
        model = Bowl(at)
        angle = torch.linspace(0, 2 * torch.pi, 100_001, dtype=torch.float64)
        ring = 0.3 * torch.stack([angle.cos(), angle.sin()], 1) * (model.w.detach().abs() if adaptive else 1)
        rise = ((model.w.detach() + ring).square() @ torch.tensor([0.5, 2.0], dtype=torch.float64)).max() - bowl(
            model
        ).detach()
        assert sharpness(model, bowl, 0.3, adaptive=adaptive, steps=100) == pytest.approx(float(rise), rel=1e-6)
        assert model.w.tolist() == at


def test_rescaled_layers_fool_the_plain_sharpness_and_the_hessian_but_not_the_adaptive_one():
    model = nn.Sequential(nn.Linear(FEATURES, 4, bias=False), nn.ReLU(), nn.Linear(4, CLASSES, bias=False)).double()
    same = nn.Sequential(nn.Linear(FEATURES, 4, bias=False), nn.ReLU(), nn.Linear(4, CLASSES, bias=False)).double()
    same[0].weight.data, same[2].weight.data = 10 * model[0].weight.data, model[2].weight.data / 10
    torch.testing.assert_close(model(X), same(X))
    adaptive = [sharpness(one, loss_of, 0.1) for one in (model, same)]
    plain = [sharpness(one, loss_of, 0.1, adaptive=False) for one in (model, same)]
    tops = [curvature(one, loss_of, draws=2).eigenvalues[0] for one in (model, same)]
    assert adaptive[0] == pytest.approx(adaptive[1], rel=1e-6)
    assert plain[1] > 2 * plain[0]
    assert tops[1] > 2 * tops[0]


def test_more_steps_never_find_less():
    found = [sharpness(net(), loss_of, 0.5, steps=steps) for steps in (1, 3, 10, 30)]
    assert found == sorted(found)
    assert found[0] > 0


def test_each_filter_of_a_direction_has_the_length_of_its_own():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)).double()
    direction = filter_normalized(model, generator=seeded(0))
    for part, weight in zip(direction, model.parameters(), strict=True):
        own = weight.detach()
        expected = own.flatten(1).norm(dim=1) if own.ndim > 1 else torch.zeros(len(own), dtype=torch.float64)
        torch.testing.assert_close(part.flatten(1).norm(dim=1) if own.ndim > 1 else part, expected)


def test_the_loss_on_a_grid_by_hand():
    model = Bowl([1.0, 2.0])
    across, along = [torch.tensor([1.0, 0.0]).double()], [torch.tensor([0.0, 1.0]).double()]
    plane = loss_on_grid(model, bowl, [across, along], [-1, 0, 2], [0, 1])
    by_hand = [[((1 + a) ** 2 + 4 * (2 + b) ** 2) / 2 for b in (0, 1)] for a in (-1, 0, 2)]
    assert plane.tolist() == by_hand
    assert loss_on_grid(model, bowl, [along], [1]).tolist() == [by_hand[1][1]]
    both = loss_on_grid(model, lambda net: torch.stack([bowl(net), net.w[0]]), [across], [-1, 2])
    assert both.tolist() == [[by_hand[0][0] + 0.0, 0], [12.5, 3]]
    assert model.w.tolist() == [1.0, 2.0]


def test_the_gradient_of_a_bowl_changes_by_its_hessian():
    path = [{"w": torch.tensor(at, dtype=torch.float64)} for at in ([1, 0], [3, 0], [3, 5], [4, 6])]
    model = Bowl([7.0, 8.0])
    assert gradient_change(model, bowl, path).tolist() == pytest.approx([1, 4, (17 / 2) ** 0.5])
    assert model.w.tolist() == [7.0, 8.0]
    refuses(lambda: gradient_change(model, bowl, path[:1]), ValueError, "path", "two", "1")
    refuses(lambda: gradient_change(model, bowl, path[:1] * 2), ValueError, "path", "differ")


def mixup_by_brute_force(model: nn.Module, x: torch.Tensor, alpha: float) -> torch.Tensor:
    """E over every partner and λ ~ Beta(α, α) by its quantiles, the larger share with the example."""
    lam = mixing_grid(alpha)
    losses = torch.zeros(N, dtype=torch.float64)
    for i, j in itertools.product(range(N), range(N)):
        theta = torch.maximum(lam, 1 - lam)[:, None]
        logs = model(theta * x[i] + (1 - theta) * x[j]).log_softmax(1)
        losses[i] -= (theta[:, 0] * logs[:, Y[i]] + (1 - theta[:, 0]) * logs[:, Y[j]]).mean().detach() / N
    return losses


def mixing_grid(alpha: float) -> torch.Tensor:
    return torch.from_numpy(beta.ppf((torch.arange(400).double() + 0.5).numpy() / 400, alpha, alpha))


def test_the_mixup_loss_and_the_smoothed_loss_of_an_expansion():
    model = net().eval()
    terms = expansion(model, X, Y, 0.7, draws=1000, generator=seeded(0))
    torch.testing.assert_close(terms.mixup.values, mixup_by_brute_force(model, X, 0.7), rtol=0.03, atol=0.05)
    theta, labels = mx.lambda_moments(0.7).theta_bar, functional.one_hot(Y, CLASSES).double()
    inputs, targets = (theta * part + (1 - theta) * part.mean(0) for part in (X, labels))
    torch.testing.assert_close(
        terms.smoothed.values, functional.cross_entropy(model(inputs), targets, reduction="none").detach()
    )


def test_what_the_expansion_lacks_is_of_third_order():
    """Of data s times as wide, δ is of order s and ε of order 1: terms are of order 1 and s, the rest of order s²."""
    model, gaps = net().eval(), []
    for share in (0.3, 0.003):
        terms = expansion(model, share * X, Y, 1.0, draws=500, generator=seeded(0))
        exact = terms.mixup.values.mean() - first_order(model, share * X, draws=500)
        gaps.append(abs(float(terms.total.values.mean() - exact)))
    assert gaps[1] < 1e-3 * gaps[0]


def test_the_terms_by_whole_jacobians_and_hessians():
    model, generator, theta_bar = net().eval(), seeded(3), mx.lambda_moments(0.7).theta_bar
    labels = functional.one_hot(Y, CLASSES).double()
    inputs, targets = (theta_bar * part + (1 - theta_bar) * part.mean(0) for part in (X, labels))
    lam = sample_lambda(0.7, (N,), generator=generator).double()
    theta, partner = torch.maximum(lam, 1 - lam)[:, None], torch.randint(0, N, (N,), generator=generator)
    terms = expansion(model, X, Y, 0.7, draws=1, generator=seeded(3))
    for i in range(N):
        delta = theta[i] * X[i] + (1 - theta[i]) * X[partner[i]] - inputs[i]
        epsilon = theta[i] * labels[i] + (1 - theta[i]) * labels[partner[i]] - targets[i]
        slope = torch.autograd.functional.jacobian(lambda at: model(at[None])[0], inputs[i]) @ delta
        bends = [
            torch.autograd.functional.hessian(lambda at, c=c: model(at[None])[0, c], inputs[i]) for c in range(CLASSES)
        ]
        p = model(inputs[i : i + 1])[0].softmax(0).detach()
        by_hand = (
            slope @ (p.diag() - p.outer(p)) @ slope / 2,
            sum((p - targets[i])[c] * (delta @ bends[c] @ delta) for c in range(CLASSES)) / 2,
            -epsilon @ slope,
        )
        found = [part.values[i] for part in (terms.jacobian, terms.curvature, terms.alignment)]
        torch.testing.assert_close(torch.stack(found), torch.stack(by_hand))
        assert float(found[0]) >= 0


def first_order(model: nn.Module, x: torch.Tensor, draws: int) -> torch.Tensor:
    """The part of first order over the very draws, which is 0 only in the mean."""
    generator, theta_bar = seeded(0), mx.lambda_moments(1.0).theta_bar
    labels = functional.one_hot(Y, CLASSES).double()
    inputs, targets = (theta_bar * part + (1 - theta_bar) * part.mean(0) for part in (x, labels))
    inputs = inputs.requires_grad_()
    logits = model(inputs)
    (slope,) = torch.autograd.grad(functional.cross_entropy(logits, targets, reduction="sum"), inputs)
    total = torch.zeros((), dtype=torch.float64)
    for _ in range(draws):
        lam = sample_lambda(1.0, (N,), generator=generator).double()
        theta, partner = torch.maximum(lam, 1 - lam)[:, None], torch.randint(0, N, (N,), generator=generator)
        delta, epsilon = (
            theta * a + (1 - theta) * a[partner] - b for a, b in ((x, inputs.detach()), (labels, targets))
        )
        total += (slope * delta).sum() - (epsilon * logits.log_softmax(1).detach()).sum()
    return total / draws / N


def test_relus_have_no_curvature():
    terms = expansion(net(nn.ReLU), X, Y, 1.0, draws=5, generator=seeded(0))
    assert terms.curvature.values.abs().max() == 0


def test_paired_differences_over_images():
    a, b = PerImage(torch.tensor([1.0, 5.0, 9.0]).double()), PerImage(torch.tensor([0.5, 4.0, 9.0]).double())
    assert a.difference(b) == mx.mean_interval([0.5, 1.0, 0.0])
    assert a.interval() == mx.mean_interval([1, 5, 9])
    refuses(lambda: a.difference(PerImage(b.values[:2])), ValueError, "other", "3", "2")


def test_wrong_arguments():
    model = net()
    refuses(lambda: linearity_gap(model, X, X[:2], [0.5]), ValueError, "x_prime", "shape")
    refuses(lambda: prediction_path(model, X, X, []), ValueError, "lam", "none")
    refuses(lambda: prediction_path(model, X, X, [1.5]), ValueError, "lam", "1.5")
    refuses(lambda: jacobian_norm(model, X.long()), TypeError, "x", "float", "int64")
    refuses(lambda: jacobian_norm(model, X, kind="nuclear"), ValueError, "kind", "spectral", "nuclear")
    refuses(lambda: jacobian_norm(nn.Flatten(0), X), ValueError, "model", "logits")
    refuses(lambda: curvature(model, lambda at: at(X)), TypeError, "loss", "scalar")
    refuses(lambda: curvature(nn.ReLU(), loss_of), ValueError, "model", "none")
    refuses(lambda: sharpness(model, loss_of, 0.0), ValueError, "radius", "0")
    refuses(lambda: loss_on_grid(model, loss_of, [[X]], [0.0]), ValueError, "directions")
    refuses(lambda: loss_on_grid(model, loss_of, [filter_normalized(model)], [0], [0]), ValueError, "axes", "2")
    refuses(lambda: loss_on_grid(model, loss_of, [filter_normalized(model)], []), ValueError, "axes", "none")
    refuses(lambda: expansion(model, X, Y, -1.0), ValueError, "alpha", "-1")
