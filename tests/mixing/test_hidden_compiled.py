"""What BatchNorm's statistics and a compiler make of mixing inside a network."""

import subprocess
import sys

import pytest
import torch
from definition import by_definition
from hidden_nets import BATCH, assert_same, draw, gradients, hooked, images, small, small_by_hand, warned
from torch import nn

from mixlab import MixPlan, hidden_mixing, mixed_logits


def forward(model: nn.Module, layer: str, plan: MixPlan) -> None:
    with hidden_mixing(model, layer, plan):
        model(images())


@pytest.mark.parametrize(("layer", "modules"), [("stage1", "1 BatchNorm module"), ("input", "2 BatchNorm modules")])
def test_batch_norm_after_k_mixes_warns_once_where_the_block_stands(layer: str, modules: str) -> None:
    plan = draw(k=3)
    (warning,) = warned(lambda: forward(small(), layer, plan))
    for words in ("k=3", f"{modules} after layer '{layer}' took", "12 correlated mixes of 4 pairs", "update_bn"):
        assert words in str(warning.message)
    assert warning.filename == __file__


def frozen() -> nn.Module:
    model = small()
    model.stage2[1].eval()
    return model


def untracked() -> nn.Module:
    model = small()
    model.stage2[1] = nn.BatchNorm2d(5, track_running_stats=False).double()
    return model


@pytest.mark.parametrize(
    ("build", "layer", "k"),
    [
        pytest.param(small, "stage1", 1, id="k is 1"),
        pytest.param(small, "stage2", 3, id="BatchNorm before the layer"),
        pytest.param(lambda: small().eval(), "input", 3, id="evaluation"),
        pytest.param(frozen, "stage1", 3, id="frozen"),
        pytest.param(untracked, "stage1", 3, id="untracked"),
    ],
)
def test_no_warning_where_no_statistics_describe_mixes(build, layer: str, k: int) -> None:
    assert warned(lambda: forward(build(), layer, draw(k=k))) == []


def test_a_training_loop_is_not_warned() -> None:
    for layer in ("input", "stage1"):
        plan = draw("manifold", 3, layers=[layer])
        assert warned(lambda plan=plan: mixed_logits(small(), images(), plan)) == []


def test_statistics_before_the_layer_are_of_images_and_after_it_of_mixes() -> None:
    model, plain, plan, x = small(), small(), draw(k=2), images()
    before = plain.stage2[1].running_mean.clone()
    hooked(model, "stage1", plan)(x)
    plain(x)
    assert torch.equal(model.stage1[1].running_mean, plain.stage1[1].running_mean)
    inner = model.stage2[0](by_definition(plan, model.stage1(x)))
    torch.testing.assert_close(model.stage2[1].running_mean, 0.9 * before + 0.1 * inner.mean((0, 2, 3)))


# Compiled models: what a compiler leaves out is seen by the results and by how often the compiled code runs


class Counting:
    """A backend that runs the graph as it is, and counts."""

    runs = 0

    def __call__(self, graph, _inputs):
        def run(*args):
            self.runs += 1
            return graph(*args)

        return run


def compiled_in_place(model, backend):
    model.compile(backend=backend)
    return model


def compiled_forward(model, backend):
    model.forward = torch.compile(model.forward, backend=backend)
    return model


def compiled_stage(model, backend):
    model.stage1 = torch.compile(model.stage1, backend=backend)
    return model


COMPILED = [
    (torch.compile, "stage1.0", False),
    (torch.compile, "_orig_mod.stage1", False),
    (torch.compile, "input", True),
    (compiled_in_place, "stage1", False),
    (compiled_in_place, "input", False),
    (compiled_forward, "stage1", False),
    (compiled_forward, "input", True),
    (compiled_stage, "stage1.0", False),
    (compiled_stage, "stage1", True),
    (compiled_stage, "stage2", True),
]


@pytest.mark.parametrize(("compiled", "layer", "stays"), COMPILED)
def test_compiled_models_mix_as_plain_ones(compiled, layer: str, stays: bool) -> None:
    torch.compiler.reset()
    plan, x, plain, backend = draw(k=3), images(), small(), Counting()
    model = compiled(small(), backend=backend)
    model(x)  # compiled without our hook: this is where one would be left out
    ran = backend.runs
    assert ran >= 1
    ours = gradients(model, hooked(model, layer, plan), x)
    assert (backend.runs > ran) == stays
    reference = layer.removeprefix("_orig_mod.")
    assert_same(ours, gradients(plain, lambda x: small_by_hand(plain, reference, plan, x), x))
    ran = backend.runs
    assert len(model(x)) == BATCH
    assert backend.runs > ran, "what was compiled is used again"


def test_logits_mixed_at_the_input_need_no_hook_and_stay_compiled() -> None:
    torch.compiler.reset()
    backend, plan, x = Counting(), draw("manifold", 2, layers=["input"]), images()
    model = compiled_in_place(small().eval(), backend)
    torch.testing.assert_close(mixed_logits(model, x, plan), small_by_hand(small().eval(), "input", plan, x))
    assert backend.runs >= 1


def test_what_an_outer_function_compiled_says_so() -> None:
    torch.compiler.reset()
    model = small().eval()
    step = torch.compile(lambda x: model(x), backend="eager")
    step(images())
    message = "layer 'stage1' was not called inside the block"
    with pytest.raises(RuntimeError, match=message), hidden_mixing(model, "stage1", draw()):
        step(images())


def test_plain_models_need_no_compiler() -> None:
    code = (
        "import sys, torch, mixlab; from torch import nn; from mixlab.mixing.losses import mixed_logits\n"
        "model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.ones(4, 3)\n"
        "plan = mixlab.Mixer('manifold', layers=['0'], k=2).plan(x)\n"
        "print(len(mixed_logits(model, x, plan)), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "False"]
