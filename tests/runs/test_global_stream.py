"""torch's global generators, lent to a run."""

import threading

import pytest
import torch
from tiny_runs import contents, net, tiny_run
from torch import nn

import mixlab as mx
from mixlab.runs.global_stream import GlobalStream, may_draw


def test_callers_generator_goes_on_as_if_nothing_had_been(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    tiny_run(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_depends_on_the_seed_alone(tmp_path):
    torch.manual_seed(1)
    one = contents(tiny_run(tmp_path / "a"))
    torch.manual_seed(2)
    two = contents(tiny_run(tmp_path / "b"))
    assert one == two
    generator = GlobalStream(net(), torch.device("cpu"), 0)
    with generator:
        first = torch.rand(3)
    with generator:
        second = torch.rand(3)
    again = GlobalStream(net(), torch.device("cpu"), 0)
    with again:
        assert torch.equal(torch.rand(6), torch.cat([first, second]))
    with GlobalStream(net(), torch.device("cpu"), 1):
        assert not torch.equal(torch.rand(3), first)


def test_generator_is_put_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(TypeError), GlobalStream(net(), torch.device("cpu"), 0):
        torch.rand("three")
    assert torch.equal(torch.get_rng_state(), before)


def with_hook(module):
    module.register_forward_hook(lambda _module, _given, out: out + torch.rand(()))
    return module


@pytest.mark.parametrize(
    ("model", "draws"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout2d(0.1)), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.LSTM(2, 2), False),
        (nn.RReLU(), True),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), True),
        (nn.FractionalMaxPool3d(2, output_ratio=0.5), True),
        (with_hook(nn.Linear(2, 2)), True),
        (torch.fx.symbolic_trace(nn.Linear(2, 2)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), False),
        (net(), True),
        (mx.models.quick(10), False),
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


def test_forward_of_a_modules_own_may_draw():
    model = mx.models.quick(3)
    model.head.forward = lambda x: nn.functional.dropout(x, 0.5)
    assert may_draw(model)


def test_models_that_draw_nothing_do_not_wait_for_each_other():
    entered = threading.Event()

    def other():
        with GlobalStream(mx.models.quick(3), torch.device("cpu"), 1):
            entered.set()

    with GlobalStream(mx.models.quick(3), torch.device("cpu"), 0):
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        assert entered.wait(20)
    thread.join()


def test_bytes_that_are_no_generators_state_are_refused():
    stream = GlobalStream(net(), torch.device("cpu"), 0)
    state = stream.state()
    for wrong, said in ((torch.full_like(state["global_cpu"], 255), "Invalid mt19937 state"), (torch.ones(3), "got")):
        with pytest.raises(ValueError, match=rf"^the state of torch's global generator must be .*{said}"):
            stream.restored({"global_cpu": wrong})
