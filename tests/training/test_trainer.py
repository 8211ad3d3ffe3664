"""The live loop: it learns, repeats bit for bit, stops, and refuses what cannot work."""

import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.training import Record, TrainOptions, loop
from mixlab.training import trainer as training
from mixlab.training.augment import crop_and_flip, cutout
from mixlab.training.options import gathered
from mixlab.training.predict import predict


@pytest.fixture(scope="module")
def data() -> Dataset:
    shapes = mx.load("shapes", train_size=300, difficulty=0.0)
    return replace(shapes, test=shapes.test.subset(torch.arange(200)))


class Linear(nn.Module):
    """Small enough to be retraced by hand."""

    def __init__(self, outputs: int = 10) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, 3 * 32 * 32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x.flatten(1), self.weight)


def run(data: Dataset, mixer: mx.Mixer | None = None, **settings: Any) -> tuple[list[Record], nn.Module]:
    model = mx.models.quick(10)
    settings = {"epochs": 2, "batch_size": 64, "dtype": torch.float32} | settings
    return list(mx.fit(model, data, mixer, **gathered(settings))), model


def test_records_say_where_the_training_stands(data: Dataset) -> None:
    records, model = run(data)
    assert [record.epoch for record in records] == [1.0, 2.0]
    assert [record.step for record in records] == [4, 8]  # 300 // 64 steps an epoch
    assert records[-1].steps == 8
    assert records[-1].seconds_left == 0
    assert records[0].seconds_left > 0
    assert 0 < records[0].seconds < records[1].seconds
    assert records[-1].images_per_second > 0
    last = records[-1]
    model.eval()
    mean, std = (torch.tensor(part).view(1, -1, 1, 1) for part in data.normalization)
    with torch.no_grad():
        logits = model((data.test.images / 255 - mean) / std).double()
    assert last.test_accuracy == pytest.approx((logits.argmax(1) == data.test.labels).double().mean().item(), abs=1e-9)
    assert last.test_nll == pytest.approx(functional.cross_entropy(logits, data.test.labels).item(), rel=1e-4)
    assert last.test_ece == last.reliability.ece()
    assert last.reliability.count == len(data.test)


def test_time_is_counted_as_training_or_as_evaluation(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second at each look: a step takes 1 s, an evaluation 1 s and 1 s of waiting."""
    seconds = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(loop, "time", clock)
    trainer = mx.fit(Linear(), data, epochs=3, batch_size=100, dtype=torch.float32)
    first, second, last = trainer  # epochs of 3 steps
    assert [record.seconds for record in (first, second, last)] == [8, 17, 26]
    assert [record.images_per_second for record in (first, second, last)] == [75, 75, 75]  # 300 in 3 + 1 seconds
    assert [record.seconds_left for record in (first, second, last)] == [10, 5, 0]  # 4 + 1 for each epoch to come


class Tiny(nn.Sequential):
    """The least that learns shapes: one convolution, pooled."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 5, stride=2), nn.ReLU(), nn.AdaptiveMaxPool2d(3), nn.Flatten(), nn.Linear(288, 10)
        )


OWN: dict[str, dict[str, Any]] = {"manifold": {"layers": ("input", "1")}, "puzzle": {"blocks": 4}}


def test_it_learns(data: Dataset) -> None:
    """Easy Shapes, 300 images, 5 epochs: five standard errors above the 10% of guessing, for every variant."""
    for variant in mx.VARIANTS:
        torch.manual_seed(0)
        settings: dict[str, Any] = {"epochs": 5, "batch_size": 32, "learning_rate": 0.05, "dtype": torch.float32}
        records = list(mx.fit(Tiny(), data, mx.Mixer(variant, **OWN.get(variant, {})), **settings))
        assert records[-1].test_accuracy > 0.21, variant
        assert records[-1].train_loss < records[0].train_loss, variant


@pytest.mark.parametrize("mixer", [mx.Mixer("mixup", k=2), mx.Mixer("manifold"), mx.Mixer("saliencymix")])
def test_equal_seeds_repeat_bit_for_bit_and_leave_the_global_state_alone(data: Dataset, mixer: mx.Mixer | None) -> None:
    before = torch.get_rng_state()
    settings = {"cutout_side": 8, "epochs": 1}
    (one, first), (two, second) = run(data, mixer, **settings), run(data, mixer, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert [record.train_loss for record in one] == [record.train_loss for record in two]
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    other, _ = run(data, mixer, **settings, seed=1)
    assert other[-1].train_loss != one[-1].train_loss


def test_every_mixer_sees_the_same_images(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for variant in mx.VARIANTS:
        trainer = mx.fit(Tiny(), data, mx.Mixer(variant, **OWN.get(variant, {})), epochs=1, batch_size=100)
        batches = seen.setdefault(variant, [])
        plan = trainer.mixer.plan
        monkeypatch.setattr(
            trainer.mixer, "plan", lambda x, y, plan=plan, to=batches, **k: (to.append(x), plan(x, y, **k))[1]
        )
        while not trainer.done:
            trainer.step()
    for batches in seen.values():
        assert all(torch.equal(a, b) for a, b in zip(batches, seen["none"], strict=True))


@pytest.mark.parametrize(("augment", "side"), [(False, 0), (True, 8)])
def test_a_batch_is_drawn_cropped_and_cut(
    data: Dataset, augment: bool, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixer, seen = mx.Mixer("none"), []
    trainer = mx.fit(
        Linear(), data, mixer, epochs=1, batch_size=50, seed=3, augment=augment, options=TrainOptions(cutout_side=side)
    )
    plan = mixer.plan
    monkeypatch.setattr(mixer, "plan", lambda x, y, **settings: (seen.append(x), plan(x, y, **settings))[1])
    trainer.step()
    stream = torch.Generator().manual_seed(6)
    images = data.train.images[torch.randperm(300, generator=stream)[:50]]
    if augment:
        images = crop_and_flip(images, 2, stream)
    if side:
        images = cutout(images, side, stream)
    assert torch.equal(seen[0], images)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_one_step_by_hand(data: Dataset) -> None:
    """One step of a linear model equals gradient descent on smoothed soft-label cross entropy, in float64."""
    model = Linear()
    mixer = mx.Mixer("mixup", k=3)
    settings: dict[str, Any] = {"augment": False, "label_smoothing": 0.2, "dtype": torch.float32}
    trainer = mx.fit(model, data, mixer, epochs=1, batch_size=50, options=TrainOptions(weight_decay=0.1), **settings)
    images, labels = [], []
    plan = mixer.plan

    def remember(x: torch.Tensor, y: torch.Tensor, **settings: Any) -> mx.MixPlan:
        images.append(x.clone())
        labels.append(plan(x, generator=torch.Generator().manual_seed(1)))
        return labels[-1]

    mixer.plan = remember  # type: ignore[method-assign, assignment]
    trainer.step()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:50]
    assert torch.equal(images[0], data.train.images[order])
    mean, std = (torch.tensor(part).double().view(1, -1, 1, 1) for part in data.normalization)
    x = (data.train.images[order].double() / 255 - mean) / std
    y = functional.one_hot(data.train.labels[order], 10).double()
    made = labels[0]
    lam = made.lam.double()[..., None]
    soft = 0.8 * (lam * y + (1 - lam) * y[made.partner]).flatten(0, 1) + 0.2 / 10
    mixed = (lam * x.flatten(1) + (1 - lam) * x.flatten(1)[made.partner]).flatten(0, 1)
    gradient = (0.1 - soft).T @ mixed / 150  # softmax of zero logits is 1/10
    peak = trainer.optimizer.learning_rate
    expected = -peak * gradient * 1.9  # the first Nesterov step: gradient + 0.9 * gradient
    assert torch.allclose(model.weight.double(), expected, rtol=1e-4, atol=1e-7)


def test_training_does_not_import_the_compiler() -> None:
    """It would cost 150 MB of a small machine's memory."""
    script = """if True:
        import sys, torch, mixlab as mx
        trainer = mx.fit(mx.models.quick(10), mx.load("shapes", 40, test_size=10), epochs=1, dtype=torch.float32)
        list(trainer)
        assert "torch._dynamo" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", script], check=True)


class Counting:
    """A compiler that runs what it is given as it is, and counts."""

    def __init__(self) -> None:
        self.graphs = self.runs = 0

    def __call__(self, graph: Callable[..., object], _inputs: object) -> Callable[..., object]:
        self.graphs += 1

        def run(*args: object) -> object:
            self.runs += 1
            return graph(*args)

        return run


@pytest.mark.parametrize(
    ("mixer", "share"),
    [(mx.Mixer("mixup", k=2), 1), (mx.Mixer("manifold", layers=["stage1"]), 0), (mx.Mixer("puzzle", blocks=4), 1)],
    ids=["images", "hidden states", "by saliency"],
)
def test_a_compiled_training_takes_the_same_steps(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, mixer: mx.Mixer, share: int
) -> None:
    torch.compiler.reset()
    (plain, one), backend = run(data, mixer, epochs=1), Counting()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    compiled, two = run(data, mixer, epochs=1, compile=True)
    assert (backend.graphs, backend.runs) == (share, 4 * share)  # once for all of 4 steps; not for an evaluation
    assert one.state_dict().keys() == two.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert [record.test_nll for record in plain] == [record.test_nll for record in compiled]


def test_picked_says_what_and_why(data: Dataset) -> None:
    trainer = mx.fit(mx.models.quick(10), data, epochs=1, device="cpu", dtype=torch.bfloat16)
    assert re.fullmatch(r"cpu, channels_last, bfloat16 \(as asked\), \d+ threads? \(.+\)", trainer.picked)
    assert trainer.picked in repr(trainer)
    assert torch.get_num_threads() == mx.machine.torch_threads()[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_is_that_of_the_arithmetic_and_not_of_the_weights(data: Dataset, dtype: torch.dtype) -> None:
    model, seen = Tiny().eval(), set()  # a step trains whatever mode it finds
    model.register_forward_hook(lambda module, _, logits: seen.add((module.training, logits.dtype)))
    (record,) = mx.fit(model, data, epochs=1, batch_size=64, learning_rate=0.1, dtype=dtype)
    assert {(True, dtype), (False, dtype)} <= seen
    assert math.isfinite(record.train_loss)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_evaluating_changes_nothing(data: Dataset) -> None:
    (plain, one), model = run(data, epochs=1), mx.models.quick(10)
    trainer = mx.fit(model, data, epochs=1, batch_size=64, dtype=torch.float32)
    while not trainer.done:
        trainer.evaluate()
        trainer.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), model.parameters(), strict=True))
    assert plain[-1].test_accuracy == trainer.evaluate().test_accuracy


def test_predict_leaves_the_mode_as_it_was(data: Dataset) -> None:
    model = mx.models.quick(10)
    for mode in (True, False):
        model.train(mode)
        statistics = {name: value.clone() for name, value in model.state_dict().items()}
        assert len(predict(model, data.test, data.normalization)) == 200
        assert model.training is mode
        assert all(torch.equal(value, statistics[name]) for name, value in model.state_dict().items())
    model.train()
    nn.init.constant_(model.head.weight, math.inf)
    with pytest.raises(FloatingPointError, match=r"^the model's logits are no longer finite$"):
        predict(model, data.test, data.normalization)
    assert model.training


def test_a_loss_that_is_not_finite_stops_the_training(data: Dataset) -> None:
    trainer = mx.fit(mx.models.resnet8(10), data, epochs=9, learning_rate=1e6, batch_size=64, dtype=torch.float32)
    message = (
        r"^(the loss|what the model says .*) is no longer finite at step \d+ of 36; lower learning_rate, now 1e\+06$"
    )
    with pytest.raises(FloatingPointError, match=message):
        list(trainer)


def missing_class(data: Dataset) -> Dataset:
    return replace(data, train=data.train.subset((data.train.labels != 3).nonzero().flatten()))


WRONG: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "mixer": (lambda d: mx.fit(Linear(), d, "mixup", epochs=1), "mixer must be a Mixer or None, .* got 'mixup'"),  # type: ignore[arg-type]
    "data": (lambda d: mx.fit(Linear(), d.train, epochs=1), "data must be a mixlab Dataset, .*got Split"),  # type: ignore[arg-type]
    "options": (
        lambda d: mx.fit(Linear(), d, epochs=1, options={"pad": 1}),
        "options must be .*TrainOptions",
    ),  # type: ignore[arg-type]
    "empty class": (lambda d: mx.fit(Linear(), missing_class(d), epochs=1), "data must hold .* of every class"),
    "empty test": (
        lambda d: mx.fit(Linear(), replace(d, test=d.test.subset(torch.arange(0))), epochs=1),
        "data must hold .* 1 test image, got Dataset",
    ),
    "outputs": (lambda d: mx.fit(Linear(7), d, epochs=1), r"model must give 10 logits, .* \[2, 7\]"),
    "not logits": (lambda d: mx.fit(nn.Flatten(0, 1), d, epochs=1), r"model must give 10 logits, .* \[6, 32, 32\]"),
    "frozen": (
        lambda d: mx.fit(Linear().requires_grad_(False), d, epochs=1),
        "model must have parameters that require gradients, got none",
    ),
    "sizes": (
        lambda d: mx.fit(Linear(), replace(d, test=Split(d.test.images[..., 1:], d.test.labels)), epochs=1),
        r"data must hold images of one size, got \[3, 32, 32\] in train and \[3, 32, 31\]",
    ),
    "no module": (lambda d: mx.fit(print, d, epochs=1), "model must be a torch.nn.Module, got <built-in"),  # type: ignore[arg-type]
    "not the images": (
        lambda d: mx.fit(nn.Sequential(nn.Flatten(), nn.Linear(7, 10)), d, epochs=1),
        r"model must take float32 images \[2, 3, 32, 32\] in channels_last layout, got RuntimeError",
    ),
    "partners of an odd batch": (
        lambda d: mx.fit(Linear(), d, mx.Mixer(partners="reversed", distinct=True), epochs=1, batch_size=33),
        "distinct .* must have an even batch, got 33",
    ),
    "blocks that do not divide the images": (
        lambda d: mx.fit(Linear(), d, mx.Mixer("puzzle", blocks=3), epochs=1),
        "blocks must divide the side of the images, 32 pixels .*got 3",
    ),
}


def test_what_is_refused_moves_nothing(data: Dataset) -> None:
    model = nn.Sequential(nn.Conv2d(3, 10, 32), nn.Flatten())
    strides = model[0].weight.stride()
    for settings in ({"device": "meta"}, {"mixer": mx.Mixer("puzzle", blocks=3)}):
        with pytest.raises(ValueError, match=r"^(device|blocks) must "):
            mx.fit(model, data, epochs=1, **settings)  # type: ignore[arg-type]
        assert model[0].weight.device.type == "cpu"
        assert model[0].weight.stride() == strides


def test_a_channel_that_never_varies_is_named_at_the_call(data: Dataset) -> None:
    images = data.train.images.clone()
    images[:, 1] = 7
    flat = replace(data, train=Split(images, data.train.labels))
    message = r"^data must vary in every channel, got deviations \(0\.\d+, 0\.0, 0\.\d+\) over train$"
    with pytest.raises(ValueError, match=message):
        mx.fit(Linear(), flat, epochs=1)


def test_images_of_one_or_two_pixels_train() -> None:
    for side in (1, 2):
        generator = torch.Generator().manual_seed(side)
        images = torch.randint(0, 256, (40, 3, side, side), dtype=torch.uint8, generator=generator)
        split = Split(images, torch.arange(40) % 2)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 2))
        records = list(
            mx.fit(model, Dataset("dots", split, split, ("a", "b")), epochs=2, batch_size=8, dtype=torch.float32)
        )
        assert math.isfinite(records[-1].train_loss)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(data: Dataset, case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call(data)
