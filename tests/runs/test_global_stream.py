"""torch's global generators, lent to a run."""

import threading

import pytest
import torch
from tiny_runs import contents, net, tiny_run
from torch import nn

import mixlab as mx
from mixlab.runs.global_stream import global_stream, may_draw


def test_dropout_depends_on_the_seed_alone_and_the_callers_generator_goes_on(tmp_path, wanted):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert contents(tiny_run(tmp_path)) == wanted
    assert torch.equal(torch.get_rng_state(), before)


def test_each_step_of_each_seed_draws_its_own_numbers():
    def drawn(seed, step):
        with global_stream(net(), seed, step):
            return tuple(torch.rand(4).tolist())

    places = [(seed, step) for seed in range(3) for step in range(3)]
    assert len({drawn(*place) for place in places}) == 9
    assert drawn(1, 2) == drawn(1, 2)
    torch.manual_seed(1)
    assert torch.rand(4).tolist() != list(drawn(1, 0)), "a run and its caller draw different numbers with one seed"


def with_hook(module):
    module.register_forward_hook(lambda _module, _given, out: out + torch.rand(()))
    return module


def with_own_forward(model):
    model.head.forward = lambda x: nn.functional.dropout(x, 0.5)
    return model


@pytest.mark.parametrize(
    ("model", "draws"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout2d(0.1)), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.LSTM(2, 2), False),
        (nn.RReLU(), True),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), True),
        (with_hook(nn.Linear(2, 2)), True),
        (torch.fx.symbolic_trace(nn.Linear(2, 2)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), False),
        (net(), True),
        (with_own_forward(mx.models.quick(3)), True),
    ],
)
def test_who_may_draw(model, draws):
    assert may_draw(model) is draws


@pytest.mark.parametrize("name", mx.models.MODELS)
def test_mixlabs_own_nets_leave_the_global_generator_alone(name):
    model = getattr(mx.models, name)(3)
    before = torch.get_rng_state()
    model.train()(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)
    assert not may_draw(model)


def test_models_that_draw_nothing_do_not_wait_for_each_other():
    entered = threading.Event()

    def other():
        with global_stream(mx.models.quick(3), 1, 0):
            entered.set()

    with global_stream(mx.models.quick(3), 0, 0):
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        assert entered.wait(20)
    thread.join()
