"""Test-time rescaling against its formula in float64, and BatchNorm's statistics against hand computation."""

import copy
import re

import pytest
import torch
from scipy.special import betainc
from torch import Tensor, nn

import mixlab as mx
from mixlab.calibration.recalibration import at_temperature
from mixlab.data import Split
from mixlab.training.at_test_time import mean_image, rescaled
from mixlab.training.batchnorm import refreshed_batchnorm


def small_data(counts=(30, 30, 30), side: int = 8, seed: int = 0) -> mx.Dataset:
    """Random pictures, brighter where the class is higher; `counts` of each class in train."""
    stream = torch.Generator().manual_seed(seed)

    def split(each) -> Split:
        labels = torch.arange(len(each)).repeat_interleave(torch.tensor(each))
        noise = torch.randint(0, 130, (len(labels), 3, side, side), generator=stream)
        ramp = torch.arange(side).view(1, 1, 1, side) * 4
        return Split((noise + ramp + 20 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)

    return mx.Dataset("small", split(counts), split((7,) * len(counts)), tuple("abcdefghij"[: len(counts)]))


def small_model(classes: int = 3, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, classes)
        )


def clean(data: mx.Dataset) -> Tensor:
    """The training images, normalized in float64."""
    mean, std = (torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1) for part in data.normalization)
    return (data.train.images.double() / 255 - mean) / std


@pytest.mark.parametrize(("shrink", "output"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 8])
def test_rescaled_is_the_formula_in_float64(alpha, shrink, output):
    data, model = small_data((40, 15, 5)), small_model()
    x = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(1))
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


@pytest.mark.parametrize("counts", [(20, 20, 20), (30, 20, 10)])
def test_with_balanced_classes_the_output_half_is_temperature_theta_bar(counts):
    data, model = small_data(counts), small_model()
    raw = mx.predict(model, data.test, data.normalization)
    half = mx.predict(rescaled(model, data, 1.0, shrink=False), data.test, data.normalization)
    cooled = at_temperature(raw, 0.75)
    if counts == (20, 20, 20):
        torch.testing.assert_close(half.probs, cooled.probs, atol=1e-6, rtol=1e-6)
        assert torch.equal(half.answer, raw.answer)
    else:  # frequent classes lose a third of their frequency, in logits
        gap = half.logits - cooled.logits
        torch.testing.assert_close(gap, torch.tensor([[-1 / 6, -1 / 9, -1 / 18]]).expand(21, 3), atol=1e-6, rtol=0)


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
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    wrapper = rescaled(model, data, 1.0)
    test = mx.predict(wrapper, data.test, data.normalization)
    assert len(test) == 21
    assert wrapper.model is model
    assert wrapper.training
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(now, then) for now, then in zip(model.state_dict().values(), state.values(), strict=True))
    wrapper.eval()
    assert not model[3].training
    assert repr(wrapper).startswith("Rescaled(\n  theta_bar=0.7500, shrink=True, output=True\n")


def test_the_wrapper_moves_and_widens_with_its_buffers_and_keeps_the_layout():
    data = small_data()
    wrapper = rescaled(small_model(), data, 1.0).eval()
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = wrapper(x)
    layouts = []
    wrapper.model.register_forward_pre_hook(
        lambda _, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    torch.testing.assert_close(wrapper(x.contiguous(memory_format=torch.channels_last)), plain)
    assert layouts == [True]
    torch.testing.assert_close(wrapper.double()(x.double()).float(), plain, atol=1e-5, rtol=1e-5)
    assert wrapper.mean_image.dtype == torch.float64
    assert wrapper.to("meta").mean_image.device.type == "meta"


DATA, MODEL = small_data(), small_model()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rescaled(MODEL, DATA, 0),
            "alpha must be a number from 1e-06 to 1e+06 (a model trained without mixing has no θ̄), got 0",
        ),
        (
            lambda: rescaled(MODEL, DATA, "1"),
            "alpha must be a number from 1e-06 to 1e+06 (a model trained without mixing has no θ̄), got '1'",
        ),
        (lambda: rescaled("resnet", DATA, 1), "model must be a torch.nn.Module, got 'resnet'"),
        (lambda: rescaled(MODEL, "cifar10", 1), "data must be a mixlab Dataset, as mx.load gives it, got 'cifar10'"),
        (lambda: rescaled(MODEL, DATA, 1, shrink=0), "shrink must be True or False, got 0"),
        (lambda: rescaled(MODEL, DATA, 1, output=None), "output must be True or False, got None"),
        (
            lambda: rescaled(small_model(4), DATA, 1),
            "model must give 3 logits, one for each class of small, got a float32 tensor of shape [2, 4] for 2 images",
        ),
        (
            lambda: rescaled(MODEL, DATA, 1)(torch.zeros(2, 3, 9, 9)),
            "x must be normalized float images of shape [batch, 3, 8, 8], got a float32 tensor of shape [2, 3, 9, 9]",
        ),
        (
            lambda: rescaled(MODEL, DATA, 1)(torch.zeros(3, 8, 8)),
            "x must be normalized float images of shape [batch, 3, 8, 8], got a float32 tensor of shape [3, 8, 8]",
        ),
        (
            lambda: rescaled(MODEL, DATA, 1)(DATA.test.images),
            "x must be normalized float images of shape [batch, 3, 8, 8], got a uint8 tensor of shape [21, 3, 8, 8]",
        ),
        (
            lambda: rescaled(
                MODEL, mx.Dataset("none", DATA.train.subset(torch.arange(0)), DATA.test, ("a", "b", "c")), 1
            ),
            'data must hold training images, got Dataset("none", train 0, test 21, 3 classes)',
        ),
        (
            lambda: refreshed_batchnorm(
                MODEL, mx.Dataset("one", DATA.train.subset(torch.arange(1)), DATA.test, ("a", "b", "c"))
            ),
            'data must hold at least 2 training images, got Dataset("one", train 1, test 21, 3 classes)',
        ),
        (
            lambda: refreshed_batchnorm(
                nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192, track_running_stats=False)), DATA
            ),
            (
                "model must have a BatchNorm layer with running statistics, as there is nothing else to refresh, got "
                "Sequential with none"
            ),
        ),
        (lambda: refreshed_batchnorm(None, DATA), "model must be a torch.nn.Module, got None"),
        (
            lambda: refreshed_batchnorm(MODEL, DATA.train),
            "data must be a mixlab Dataset, as mx.load gives it, got Split(90 images of 3x8x8)",
        ),
        (lambda: refreshed_batchnorm(MODEL, DATA, images=1), "images must be an integer of at least 2, got 1"),
        (lambda: refreshed_batchnorm(MODEL, DATA, batch_size=1), "batch_size must be an integer of at least 2, got 1"),
        (
            lambda: refreshed_batchnorm(MODEL, DATA, seed=-1),
            "seed must be an integer from 0 to 9223372036854775807, got -1",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call()


def test_refreshed_statistics_are_those_computed_by_hand():
    """Two BatchNorm layers, three batches of 25 out of 90: the second layer sees what the first makes of each batch."""
    data = small_data()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5, momentum=0.3),
        nn.Flatten(),
    )
    model.train()
    model[1].eval()
    state = copy.deepcopy(model.state_dict())
    found = refreshed_batchnorm(model, data, images=80, batch_size=25, seed=5)

    order = torch.randperm(90, generator=torch.Generator().manual_seed(5))
    exact = copy.deepcopy(model).double()
    moments = [[], []]
    for start in (0, 25, 50):
        first = exact[0](clean(data)[order[start : start + 25]]).detach()
        mean, variance = first.mean((0, 2, 3)), first.var((0, 2, 3), unbiased=False)
        inner = (first - mean.view(1, -1, 1, 1)) / (variance + 1e-5).sqrt().view(1, -1, 1, 1)
        second = exact[3](inner.relu()).detach()
        for place, hidden in zip(moments, (first, second), strict=True):
            place.append((hidden.mean((0, 2, 3)), hidden.var((0, 2, 3))))
    for layer, batches in ((found[1], moments[0]), (found[4], moments[1])):
        means, variances = (torch.stack(part).mean(0).float() for part in zip(*batches, strict=True))
        torch.testing.assert_close(layer.running_mean, means, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer.running_var, variances, atol=1e-5, rtol=1e-5)
        assert int(layer.num_batches_tracked) == 3

    assert (found[1].momentum, found[4].momentum) == (0.1, 0.3)
    assert [module.training for module in found.modules()] == [module.training for module in model.modules()]
    assert found[0].weight is not model[0].weight
    assert all(torch.equal(now, then) for now, then in zip(model.state_dict().values(), state.values(), strict=True))
    again = refreshed_batchnorm(model, data, images=80, batch_size=25, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), again.state_dict().values(), strict=True))
    other = refreshed_batchnorm(model, data, images=80, batch_size=25, seed=6)
    assert not torch.equal(other[1].running_mean, found[1].running_mean)


def test_more_images_than_there_are_means_all_of_them_and_dropout_is_off():
    data = small_data()
    model = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    found = refreshed_batchnorm(model, data, images=10_000, batch_size=10_000)
    hidden = copy.deepcopy(model[1]).double()(clean(data)).detach()
    torch.testing.assert_close(found[2].running_mean, hidden.mean((0, 2, 3)).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2].running_var, hidden.var((0, 2, 3)).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shared_lam", [True, False])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_mixing_shrinks_the_first_layers_variance_and_refreshing_undoes_it(alpha, shared_lam):
    """By (alpha + 1) / (2 alpha + 1), for one λ a batch and for one a pair; BatchNorm1d in float64, independent pairs.

    1,500 batches of 64: the standard error of the ratio is below 0.005, and 4.5 of them are allowed.
    """
    stream = torch.Generator().manual_seed(0)
    mixer = mx.Mixer("mixup", alpha=alpha, shared_lam=shared_lam)
    layer = nn.BatchNorm1d(8, momentum=None, affine=False).double()
    labels = torch.zeros(64, dtype=torch.int64)
    clean_variance = torch.zeros(8, dtype=torch.float64)
    for _ in range(1500):
        x = 1 + 2 * torch.randn(64, 8, generator=stream, dtype=torch.float64)
        layer(mixer.plan(x, labels, generator=stream).apply(x))
        clean_variance += x.var(0) / 1500
    ratio = float((layer.running_var / clean_variance).mean())
    # one pair in 64 is an image with itself, and such a pair is not shrunk
    wanted = (alpha + 1) / (2 * alpha + 1)
    assert abs(ratio - (wanted + (1 - wanted) / 64)) < 4.5 * 0.005


def test_the_statistics_of_a_model_trained_on_mixtures_grow_when_refreshed():
    """The same on images: a convolution and BatchNorm in train mode on mixup at alpha = 1, then refreshed."""
    data = small_data((120, 120, 120))
    model = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, momentum=None))
    stream = torch.Generator().manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(300):
            chosen = torch.randint(360, (60,), generator=stream)
            plan = mx.Mixer("mixup", alpha=1.0).plan(
                data.train.images[chosen], data.train.labels[chosen], generator=stream
            )
            model(plan.apply(data.train.images[chosen], normalize=data.normalization))
    found = refreshed_batchnorm(model, data, images=360, batch_size=60)
    filters = model[0].weight.double()
    x = clean(data)
    hidden = nn.functional.conv2d(x, filters)
    between = nn.functional.conv2d(x - x.mean(0), filters)  # mixing keeps the mean image's own variance over pixels
    fixed = hidden.var((0, 2, 3)) - between.var((0, 2, 3))
    wanted = (2 / 3 * between.var((0, 2, 3)) + fixed) / hidden.var((0, 2, 3))
    torch.testing.assert_close((model[1].running_var / found[1].running_var).double(), wanted, atol=0.02, rtol=0)
