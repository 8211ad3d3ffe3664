"""Mixup as a transformation and a perturbation: its moments against mixup's own, enumerated in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from mixable import BATCH, CLASSES, batch, net
from scipy import integrate, stats
from seeding import seeded
from torch import Tensor

from mixlab import Mixer, mixed_loss

SETTINGS = [{}, {"perturb": False}, {"transform": False}]


def mixups_moments(alpha: float, x: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of θ x_i + (1 − θ) x_j, by integration over θ's law on [½, 1] and every j of the batch."""
    law = stats.beta(alpha, alpha)

    def expected(power: int) -> float:
        return integrate.quad(lambda t: 2 * t**power * law.pdf(t), 0.5, 1, epsabs=1e-12)[0]

    one, two = expected(1), expected(2)
    mean, second = np.zeros(x.shape[1]), np.zeros((x.shape[1],) * 2)
    for j in range(len(x)):
        mean += (one * x[i] + (1 - one) * x[j]) / len(x)
        own, both = np.outer(x[i], x[i]), np.outer(x[i], x[j])
        second += two * own + (one - two) * (both + both.T) + (1 - 2 * one + two) * np.outer(x[j], x[j])
    return mean, second / len(x) - np.outer(mean, mean)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 8.0])
def test_images_and_labels_have_mixups_first_and_second_moments_jointly(alpha: float) -> None:
    x, (_, y) = torch.randn(BATCH, 2, generator=seeded(3)), batch()
    joint = torch.cat([x, torch.eye(CLASSES)[y]], 1).double().numpy()  # [B, 2 + C]: δ, ε and both together
    plan = Mixer("perturbed", alpha, 40_000).plan(x, y, generator=seeded())
    drawn = plan.way.weights.double().numpy() @ joint
    for i in range(BATCH):
        mean, covariance = mixups_moments(alpha, joint, i)
        # standard errors of a mean and of Gaussian covariances; 6 of them for 6 * 6 * (1 + 6) numbers
        variance = np.diag(covariance)
        reach = 6 / math.sqrt(plan.k)
        assert np.all(np.abs(drawn[:, i].mean(0) - mean) <= reach * np.sqrt(variance) + 1e-6)
        errors = reach * np.sqrt(np.outer(variance, variance) + covariance**2) + 1e-6
        assert np.all(np.abs(np.cov(drawn[:, i].T) - covariance) <= errors)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 30.0])
def test_the_transformation_alone_draws_toward_the_mean(alpha: float) -> None:
    x, y = batch()
    plan = Mixer("perturbed", alpha, 2, perturb=False).plan(x, y)
    theta = integrate.quad(lambda t: 2 * t * stats.beta(alpha, alpha).pdf(t), 0.5, 1)[0]
    middle, hot = x.mean(0), torch.eye(CLASSES).double()[y]
    expected = (middle + theta * (x - middle)).repeat(2, 1, 1, 1)
    torch.testing.assert_close(plan.apply(x), expected, rtol=0, atol=1e-6)
    targets = (hot.mean(0) + theta * (hot - hot.mean(0))).repeat(2, 1)
    torch.testing.assert_close(plan.targets(y, CLASSES).double(), targets, rtol=0, atol=1e-6)
    torch.testing.assert_close(plan.lam, torch.full((2, BATCH), theta).float())


def test_the_perturbation_alone_is_the_same_about_the_images_themselves() -> None:
    x, y = batch()
    parts = [Mixer("perturbed", 1, 3, **own).plan(x, y, generator=seeded(4)).way.weights.double() for own in SETTINGS]
    both, transformed, perturbed = parts
    torch.testing.assert_close(perturbed - torch.eye(BATCH).double(), both - transformed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_of_weights_sum_to_one_and_lambda_is_held_to_its_range(settings: dict[str, bool]) -> None:
    x = torch.rand(50, 2)
    plan = Mixer("perturbed", 1, 6, **settings).plan(x, generator=seeded())
    torch.testing.assert_close(plan.way.weights.sum(-1), torch.ones(6, 50), rtol=0, atol=1e-5)
    assert torch.all((plan.lam >= 0) & (plan.lam <= 1))
    assert (plan.way.weights.min() < 0) == settings.get("perturb", True)


def test_a_shared_lambda_leaves_each_image_noise_of_its_own() -> None:
    x = torch.rand(200, 3)
    plan = Mixer("perturbed", 1, 2, shared_lam=True).plan(x, generator=seeded())
    assert torch.equal(plan.lam, plan.lam[:, :1].expand(2, 200))
    own = plan.way.weights.double() - plan.lam[..., None].double() * (torch.eye(200) - 1 / 200).double() - 1 / 200
    noise = own.flatten().numpy() * math.sqrt(200 / (1 / 48 + 1 / 16))  # γ² at α = 1 is 1/12
    assert stats.kstest(noise, "norm").pvalue > 1e-6


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_are_those_of_the_sum_over_all_labels(smoothing: float) -> None:
    x, y = batch()
    model, plan = net(), Mixer("perturbed", 0.5, 2).plan(x, y, generator=seeded(5))
    logits = model(torch.einsum("kij,jchw->kichw", plan.way.weights.double(), x).flatten(0, 1)).view(2, BATCH, CLASSES)
    expected: Tensor = torch.zeros(())
    for k, i, j, c in itertools.product(range(2), range(BATCH), range(BATCH), range(CLASSES)):
        target = (1 - smoothing) * float(y[j] == c) + smoothing / CLASSES
        expected = expected - plan.way.weights[k, i, j].double() * target * logits[k, i].log_softmax(0)[c] / (2 * BATCH)
    loss = mixed_loss(model, x, y, plan, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    for one, right in zip(*(torch.autograd.grad(z, list(model.parameters())) for z in (loss, expected)), strict=True):
        torch.testing.assert_close(one, right, rtol=1e-5, atol=1e-7)


def test_weights_are_applied_in_full_precision_under_autocast() -> None:
    x = torch.rand(64, 3, 4, 4, generator=seeded())
    plan = Mixer("perturbed").plan(x, generator=seeded())
    plain = plan.apply(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plan.apply(x), plain)
