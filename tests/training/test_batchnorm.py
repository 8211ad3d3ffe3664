"""BatchNorm's refreshed statistics against hand computation in float64."""

import copy

import torch
from refusals import each_refused
from same_weights import differing
from seeding import seeded
from small_pictures import clean, small_data, small_model
from torch import nn

from mixlab.training import refreshed_batchnorm


def test_refreshed_statistics_are_those_computed_by_hand():
    """Two BatchNorm layers, three batches of 25 out of 90: the second layer sees what the first makes of each batch."""
    data = small_data()
    one, two = nn.BatchNorm2d(4), nn.BatchNorm2d(5, momentum=0.3)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), one, nn.ReLU(), nn.Conv2d(4, 5, 3), two, nn.Flatten())
    model.train()
    model(clean(data)[:9].float())  # gives it statistics that are to be forgotten
    model[1].eval()
    before = copy.deepcopy(model)
    found = refreshed_batchnorm(model, data, images=80, batch_size=25, seed=5)

    order = torch.randperm(90, generator=seeded(5))
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
    assert differing(model, before) == []
    again, other = (refreshed_batchnorm(model, data, images=80, batch_size=25, seed=seed) for seed in (5, 6))
    assert differing(found, again) == []
    assert not torch.equal(other[1].running_mean, found[1].running_mean)


def test_more_images_than_there_are_means_all_of_them_and_dropout_is_off():
    data = small_data()
    model = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    found = refreshed_batchnorm(model, data, images=10_000, batch_size=10_000)
    hidden = copy.deepcopy(model[1]).double()(clean(data)).detach()
    torch.testing.assert_close(found[2].running_mean, hidden.mean((0, 2, 3)).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2].running_var, hidden.var((0, 2, 3)).float(), atol=1e-5, rtol=1e-5)


DATA, MODEL = small_data(), small_model()
NO_STATISTICS = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192, track_running_stats=False))


test_wrong_arguments_are_named = each_refused(
    (lambda: refreshed_batchnorm(None, DATA), "model must be a torch.nn.Module, got None"),
    (lambda: refreshed_batchnorm(MODEL, DATA.train), "data must be a mixlab Dataset, .* got Split"),
    (lambda: refreshed_batchnorm(MODEL, small_data((0, 0, 0))), "data must hold training images, got .*train 0"),
    (lambda: refreshed_batchnorm(MODEL, small_data((1, 0, 0))), "data must hold at least 2 .* got .*train 1"),
    (lambda: refreshed_batchnorm(NO_STATISTICS, DATA), "model must have a BatchNorm layer with running statistics"),
)
