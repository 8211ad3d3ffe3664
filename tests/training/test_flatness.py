"""Singular values of classes against eigenvalues in float64."""

import numpy as np
import pytest
import torch
from refusals import each_refused
from seeding import seeded

from mixlab.training import class_singular_values


@pytest.mark.parametrize("shape", [(90, 2), (90, 5), (90, 3, 2, 2)])
def test_singular_values_are_the_roots_of_the_covariance(shape: tuple[int, ...]) -> None:
    """The eigenvalues of each class's covariance matrix, in float64; a class of two has one that is not zero."""
    hidden = torch.randn(shape, generator=seeded(6)) * torch.linspace(0.1, 2, shape[-1])
    labels = torch.cat([torch.arange(88) % 3, torch.tensor([3, 3])])
    hidden = hidden + labels.view(-1, *[1] * (len(shape) - 1))
    states, ours = hidden.flatten(1).double().numpy(), class_singular_values(hidden, labels)
    spread = np.trace(np.cov(states.T, bias=True)) ** 0.5
    for label, values in enumerate(ours):
        wanted = np.linalg.eigvalsh(np.cov(states[labels.numpy() == label].T, bias=True))[::-1]
        assert values.tolist() == pytest.approx((np.sqrt(wanted.clip(0)) / spread).tolist(), abs=1e-5)
    assert torch.allclose(ours, class_singular_values(100 * hidden + 7, labels), atol=1e-5)


X, Y = torch.randn(10, 2, generator=seeded()), torch.arange(10) % 2
test_wrong_input_names_the_argument = each_refused(
    (lambda: class_singular_values(Y, Y), "hidden must be float states .* got an int64"),
    (lambda: class_singular_values(X, Y[:9]), "labels must hold one label for each of the 10 examples, got 9"),
    (lambda: class_singular_values(0 * X, Y), "hidden must hold states that differ"),
    (lambda: class_singular_values(X, 2 * Y), "labels must have every class up to the largest, but has no 1"),
)
