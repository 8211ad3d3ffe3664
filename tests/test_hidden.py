"""Mixing inside a network, against forwards written by hand in float64."""

import copy
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import resnet18

from mixlab import Mixer, MixPlan, models
from mixlab.hidden import hidden_mixing, mixed_logits, mixed_loss

BATCH = 4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
UPDATE_BN = "compute them anew before evaluation, with torch.optim.swa_utils.update_bn"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(BATCH, 3, size, size, dtype=torch.float64, generator=seeded(seed))


def draw(variant: str = "mixup", k: int = 1, size: int = 8, **settings) -> MixPlan:
    return Mixer(variant, k=k, **settings).plan(torch.zeros(BATCH, 3, size, size), generator=seeded(2))


def small() -> nn.Sequential:
    """Two named stages with BatchNorm, and a read-out; float64. No weight's gradient is zero but for rounding."""
    torch.manual_seed(0)
    stages = {
        "stage1": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        "stage2": nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
        "head": nn.Sequential(nn.Flatten(), nn.LazyLinear(6)),
    }
    model = nn.Sequential()
    for name, stage in stages.items():
        model.add_module(name, stage)
    model(torch.zeros(2, 3, 8, 8))
    return model.double()


def by_hand(plan: MixPlan, h: Tensor) -> Tensor:
    """[K * B, ...], an example at a time, λ and 1 − λ in h's own precision or the box scaled to h."""
    mixes = []
    for k in range(plan.k):
        for i, j in enumerate(plan.partner.tolist()):
            if plan.box is None:
                lam = float(plan.lam[k, i])
                mixes.append(lam * h[i] + (1 - lam) * h[j])
                continue
            scale = h.shape[-1] / plan.size[0]
            top, left, bottom, right = (round(edge * scale) for edge in plan.box[k, i].tolist())
            keep = torch.ones(h.shape[-2:], dtype=h.dtype)
            keep[top:bottom, left:right] = 0
            mixes.append(keep * h[i] + (1 - keep) * h[j])
    return torch.stack(mixes)


def gradients(model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """The logits, and the gradients of a loss that weighs each of them differently: of x and of every weight."""
    x = x.clone().requires_grad_()
    logits = forward(x)
    weights = torch.randn(logits.shape, dtype=logits.dtype, generator=seeded(3))
    wanted = [x, *(part for part in model.parameters() if part.requires_grad)]
    return [logits.detach(), *torch.autograd.grad((logits.log_softmax(1) * weights).sum(), wanted)]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def whole(message: str) -> str:
    return f"^{re.escape(message)}$"


def hooked(model: nn.Module, layer: str, plan: MixPlan) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with hidden_mixing(model, layer, plan):
                return model(x)

    return forward


def small_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    x = by_hand(plan, x) if layer == "input" else x
    for name, stage in model.named_children():
        for place, part in stage.named_children():
            x = part(x)
            x = by_hand(plan, x) if layer == f"{name}.{place}" else x
        x = by_hand(plan, x) if layer == name else x
    return x


def resnet20_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    for name in ("input", "stem", "stage1", "stage2", "stage3"):
        x = x if name == "input" else model.get_submodule(name)(x)
        x = by_hand(plan, x) if layer == name else x
    return model.head(x.mean((2, 3)))


def resnet18_by_hand(model, layer: str, plan: MixPlan, x: Tensor) -> Tensor:
    """Mixed after the first convolution of the third block: in its residual alone, past its short cut."""
    assert layer == "layer2.0.conv1"
    x = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x)))))
    block = model.layer2[0]
    residual = block.relu(block.bn1(by_hand(plan, block.conv1(x))))
    x = block.relu(block.bn2(block.conv2(residual)) + block.downsample(x))
    x = model.layer4(model.layer3(model.layer2[1](x)))
    return model.fc(model.avgpool(x).flatten(1))


def tiny_resnet18() -> nn.Module:
    torch.manual_seed(0)
    return resnet18(num_classes=7).double()


def resnet20() -> nn.Module:
    return models.resnet20(7).double()


CASES = [
    (small, small_by_hand, layer, variant, k)
    for layer in ("input", "stage1", "stage1.0", "stage2")
    for variant, k in (("mixup", 1), ("mixup", 3), ("cutmix", 2))
]
CASES += [
    (resnet20, resnet20_by_hand, "stage1", "mixup", 3),
    (resnet20, resnet20_by_hand, "stage2", "cutmix", 2),
    (tiny_resnet18, resnet18_by_hand, "layer2.0.conv1", "mixup", 1),
    (tiny_resnet18, resnet18_by_hand, "layer2.0.conv1", "cutmix", 1),
]


@pytest.mark.parametrize(
    ("build", "reference", "layer", "variant", "k"), CASES, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_gradients_are_those_of_a_forward_written_by_hand(build, reference, layer, variant, k) -> None:
    size = 32 if build is tiny_resnet18 else 8
    model, x, plan = build(), images(size), draw(variant, k, size)
    ours = gradients(model, hooked(model, layer, plan), x)
    assert len(ours[0]) == k * BATCH
    assert_same(ours, gradients(model, lambda x: reference(model, layer, plan, x), x))
    plain = model(x).repeat(k, 1)
    assert not torch.allclose(ours[0], plain, rtol=1e-3), "the mix must show for the comparison to mean anything"


def test_rows_are_k_major_and_fit_the_labels_of_the_plan() -> None:
    """The mix of a class's one-hot states is that of its labels."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    plan, y = draw(k=3), torch.arange(BATCH)
    with hidden_mixing(model, "0", plan):
        states = model(torch.eye(BATCH))
    y_a, y_b, lam = plan.labels(y)
    wanted = lam[:, None] * torch.eye(BATCH)[y_a] + (1 - lam)[:, None] * torch.eye(BATCH)[y_b]
    torch.testing.assert_close(states, wanted)


@pytest.mark.parametrize("layer", ["input", "stage1", "stage2"])
def test_under_autocast_states_keep_their_type(layer: str) -> None:
    model, plan, seen = small().float(), draw(k=2), []
    x = images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.stage2.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
        ours = gradients(model, hooked(model, layer, plan), x)
        theirs = gradients(model, lambda x: small_by_hand(model, layer, plan, x), x)
    assert ours[0].dtype == torch.bfloat16
    assert set(seen) == {torch.bfloat16}
    for one, other in zip(ours, theirs, strict=True):  # a bfloat16 has 8 bits, and the two round at other places
        assert float((one - other).abs().max()) <= 0.05 * float(other.abs().max()) + 1e-6


def test_any_argument_that_is_the_first_tensor_is_the_input() -> None:
    class Two(nn.Module):
        def forward(self, _name: str, x: Tensor, offset: Tensor) -> Tensor:
            return x + offset

    plan, x, offset = draw(k=2), images(), torch.ones(1, dtype=torch.float64)
    model = Two()
    with hidden_mixing(model, "input", plan):
        out = model("name", x, offset)
    torch.testing.assert_close(out, by_hand(plan, x) + 1)


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize("layer", ["input", "stage1"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_afterwards_as_it_was(layer: str, fails: bool) -> None:
    model, x = small().eval(), images()
    model.stage2.train()
    kept, attributes = hooks(model), {name: set(vars(part)) for name, part in model.named_modules()}
    modes, weights = [part.training for part in model.modules()], copy.deepcopy(model.state_dict())
    if fails:
        with pytest.raises(ZeroDivisionError), hidden_mixing(model, layer, draw(k=2)):
            raise ZeroDivisionError
    else:
        model.eval()
        with hidden_mixing(model, layer, draw(k=2)):
            assert hooks(model) == kept + 1
            model(x)
        model.stage2.train()
    assert hooks(model) == kept
    assert attributes == {name: set(vars(part)) for name, part in model.named_modules()}
    assert modes == [part.training for part in model.modules()]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert len(model(x)) == BATCH


def test_an_exception_is_not_masked_by_ours() -> None:
    """The layer was never called, which would be an error of its own, but the caller's comes first."""
    model = small()
    with pytest.raises(KeyError, match="theirs"), hidden_mixing(model, "stage1", draw()):
        raise KeyError("theirs")


# Wrong input

LAYER = "layer must be 'input' or the name of a module of the model, got "
WRONG = {
    "model": (lambda: hidden_mixing("net", "stage1", draw()), TypeError, "model must be a torch.nn.Module, got 'net'"),
    "plan": (
        lambda: hidden_mixing(small(), "stage1", Mixer("mixup", 1.0)),
        TypeError,
        "plan must be a MixPlan, as Mixer.plan draws it, got Mixer('mixup', alpha=1, k=1)",
    ),
    "layer of another type": (lambda: hidden_mixing(small(), 2, draw()), TypeError, LAYER + "2"),
    "layer misspelt": (
        lambda: hidden_mixing(small(), "stge2", draw()),
        ValueError,
        LAYER + "'stge2'; did you mean 'stage2' or 'stage1'?",
    ),
    "layer misspelt, deeper": (
        lambda: hidden_mixing(resnet18(num_classes=2), "layer2.0.convl", draw()),
        ValueError,
        LAYER + "'layer2.0.convl'; did you mean 'layer2.0.conv2', 'layer2.0.conv1' or 'layer4.0.conv2'?",
    ),
    "input misspelt": (
        lambda: hidden_mixing(small(), "Input", draw()),
        ValueError,
        LAYER + "'Input'; did you mean 'input'?",
    ),
    "layer by its last name": (
        lambda: hidden_mixing(nn.ModuleDict({"body": small()}), "stage2", draw()),
        ValueError,
        LAYER + "'stage2'; did you mean 'body.stage2', 'body.stage2.2' or 'body.stage2.1'?",
    ),
    "layer like none": (
        lambda: hidden_mixing(small(), "xyzzy", draw()),
        ValueError,
        LAYER + "'xyzzy'; model.named_modules() has them all",
    ),
    "no name": (
        lambda: hidden_mixing(small(), "", draw()),
        ValueError,
        LAYER + "''; model.named_modules() has them all",
    ),
    "an attribute that is no module": (
        lambda: hidden_mixing(small(), "stage1.0.weight", draw()),
        ValueError,
        LAYER + "'stage1.0.weight'; did you mean 'stage1.0', 'stage2.0' or 'stage1.2'?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_raise_at_the_call(case: str) -> None:
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=whole(message)):
        call()


class Returns(nn.Module):
    def __init__(self, what: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> object:
        return self.what(x)


@pytest.mark.parametrize(
    ("part", "came"),
    [
        (nn.LSTM(8, 4, batch_first=True), "(LSTM) must return a single tensor to be mixed, got a value of type tuple"),
        (Returns(lambda x: {"x": x}), "(Returns) must return a single tensor to be mixed, got a value of type dict"),
        (Returns(lambda _: None), "(Returns) must return a single tensor to be mixed, got None"),
    ],
)
def test_a_layer_that_returns_no_single_tensor(part: nn.Module, came: str) -> None:
    model = nn.ModuleDict({"part": part})
    with (
        pytest.raises(TypeError, match=whole("layer 'part' " + came)),
        hidden_mixing(model, "part", draw()),
    ):
        model["part"](torch.zeros(BATCH, 3, 8))
    assert hooks(model) == 0


def test_an_lstm_is_mixed_at_what_follows_it() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.states, self.head = nn.LSTM(8, 4, batch_first=True), nn.Identity(), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.states(self.rnn(x)[0]).mean(1))

    model, plan, x = Reader().double(), draw(k=3), torch.randn(BATCH, 5, 8, dtype=torch.float64, generator=seeded())
    theirs = gradients(model, lambda x: model.head(by_hand(plan, model.rnn(x)[0]).mean(1)), x)
    assert_same(gradients(model, hooked(model, "states", plan), x), theirs)


def test_input_without_a_tensor() -> None:
    model = Returns(lambda x: x)
    message = "layer 'input' (Returns) must be given a tensor by position to be mixed"
    with pytest.raises(TypeError, match=whole(message)), hidden_mixing(model, "input", draw()):
        model(x=images())


def test_a_batch_of_another_size_or_kind() -> None:
    model = small()
    message = (
        "layer 'stage1' gives what this plan cannot mix: x must hold the 4 examples this plan was drawn for, got a "
        "float64 tensor of shape [3, 4, 8, 8]"
    )
    with pytest.raises(ValueError, match=whole(message)), hidden_mixing(model, "stage1", draw()):
        model(images()[:3])
    message = "layer 'input' gives what this plan cannot mix: x must be float values or uint8 images "
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"), hidden_mixing(model, "input", draw()):
        model(torch.zeros(BATCH, 5, dtype=torch.int64))


def test_k_mixes_inside_a_branch_do_not_fit_its_short_cut() -> None:
    model = tiny_resnet18()
    with (
        pytest.raises(RuntimeError, match="size of tensor"),
        hidden_mixing(model, "layer2.0.conv1", draw(k=2, size=32)),
    ):
        model(images(32))
    assert hooks(model) == 0


TWICE = (
    "was called a second time inside the block, which would mix twice: run one forward in each block, and choose a "
    "layer that runs once in it"
)


def test_two_forwards_in_one_block() -> None:
    model, x = small(), images()
    with pytest.raises(RuntimeError, match=whole("layer 'stage1' " + TWICE)), hidden_mixing(model, "stage1", draw()):
        _ = model(x), model(x)


def test_a_module_that_runs_twice_in_a_forward() -> None:
    """Under the other of its two names, which named_modules leaves out."""
    shared = nn.ReLU()
    model = nn.Sequential(shared, nn.Flatten(), shared)
    with (
        pytest.raises(RuntimeError, match=whole("layer '2' " + TWICE)),
        hidden_mixing(model, "2", draw()),
    ):
        model(images())


NEVER = (
    "was not called inside the block, so nothing was mixed: run one forward of the model there, not compiled or "
    "scripted by an outer function, and choose a layer that it runs"
)


def test_a_layer_that_no_forward_called() -> None:
    model = small()
    model.head.add_module("spare", nn.Identity())
    model.head.forward = lambda x: x.flatten(1)
    for run in (lambda: None, lambda: model(images())):
        with (
            pytest.raises(RuntimeError, match=whole("layer 'head.spare' " + NEVER)),
            hidden_mixing(model, "head.spare", draw()),
        ):
            run()
    assert hooks(model) == 0


@pytest.mark.parametrize("inside", [True, False])
def test_a_layer_inside_a_checkpoint_raises_in_the_backward(inside: bool) -> None:
    """It runs again there, so it would be mixed twice, or not at all."""

    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(lambda x: self.body(x).tanh(), x, use_reentrant=False))

    model, x = Saving(), torch.randn(BATCH, 8, generator=seeded())
    message = TWICE if inside else "different number of tensors|different metadata"

    def step() -> None:
        with hidden_mixing(model, "body", draw(k=2)):
            loss = model(x).sum()
            if inside:
                loss.backward()
        loss.backward()

    with pytest.raises(RuntimeError, match=message):
        step()


# BatchNorm


def warned(run: Callable[[], object]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return caught


def forward(model: nn.Module, layer: str, plan: MixPlan) -> None:
    with hidden_mixing(model, layer, plan):
        model(images())


def test_batch_norm_after_k_mixes_warns_once_where_the_block_stands() -> None:
    plan = draw(k=3)
    (warning,) = warned(lambda: forward(small(), "stage1", plan))
    assert str(warning.message) == (
        "plan has k=3: 1 BatchNorm module after layer 'stage1' took running statistics from 12 correlated mixes of 4 "
        f"pairs, not from images; {UPDATE_BN}"
    )
    assert warning.category is UserWarning
    assert warning.filename == __file__
    (warning,) = warned(lambda: forward(small(), "input", plan))
    assert "k=3: 2 BatchNorm modules after layer 'input' took" in str(warning.message)


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
        (small, "stage1", 1),
        (small, "stage2", 3),
        (lambda: small().eval(), "input", 3),
        (frozen, "stage1", 3),
        (untracked, "stage1", 3),
    ],
    ids=["k is 1", "BatchNorm before the layer", "evaluation", "frozen", "untracked"],
)
def test_no_warning_where_no_statistics_describe_mixes(build, layer: str, k: int) -> None:
    assert warned(lambda: forward(build(), layer, draw(k=k))) == []


def test_a_network_made_for_inference_has_no_versions_to_compare() -> None:
    with torch.inference_mode():
        model, plan = small().eval(), draw(k=2)
        assert warned(lambda: forward(model, "stage1", plan)) == []


def test_statistics_before_the_layer_are_of_images_and_after_it_of_mixes() -> None:
    model, plan, x = small(), draw(k=2), images()
    hooked(model, "stage1", plan)(x)
    plain = small()
    plain(x)
    assert torch.equal(model.stage1[1].running_mean, plain.stage1[1].running_mean)
    inner = model.stage2[0](by_hand(plan, model.stage1(x)))
    torch.testing.assert_close(model.stage2[1].running_mean, moved(inner.mean((0, 2, 3))))


def moved(mean: Tensor) -> Tensor:
    """A running mean after one zero forward, as `small` does, and one with this mean, momentum 0.1."""
    model = small()
    return 0.9 * model.stage2[1].running_mean + 0.1 * mean


# Compiled models: what a compiler leaves out is seen by the results and by how often the compiled code runs


class Counting:
    """A backend that runs the graph as it is, and counts."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, graph, _inputs):
        def run(*args):
            self.runs += 1
            return graph(*args)

        return run


def compiled_whole(model, backend):
    return torch.compile(model, backend=backend)


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
    (compiled_whole, "stage1.0", False),
    (compiled_whole, "_orig_mod.stage1", False),
    (compiled_whole, "input", True),
    (compiled_in_place, "stage1", False),
    (compiled_in_place, "input", False),
    (compiled_forward, "stage1", False),
    (compiled_forward, "input", True),
    (compiled_stage, "stage1.0", False),
    (compiled_stage, "stage1", True),
    (compiled_stage, "stage2", True),
]


@pytest.mark.parametrize(("compiled", "layer", "stays"), COMPILED)
@pytest.mark.parametrize("k", [1, 3])
def test_compiled_models_mix_as_plain_ones(compiled, layer: str, stays: bool, k: int) -> None:
    torch.compiler.reset()
    plan, x, plain, backend = draw(k=k), images(), small(), Counting()
    model = compiled(small(), backend)
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
    with (
        pytest.raises(RuntimeError, match=whole("layer 'stage1' " + NEVER)),
        hidden_mixing(model, "stage1", draw()),
    ):
        step(images())


def test_the_warning_and_the_hints_know_compiled_models() -> None:
    torch.compiler.reset()
    model = torch.compile(small(), backend="eager")
    assert len(warned(lambda: forward(model, "input", draw(k=2)))) == 1
    with pytest.raises(ValueError, match=re.escape(LAYER + "'stge2'; did you mean 'stage2' or 'stage1'?")):
        hidden_mixing(model, "stge2", draw())


def test_plain_models_need_no_compiler() -> None:
    code = (
        "import sys, torch, mixlab; from torch import nn; from mixlab.hidden import mixed_logits\n"
        "model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.ones(4, 3)\n"
        "plan = mixlab.Mixer('manifold', layers=['0'], k=2).plan(x)\n"
        "print(len(mixed_logits(model, x, plan)), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "False"]


# mixed_logits


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("layer", ["input", "stage1", "stage2"])
def test_logits_by_the_layer_of_the_plan(layer: str, k: int) -> None:
    model, x, plan = small(), images(), draw("manifold", k, layers=[layer])
    assert plan.layer == layer
    ours = gradients(model, lambda x: mixed_logits(model, x, plan), x)
    assert_same(ours, gradients(model, lambda x: small_by_hand(model, layer, plan, x), x))


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
def test_logits_of_variants_that_mix_before_the_model(variant: str) -> None:
    model, x, plan = small().eval(), images(), draw(variant, 2)
    wanted = model(x.repeat(2, 1, 1, 1) if variant == "none" else by_hand(plan, x))
    torch.testing.assert_close(mixed_logits(model, x, plan), wanted)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("layer", ["input", "stage1"])
def test_images_are_normalised_once_and_keep_their_layout(layer: str, dtype: torch.dtype, layout) -> None:
    x = torch.randint(0, 256, (BATCH, 3, 8, 8), generator=seeded(4), dtype=torch.uint8)
    unit = x.double() / 255
    x = (x if dtype == torch.uint8 else unit.to(dtype)).contiguous(memory_format=layout)
    model, plan, seen, before = small().eval(), draw("manifold", 2, layers=[layer]), [], x.clone()
    if dtype != torch.float64:
        model = model.float()
    model.stage1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    logits = mixed_logits(model, x, plan, normalise=(MEAN, STD))
    mean, std = (torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1) for part in (MEAN, STD))
    wanted = small_by_hand(small().eval(), layer, plan, (unit - mean) / std)
    assert float((logits.double() - wanted).detach().abs().max()) < (1e-12 if dtype == torch.float64 else 1e-5)
    assert seen[0].is_contiguous(memory_format=layout)
    assert seen[0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(x, before)


def test_floats_without_normalise_go_in_as_they_are() -> None:
    model, x, seen = small(), images(), []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mixed_logits(model, x, draw("manifold", layers=["stage1"]))
    assert torch.equal(seen[0], x)
    assert seen[0].stride() == x.stride()
    assert seen[0].dtype == x.dtype


def test_half_precision_is_normalised_as_plans_do() -> None:
    x, seen = images().bfloat16(), []
    model = nn.Sequential(nn.Identity(), nn.Flatten())
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mixed_logits(model, x, draw("manifold", layers=["0"]), normalise=(MEAN, STD))
    assert torch.equal(seen[0], draw("none").apply(x, normalise=(MEAN, STD)))


def test_a_training_loop_is_not_warned() -> None:
    model, x = small(), images()
    for layer in ("input", "stage1"):
        plan = draw("manifold", 3, layers=[layer])
        assert warned(lambda plan=plan: mixed_logits(model, x, plan)) == []
    assert hooks(model) == 0


@pytest.mark.parametrize("layer", ["input", "stage1"])
def test_wrong_input_of_mixed_logits(layer: str) -> None:
    model, x, plan = small(), images(), draw("manifold", 3, layers=[layer])
    weights = copy.deepcopy(model.state_dict())
    grey = (x * 9).to(torch.uint8)
    wrong = [
        (("net", x, plan), TypeError, "model must be a torch.nn.Module, got 'net'"),
        ((model, x, "plan"), TypeError, "plan must be a MixPlan, as Mixer.plan draws it, got 'plan'"),
        ((model, [1], plan), TypeError, "x must be a tensor whose first axis is the batch, got [1]"),
        (
            (model, x[:3], plan),
            ValueError,
            "x must hold the 4 examples this plan was drawn for, got a float64 tensor of shape [3, 3, 8, 8]",
        ),
        ((model, grey, plan), ValueError, "normalise must be (mean, std) for uint8 images, got None"),
        (
            (nn.Sequential(), x, draw("manifold", layers=["stage7"])),
            ValueError,
            LAYER + "'stage7'; model.named_modules() has them all",
        ),
        (
            (nn.ModuleDict({"stage1": model.stage1}), x, draw("manifold", layers=["stage"])),
            ValueError,
            LAYER + "'stage'; did you mean 'stage1'?",
        ),
    ]
    for args, kind, message in wrong:
        with pytest.raises(kind, match=whole(message)):
            mixed_logits(*args)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="x must be on the"):
        mixed_logits(model, x.to("meta"), plan)
    with pytest.raises(
        ValueError, match=r"^normalise must hold one finite mean for each of the 3 channels, got \[0.0, "
    ):
        mixed_logits(model, x, plan, normalise=([0, 0], [1, 1]))
    with pytest.raises(ValueError, match=r"^x must be float or uint8 images .* to be normalised, got a float64 tensor"):
        mixed_logits(model, x.flatten(1), plan, normalise=(MEAN, STD))


@pytest.mark.parametrize("layer", ["input", "body"])
@pytest.mark.parametrize(
    ("what", "kind", "came"),
    [
        (lambda x: (x, x), TypeError, "a value of type tuple"),
        (lambda _: None, TypeError, "None"),
        (lambda x: x.sum(), ValueError, "a float64 tensor of shape []"),
        (lambda x: x[:5, 0, 0], ValueError, "a float64 tensor of shape [5, 8]"),
    ],
)
def test_a_model_that_returns_no_row_for_each_mix(layer: str, what, kind, came: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x: Tensor) -> object:
            return what(self.body(x))

    message = f"model must return one tensor with a row of logits for each of the 12 mixes, got {came}"
    with pytest.raises(kind, match=whole(message)):
        mixed_logits(Net(), images(), draw("manifold", 3, layers=[layer]))


# mixed_loss


def soft_loss(logits: Tensor, plan: MixPlan, y: Tensor, smoothing: float) -> Tensor:
    """Cross entropy against soft labels, an example at a time."""
    losses = []
    for row, log_probs in enumerate(logits.log_softmax(1)):
        k, i = divmod(row, plan.batch)
        target = torch.full((logits.shape[1],), smoothing / logits.shape[1], dtype=torch.float64)
        target[y[i]] += (1 - smoothing) * plan.lam[k, i].double()
        target[y[plan.partner[i]]] += (1 - smoothing) * (1 - plan.lam[k, i].double())
        losses.append(-(target * log_probs).sum())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(("variant", "layer"), [("none", None), ("cutmix", None), ("manifold", "stage1")])
def test_the_loss_is_that_of_both_labels_and_the_clean_one(variant: str, layer, clean: bool, smoothing: float) -> None:
    model, x, y = small().eval(), images(), torch.tensor([3, 0, 5, 3])
    plan = draw(variant, 2, **({} if layer is None else {"layers": [layer]}))
    weight = model.head[1].weight
    plan = replace(plan, clean_loss=weight.square().sum() if clean else None)
    ours = mixed_loss(model, x, y, plan, label_smoothing=smoothing)
    wanted = soft_loss(mixed_logits(model, x, plan), plan, y, smoothing) + clean * weight.square().sum()
    assert float((ours - wanted).detach().abs()) < 1e-6  # λ is float32
    for one, other in zip(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in (ours, wanted)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_loss_of_uint8_images_is_that_of_normalised_ones() -> None:
    model, plan, y = small().float().eval(), draw("mixup", 3), torch.tensor([3, 0, 5, 3])
    grey = torch.randint(0, 256, (BATCH, 3, 8, 8), generator=seeded(4), dtype=torch.uint8)
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (MEAN, STD))
    ours = mixed_loss(model, grey, y, plan, normalise=(MEAN, STD))
    torch.testing.assert_close(ours, mixed_loss(model, (grey.float() / 255 - mean) / std, y, plan))
    with pytest.raises(ValueError, match=whole("normalise must be (mean, std) for uint8 images, got None")):
        mixed_loss(model, grey, y, plan)
    with pytest.raises(ValueError, match=whole("y must hold one label for each of the 4 examples, got 3 labels")):
        mixed_loss(model, grey, y[:3], plan, normalise=(MEAN, STD))
    with pytest.raises(ValueError, match=whole("label_smoothing must be a number from 0 to 1, got 2")):
        mixed_loss(model, grey, y, plan, normalise=(MEAN, STD), label_smoothing=2)
