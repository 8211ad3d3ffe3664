"""Cross entropy against two labels: equal to torch's on soft targets, and no target is ever built."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Live
from seeding import seeded
from torch import Tensor
from torch.nn import functional

from mixlab import mixed_cross_entropy

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def drawn(seed: int, n: int, classes: int, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = seeded(seed)
    logits = scale * torch.randn(n, classes, dtype=torch.float64, generator=generator)
    y_a, y_b = torch.randint(0, classes, (2, n), generator=generator)
    return logits, y_a, y_b, torch.rand(n, generator=generator)


def soft(y_a: Tensor, y_b: Tensor, lam: Tensor, classes: int) -> Tensor:
    weight = lam.double()[:, None]
    return weight * functional.one_hot(y_a, classes) + (1 - weight) * functional.one_hot(y_b, classes)


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 9),
    classes=st.integers(1, 12),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    ends=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    lam_dtype=st.sampled_from(FLOATS),
)
@settings(max_examples=120, deadline=None)
def test_it_is_cross_entropy_against_soft_labels_in_value_and_gradient(
    seed, n, classes, scale, smoothing, reduction, ends, dtype, lam_dtype
):
    logits, y_a, y_b, lam = drawn(seed, n, classes, scale)
    lam = (lam.round() if ends else lam).to(lam_dtype)
    ours = logits.to(dtype).requires_grad_()
    theirs = (ours.detach() if dtype.itemsize == 2 else logits).double().requires_grad_()
    options = {"reduction": reduction, "label_smoothing": smoothing}
    loss = mixed_cross_entropy(ours, y_a, y_b, lam, **options)
    expected = functional.cross_entropy(theirs, soft(y_a, y_b, lam, classes), **options)
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert loss.shape == expected.shape
    # 1e-6 of the loss's own size: a sum, and logits of 100, are rounded in their last digit
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6 * size)
    weight = torch.linspace(0.5, 2, loss.numel(), dtype=torch.float64).view(loss.shape)
    (loss.double() * weight).sum().backward()
    (expected * weight).sum().backward()
    assert ours.grad.dtype == dtype
    step = torch.finfo(dtype).eps if dtype.itemsize == 2 else 1e-6
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=step, atol=2e-6)


def test_second_derivatives_are_right():
    logits, y_a, y_b, lam = drawn(4, 3, 4)
    logits.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: mixed_cross_entropy(z, y_a, y_b, lam.double()), (logits,))


def test_a_gradient_flows_to_lambda_where_one_is_wanted():
    logits, y_a, y_b, lam = drawn(5, 6, 4)
    lam = lam.double().requires_grad_()
    mixed_cross_entropy(logits, y_a, y_b, lam, "sum").backward()
    log_p = logits.log_softmax(1)
    rows = torch.arange(6)
    torch.testing.assert_close(lam.grad, log_p[rows, y_b] - log_p[rows, y_a])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_log_softmax_is_the_only_table_of_examples_by_classes(dtype, smoothing):
    logits, y_a, y_b, lam = drawn(7, 50, 100)
    logits = logits.to(dtype)
    with Live() as live:
        mixed_cross_entropy(logits, y_a, y_b, lam, label_smoothing=smoothing)
    assert logits.nbytes <= live.peak < 1.5 * logits.nbytes


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_mean_over_a_large_map_is_not_rounded_away(reduction) -> None:
    logits, y = torch.zeros(1, 2, 1500, 1500), torch.zeros(1, 1500, 1500, dtype=torch.int64)
    loss = mixed_cross_entropy(logits, y, y, torch.tensor([0.3]), reduction)
    torch.testing.assert_close(loss / (y.numel() if reduction == "sum" else 1), torch.tensor(2.0).log())
