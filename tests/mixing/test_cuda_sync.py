"""That CUDA is never waited for in the steady state of training: seen on a CPU by pretending, and on CUDA by a profile.

Without CUDA, tensors of torch's fake mode say that they are on it and hold nothing. Whatever would read one, or would
copy from the host to it, passes by `Watch`, which counts. Backward passes do not run on fake tensors: torch's
own formulas are all that is in them.
"""

import random
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hidden_nets import Gives
from scipy.stats import chisquare
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

import mixlab as mx
from mixlab.mixing import beta as sampling
from mixlab.mixing.constants import constant
from mixlab.mixing.normalize import normalized
from mixlab.mixing.variants.puzzle.mincut import least_energy
from mixlab.mixing.variants.variant import host_stream
from mixlab.training import Trainer, recipes
from mixlab.training.augment import crop_and_flip, cutout
from mixlab.training.sgd import Descent

CUDA = torch.device("cuda", 0)
STATISTICS = ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
_FREE = ("aten.empty", "aten.detach", "prim.device", "aten._unsafe_view", "aten.new_empty", "aten.lift_fresh")


class Watch(TorchDispatchMode):
    """Counts what is launched on CUDA, what waits for it, and what is copied there; with the line that asks for it.

    What happens on the CPU alone is done as ever, with real tensors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        self.launched, self.waits, self.copies = [], [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        leaves = tree_leaves((args, kwargs))
        places = [leaf.device if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if not any(isinstance(place, torch.device) and place.type == "cuda" for place in places):
            with _disable_current_modes():
                return func(*args, **(kwargs or {}))
        name = str(func)
        if not func.is_view and not name.startswith(_FREE):
            self.launched.append(name)
        if name.startswith("aten._local_scalar_dense"):
            self.waits.append(f"{name} {_line()}")
            return 1
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError:  # the fake mode's own: the shape, or the result, depends on what is in the tensor
            self.waits.append(f"{name} {_line()}")
            raise
        if name.startswith(("aten._to_copy", "aten.copy_")):
            source = args[1 if name.startswith("aten.copy_") else 0].device.type
            if source != result.device.type:
                (self.copies if source == "cpu" else self.waits).append(f"{name} {_line()}")
        return result


def _line() -> str:
    """Where in mixlab this was asked for."""
    package = str(Path(mx.__file__).parent)
    frames = (frame for frame in reversed(traceback.extract_stack()) if frame.filename.startswith(package))
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Everything inside the test that asks for CUDA gets a pretence of it."""
    caches = (constant, sampling._table)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: torch.arange(16, dtype=torch.uint8))
    monkeypatch.setattr(torch.autograd, "grad", lambda _, inputs, **__: (torch.zeros_like(inputs),))
    for cached in caches:
        cached.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True), Watch() as mode:
        yield mode
    for cached in caches:  # so that no fake tensor outlives the test
        cached.cache_clear()


def moved(model: nn.Module) -> nn.Module:
    """The model with fake weights on CUDA; `.to` cannot swap real tensors for these."""
    for module in model.modules():
        for name, part in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty_like(part, device=CUDA), part.requires_grad))
        for name, part in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(part, device=CUDA))
    return model


def batch() -> tuple[Tensor, Tensor]:
    """uint8 images and labels."""
    x = torch.zeros(8, 3, 32, 32, dtype=torch.uint8, device=CUDA).contiguous(memory_format=torch.channels_last)
    return x, torch.zeros(8, dtype=torch.int64, device=CUDA)


def steady(watch: Watch, step: Callable[[], object]) -> Watch:
    """The watch after the second of two steps."""
    step()
    watch.forget()
    step()
    return watch


@pytest.mark.parametrize(
    ("act", "sees"),
    [
        (lambda x: x.sum().item(), "waits"),
        (lambda x: x.cpu(), "waits"),
        (lambda x: x[x > 0], "waits"),
        (lambda x: torch.equal(x, x), "waits"),
        (lambda x: torch.empty(4).copy_(x), "waits"),
        (lambda _: torch.tensor([1.0, 2.0], device=CUDA), "copies"),
        (lambda _: torch.zeros(4).to(CUDA), "copies"),
        (lambda x: x.index_select(0, torch.randperm(4, device=CUDA)), None),
        (lambda _: torch.zeros(4).nonzero().tolist(), None),
    ],
)
def test_the_watch_sees_what_waits_and_what_copies(watch: Watch, act: Callable[[Tensor], object], sees: str) -> None:
    x = torch.zeros(4, device=CUDA)
    watch.forget()
    try:
        act(x)
    except RuntimeError:  # of the fake mode, which has no answer
        assert sees == "waits"
    assert (bool(watch.waits), bool(watch.copies)) == (sees == "waits", sees == "copies")


OPTIONS = [
    *((name, {}) for name in mx.VARIANTS),
    ("mixup", {"partners": "roll"}),
    ("mixup", {"partners": "reversed", "shared_lam": True}),
    ("cutmix", {"distinct": True, "ordered": True}),
    ("puzzle", {"blocks": 4, "levels": 2, "transport": False}),
    ("puzzle", {"clean": 1.0, "adversarial": 0.5}),
]


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(("variant", "options"), OPTIONS)
def test_a_steady_step_waits_for_nothing_and_copies_nothing(watch: Watch, variant, options, k) -> None:
    x, y = batch()
    floats = torch.zeros(8, 3, 32, 32, device=CUDA)
    followed = torch.zeros_like(floats).requires_grad_()
    model, mixer = moved(mx.models.quick(10)), mx.Mixer(variant, alpha=0.3, k=k, **options)
    descent = Descent(model.parameters(), momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        images = cutout(crop_and_flip(x, 2, None), 8, None).contiguous(memory_format=torch.channels_last)
        plan = mixer.plan(images, y, model=model, normalize=STATISTICS)
        loss = mx.mixed_loss(model, images, y, plan, normalize=STATISTICS, label_smoothing=0.1)
        assert (loss.shape, loss.device) == ((), CUDA)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        descent.step()
        for each in (floats, followed):
            plan.apply(each, normalize=STATISTICS, dtype=torch.bfloat16)
        plan.apply(followed)
        plan.apply(floats[:, 0])
        plan.targets(y, 10)

    seen = steady(watch, step)
    assert (seen.waits, seen.copies) == ([], [])


@pytest.mark.parametrize("kind", ["classes", "soft", "masks", "own loss"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_kind_of_label_or_schedule_is_waited_for(watch: Watch, kind: str, smoothing: float) -> None:
    x, y = batch()
    mixers = [mx.Mixer("mixup", k=2, probability=0.999), mx.Mixer("cutmix"), mx.Mixer("manifold", probability=0.001)]
    model, options = nn.Conv2d(3, 10, 3, padding=1), {"weight": torch.ones(10, device=CUDA)}
    y = {"soft": torch.zeros(8, 10, device=CUDA), "masks": x[:, 0]}.get(kind, y)
    model = moved(model if kind == "masks" else nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    options |= {} if kind == "soft" else {"ignore_index": 255}
    options = (
        {"loss": lambda z, t: (z[:, 0] - t) ** 2} if kind == "own loss" else options | {"label_smoothing": smoothing}
    )

    def step() -> None:
        for weights in torch.eye(3, device="cpu").tolist():
            mixer = mx.OneOf(mixers, weights)
            mx.mixed_loss(model, x, y, mixer.plan(x, y), normalize=STATISTICS, **options)

    seen = steady(watch, step)
    assert (seen.waits, seen.copies) == ([], [])


@pytest.mark.parametrize("shape", [(3, 5), (8, 12), (9, 10)])
def test_grids_of_any_size_are_cut_without_waiting(watch: Watch, shape: tuple[int, int]) -> None:
    height, width = shape
    unary = torch.zeros(4, 3, height, width, device=CUDA)
    down, right = torch.zeros(4, height - 1, width, device=CUDA), torch.zeros(4, height, width - 1, device=CUDA)
    seen = steady(watch, lambda: least_energy(unary, down, right))
    assert (seen.waits, seen.copies) == ([], [])


# What a step launches beside the model's own: drawing, mixing uint8 images and the loss. At CIFAR's size a launch is
# what mixing costs on CUDA, so whoever adds one says so here. 25 of mixup's draw λ.
LAUNCHES = {"none": 17, "mixup": 43, "cutmix": 74, "resizemix": 71}
LAUNCHES |= {"regmixup": 47, "inputonly": 45, "mit": 84, "perturbed": 36}


@pytest.mark.parametrize("variant", LAUNCHES)
def test_a_step_launches_no_more_than_it_did(watch: Watch, variant: str) -> None:
    x, y = batch()
    mixer, model = mx.Mixer(variant), Gives(lambda x: x.new_zeros(len(x), 10))

    def step() -> None:
        mx.mixed_loss(model, x, y, mixer.plan(x, y), normalize=STATISTICS)

    launched = steady(watch, step).launched
    assert len(launched) - 1 <= LAUNCHES[variant], launched  # 1: the model's


def test_a_constant_made_in_inference_mode_serves_training() -> None:
    odd = (random.Random(0).random(), 0.5, 0.25)
    x = torch.ones(2, 3, 4, 4)
    with torch.inference_mode():
        normalized(x, (odd, 1.0))
    x.requires_grad_()
    normalized(x, (odd, 1.0)).sum().backward()
    assert bool((x.grad == 1).all())


class Stream:
    """A generator on CUDA as far as the host sees it: a seed and a place, which each draw moves on by four."""

    device = CUDA

    def __init__(self, seed: int, place: int = 0) -> None:
        self.seed, self.place = seed, place

    def get_state(self) -> Tensor:
        return torch.tensor([*self.seed.to_bytes(8, "little"), *self.place.to_bytes(8, "little")], dtype=torch.uint8)


def picked(stream: Stream, times: int) -> list[int]:
    """Picks of one in four, one after the other."""
    streams = (host_stream(CUDA, stream) for _ in range(times))
    return [int(torch.randint(4, (), device=device, generator=generator)) for device, generator in streams]


def test_choices_for_the_host_follow_the_cuda_generators_state_and_move_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(_: tuple[int, ...], *, dtype: torch.dtype, device: torch.device, generator: Stream) -> None:
        generator.place += 4

    monkeypatch.setattr(torch, "rand", draw)
    stream = Stream(7)
    picks = picked(stream, 2000)
    assert stream.place == 4 * 2000
    assert picks == picked(Stream(7), 2000), "equal states, equal draws"
    assert picks[500:600] == picked(Stream(7, 4 * 500), 100), "a state that is put back goes on as before"
    assert picks != picked(Stream(8), 2000)
    pairs = [list(pairwise(picks)).count((a, b)) for a in range(4) for b in range(4)]
    assert chisquare(pairs).pvalue > 1e-3, "uniform, and one after the other they know nothing of each other"


def check_steady(trainer: Trainer) -> None:
    """Profile 20 steps, once each layer and number of blocks has been met and all kernels are chosen."""
    from torch.profiler import ProfilerActivity, profile

    for _ in range(60):
        trainer.step()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(20):
                trainer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    names = [event.key for event in seen.key_averages()]
    assert any("LaunchKernel" in name for name in names), f"the profile shows no kernels: {names}"
    waits = ("StreamSynchronize", "EventSynchronize", "Memcpy HtoD", "Memcpy DtoH")  # the profiler ends for the device
    assert [name for name in names if any(word in name for word in waits)] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_on_cuda_twenty_steps_of_training_never_wait(variant: str) -> None:
    data = mx.load("shapes")
    check_steady(mx.fit(mx.models.quick(len(data.classes)), data, mx.Mixer(variant), epochs=1000))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("recipe", ["speedrun", "standard"])
def test_on_cuda_twenty_steps_of_a_recipe_never_wait(recipe: str) -> None:
    check_steady(getattr(recipes, recipe)().fit(mx.load("shapes"), mx.Mixer("mixup")))
