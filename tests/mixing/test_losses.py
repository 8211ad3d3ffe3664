"""Cross entropy against two labels: equal to torch's on soft targets, and no target is ever built."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from mixlab import mixed_cross_entropy

cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "n": st.integers(1, 9),
        "classes": st.integers(1, 12),
        "scale": st.sampled_from([0.0, 1.0, 30.0]),
        "smoothing": st.sampled_from([0.0, 0.1, 0.9, 1.0]),
        "reduction": st.sampled_from(["mean", "sum", "none"]),
        "ends": st.booleans(),
    }
)


def drawn(seed: int, n: int, classes: int, scale: float, ends: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, dtype=torch.float64, generator=generator)
    y_a, y_b = torch.randint(0, classes, (2, n), generator=generator)
    lam = torch.rand(n, generator=generator)
    return logits, y_a, y_b, lam.round() if ends else lam


def soft(y_a: Tensor, y_b: Tensor, lam: Tensor, classes: int) -> Tensor:
    weight = lam.double()[:, None]
    return weight * functional.one_hot(y_a, classes) + (1 - weight) * functional.one_hot(y_b, classes)


@given(case=cases, dtype=st.sampled_from([torch.float64, torch.float32]))
@settings(max_examples=100, deadline=None)
def test_it_is_cross_entropy_against_soft_labels_in_value_and_gradient(case, dtype):
    logits, y_a, y_b, lam = drawn(case["seed"], case["n"], case["classes"], case["scale"], case["ends"])
    ours, theirs = (logits.to(kind).requires_grad_() for kind in (dtype, torch.float64))
    options = {"reduction": case["reduction"], "label_smoothing": case["smoothing"]}
    loss = mixed_cross_entropy(ours, y_a, y_b, lam, **options)
    expected = functional.cross_entropy(theirs, soft(y_a, y_b, lam, case["classes"]), **options)
    assert loss.dtype == dtype
    assert loss.shape == expected.shape
    # 1e-6 of the loss's own size: a sum, and logits of 100, are rounded in their last digit
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6 * size)
    weight = torch.linspace(0.5, 2, loss.numel(), dtype=torch.float64).view(loss.shape)
    (loss.double() * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_logits_give_a_float32_loss_and_gradients_of_their_own_type(dtype):
    logits, y_a, y_b, lam = drawn(0, 64, 10, 3.0, False)
    half = logits.to(dtype).requires_grad_()
    exact = half.detach().double().requires_grad_()
    loss = mixed_cross_entropy(half, y_a, y_b, lam, label_smoothing=0.1)
    expected = functional.cross_entropy(exact, soft(y_a, y_b, lam, 10), label_smoothing=0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6)
    loss.backward()
    expected.backward()
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad.double(), exact.grad, rtol=torch.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_lambda_may_be_of_any_float_type(dtype):
    logits, y_a, y_b, lam = drawn(1, 8, 5, 1.0, False)
    lam = lam.to(dtype)
    loss = mixed_cross_entropy(logits, y_a, y_b, lam)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, soft(y_a, y_b, lam, 5)), rtol=1e-12, atol=1e-12)


def test_second_derivatives_are_right():
    logits, y_a, y_b, lam = drawn(4, 3, 4, 1.0, False)
    logits.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: mixed_cross_entropy(z, y_a, y_b, lam.double()), (logits,))


def test_a_gradient_flows_to_lambda_where_one_is_wanted():
    logits, y_a, y_b, lam = drawn(5, 6, 4, 1.0, False)
    lam = lam.double().requires_grad_()
    mixed_cross_entropy(logits, y_a, y_b, lam, "sum").backward()
    log_p = logits.log_softmax(1)
    rows = torch.arange(6)
    torch.testing.assert_close(lam.grad, log_p[rows, y_b] - log_p[rows, y_a])


class Shapes(TorchDispatchMode):
    """The operations that return a new tensor as large as [N, C]."""

    def __init__(self, elements: int) -> None:
        super().__init__()
        self.elements = elements
        self.large: list[str] = []
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.append(func.overloadpacket.__name__)
        if isinstance(result, Tensor) and result.numel() >= self.elements:
            self.large.append(func.overloadpacket.__name__)
        return result


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_log_softmax_is_the_only_table_of_examples_by_classes(dtype, smoothing):
    logits, y_a, y_b, lam = drawn(7, 50, 100, 1.0, False)
    logits = logits.to(dtype)
    with Shapes(50 * 100) as seen:
        mixed_cross_entropy(logits, y_a, y_b, lam, label_smoothing=smoothing)
    allowed = ["_log_softmax"] if dtype != torch.bfloat16 else ["_to_copy", "_log_softmax"]
    assert seen.large == allowed
    assert "one_hot" not in seen.names
    assert "scatter_" not in seen.names
