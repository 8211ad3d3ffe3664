"""Test-time rescaling against its formula in float64."""

import copy

import pytest
import torch
from refusals import each_refused
from same_weights import differing
from scipy.special import betainc
from seeding import seeded
from small_pictures import clean, small_data, small_model
from torch import nn

import mixlab as mx
from mixlab.training.at_test_time import mean_image, rescaled


@pytest.mark.parametrize(("shrink", "output"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("alpha", [0.2, 8])
def test_rescaled_is_the_formula_in_float64(alpha, shrink, output):
    data, model = small_data((40, 15, 5)), small_model()
    x = torch.randn(9, 3, 8, 8, generator=seeded(1))
    theta = 1 - betainc(alpha + 1, alpha, 0.5)
    exact = copy.deepcopy(model).double().eval()
    seen = x.double()
    if shrink:
        seen = theta * seen + (1 - theta) * clean(data).mean(0)
    wanted = exact(seen)
    if output:
        wanted = wanted / theta + (1 - 1 / theta) * torch.tensor([40, 15, 5], dtype=torch.float64) / 60
    kept = x.clone()
    found = rescaled(model, data, alpha, shrink=shrink, output=output).eval()(x)
    torch.testing.assert_close(found.double(), wanted, atol=2e-6, rtol=2e-6)
    assert torch.equal(x, kept)


def test_the_mean_image_is_the_pixelwise_mean_in_chunks():
    data = small_data((900, 700, 650), side=4)  # three chunks, the last a part
    torch.testing.assert_close(mean_image(data), clean(data).mean(0), atol=1e-13, rtol=0)


def test_a_function_that_mixup_fits_exactly_is_undone():
    """A linear model of the shrunk problem, y~ = ybar + theta (y - ybar) at x~ likewise, comes out as y at x."""
    data = small_data((20, 20, 20))
    x, y = clean(data), nn.functional.one_hot(data.train.labels, 3).double()
    xbar, ybar = x.mean(0), y.mean(0)
    flat = ((xbar + 0.75 * (x - xbar)).flatten(1), ybar + 0.75 * (y - ybar))
    ones = torch.ones(60, 1, dtype=torch.float64)
    weights = torch.linalg.lstsq(torch.cat([flat[0], ones], 1), flat[1], driver="gelsd").solution
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    model[1].weight.data, model[1].bias.data = weights[:-1].T.float().contiguous(), weights[-1].float()
    torch.testing.assert_close(rescaled(model, data, 1.0)(x.float()), y.float(), atol=1e-4, rtol=0)


def test_the_wrapper_holds_the_model_and_leaves_it_as_it_was():
    data, model = small_data(), small_model()
    model.train()
    model[1].eval()
    before = copy.deepcopy(model)
    modes = [module.training for module in model.modules()]
    wrapper = rescaled(model, data, 1.0)
    assert len(mx.predict(wrapper, data.test, data.normalization)) == 21
    assert wrapper.model is model
    assert wrapper.training
    assert [module.training for module in model.modules()] == modes
    assert differing(model, before) == []
    wrapper.eval()
    assert not model[3].training
    assert repr(wrapper).startswith("Rescaled(\n  theta_bar=0.7500, shrink=True, output=True\n")


def test_the_wrapper_moves_and_widens_with_its_buffers_and_keeps_the_layout():
    data = small_data()
    wrapper = rescaled(small_model(), data, 1.0).eval()
    x = torch.randn(4, 3, 8, 8, generator=seeded())
    plain = wrapper(x)
    seen = []
    wrapper.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(wrapper(x.contiguous(memory_format=torch.channels_last)), plain)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(wrapper.double()(x.double()).float(), plain, atol=1e-5, rtol=1e-5)
    assert wrapper.mean_image.dtype == torch.float64
    assert wrapper.to("meta").mean_image.device.type == "meta"


DATA, MODEL = small_data(), small_model()


test_wrong_arguments_are_named = each_refused(
    (lambda: rescaled(MODEL, "cifar10", 1), "data must be a mixlab Dataset, .* got 'cifar10'"),
    (lambda: rescaled(small_model(4), DATA, 1), r"model must give 3 logits, .* \[2, 4\]"),
    (lambda: rescaled(MODEL, DATA, 1)(torch.zeros(2, 3, 9, 9)), r"x must be .* 3, 8, 8\], .* 3, 9, 9\]"),
    (lambda: rescaled(MODEL, DATA, 1)(torch.zeros(3, 8, 8)), r"x must be .* got .* \[3, 8, 8\]"),
    (lambda: rescaled(MODEL, DATA, 1)(DATA.test.images), "x must be normalized float images .* got a uint8"),
)
