"""Saliency against the gradient by hand, and what it must leave alone."""

import pytest
import torch
from seeding import seeded
from torch import Tensor, nn

import mixlab as mx
from mixlab.mixing.saliency import input_gradient, magnitude, saliency


def batch(dtype: torch.dtype = torch.float32, count: int = 5) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 8, 8, generator=seeded(1))
    y = torch.randint(0, 4, (count,), generator=seeded(2))
    return ((255 * x).to(dtype) if dtype == torch.uint8 else x.to(dtype)), y


class Small(nn.Module):
    """With batch norm and dropout, whose modes matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Linear(nn.Module):
    """Its gradient is Wᵀ (softmax − onehot)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3 * 8 * 8, generator=seeded(3)) / 10)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.to(x.dtype).T


def by_formula(model: Linear, x: Tensor, y: Tensor) -> Tensor:
    weight = model.weight.detach().double()
    error = (x.double().flatten(1) @ weight.T).softmax(1) - nn.functional.one_hot(y, 4)
    return (error @ weight).view(x.shape).square().mean(1).sqrt()


@pytest.mark.parametrize("normalize", [(0, 1), (0.4, 0.2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_it_is_the_root_mean_square_over_channels_of_each_images_own_gradient(dtype: torch.dtype, normalize) -> None:
    model = Linear()
    x, y = batch(dtype)
    ours = saliency(model, x, y, normalize=normalize)
    assert ours.dtype == torch.float32
    assert not ours.requires_grad
    mean, std = normalize
    seen = ((x.double() / 255 if dtype == torch.uint8 else x.double()) - mean) / std
    step = 0.05 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(ours.double(), by_formula(model, seen, y), rtol=step, atol=1e-4)


def test_an_images_saliency_does_not_depend_on_its_batch_nor_on_dropout() -> None:
    model = Small().train()
    x, y = batch()
    whole = saliency(model, x, y)
    parts = torch.cat([saliency(model, x[i : i + 1], y[i : i + 1]) for i in range(5)])
    assert torch.allclose(whole, parts, atol=1e-7)


def test_nothing_is_left_changed() -> None:
    model = Small().train()
    model.body[1].eval()  # as a fine-tuner freezes it
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    x, y = batch()
    kept, state = x.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    before = saliency(model, x, y)
    assert [module.training for module in model.modules()] == [True, True, True, False, True, True, True]
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(part.grad, torch.full_like(part, 2.0)) for part in model.parameters())
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(saliency(model.requires_grad_(False), x, y), before), "a frozen model has saliency too"


def test_clean_gives_a_loss_of_the_same_pass_whose_backward_is_that_of_training() -> None:
    x, y = batch()
    model, other = Small().train(), Small().train()
    torch.manual_seed(4)
    gradient, loss = input_gradient(model, x, y, clean=0.5)
    torch.manual_seed(4)
    inputs = x.clone().requires_grad_()
    wanted = 0.5 * nn.functional.cross_entropy(other(inputs), y)
    assert torch.equal(loss, wanted)
    assert all(part.grad is None for part in model.parameters())
    (loss_gradient,) = torch.autograd.grad(wanted, inputs, retain_graph=True)
    assert torch.allclose(gradient, loss_gradient * 5 / 0.5, atol=1e-6)  # of each image's own loss
    loss.backward()
    wanted.backward()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, atol=1e-7)
    assert torch.equal(model.body[1].running_mean, other.body[1].running_mean)  # one clean pass, as in training
    assert input_gradient(model, x, y)[1] is None


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_on_and_nothing_is_drawn_without(off) -> None:
    (x, y), generator = batch(), seeded()
    for name in ("puzzle", "saliencymix"):
        with off(), pytest.raises(RuntimeError, match="saliency needs gradients, which are off here"):
            mx.Mixer(name).plan(x, y, model=Small(), generator=generator)
    assert torch.equal(generator.get_state(), seeded().get_state())


class Constant(nn.Module):
    """Logits a · x and 0: the gradient is a (p − onehot), whatever its size."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        one = (x * self.weight).flatten(1).sum(1)
        return torch.stack([one, torch.zeros_like(one)], 1)


@pytest.mark.parametrize("size", [1e-37, 1e-25, 1.0, 1e25, 1e37])
def test_saliency_neither_vanishes_nor_overflows_in_between(size: float) -> None:
    weight = torch.randn(3, 8, 8, generator=seeded(4))
    x, y = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
    ours = saliency(Constant(weight * size), x, y)
    wanted = (0.5 * weight.double() * size).square().mean(0).sqrt().expand(2, 8, 8)
    torch.testing.assert_close(ours.double(), wanted, rtol=1e-6, atol=1e-44)


def test_images_of_very_different_gradients_each_have_their_own() -> None:
    small, large = 1e-30 * torch.ones(1, 3, 2, 2), 1e30 * torch.ones(1, 3, 2, 2)
    got = magnitude(torch.cat([small, torch.zeros(1, 3, 2, 2), large, large.neg()]))
    assert got[:, 0, 0].tolist() == pytest.approx([1e-30, 0.0, 1e30, 1e30], rel=1e-6, abs=0)


def test_saliency_beyond_float32_is_an_error() -> None:
    weight = torch.full((3, 8, 8), 1e60, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^saliency must be finite, got non-finite gradients for 2 of 2 images: "):
        saliency(Constant(weight), torch.zeros(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1]))


class Centered(Small):
    """Begins in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5))


@pytest.mark.parametrize("normalize", [None, (0.4, 0.2)])
def test_a_model_may_begin_in_place(normalize) -> None:
    (x, y), (before, _) = batch(), batch()
    mean, std = normalize or (0, 1)
    wanted = saliency(Small(), x, y, normalize=(mean + 0.5 * std, std))
    torch.testing.assert_close(saliency(Centered(), x, y, normalize=normalize), wanted)
    for variant, settings in (("puzzle", {"blocks": 2}), ("saliencymix", {})):
        plan = mx.Mixer(variant, **settings).plan(x, y, model=Centered(), normalize=normalize, generator=seeded())
        assert plan.batch == len(x)
    assert torch.equal(x, before)
