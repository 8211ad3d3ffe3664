"""The live loop: it learns, repeats bit for bit, stops, and refuses what cannot work."""

import copy
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from same_weights import differing
from seeding import seeded
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.mixing import Near
from mixlab.training import Record, Scheme, Trainer, loop
from mixlab.training import trainer as training
from mixlab.training.options import gathered
from mixlab.training.predict import predict


@pytest.fixture(scope="module")
def data() -> Dataset:
    shapes = mx.load("shapes", train_size=300, difficulty=0.0)
    return replace(shapes, test=shapes.test.subset(torch.arange(200)))


def linear(outputs: int = 10) -> nn.Sequential:
    """Small enough to be retraced by hand."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, outputs, bias=False))
    nn.init.zeros_(model[1].weight)
    return model


class Tiny(nn.Sequential):
    """The least that learns shapes: one convolution, pooled."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 32, 5, stride=2), nn.ReLU(), nn.AdaptiveMaxPool2d(3), nn.Flatten(), nn.Linear(288, 10)
        )


def mixing(variant: str) -> mx.Mixer:
    own: dict[str, Any] = {"manifold": {"layers": ("input", "1")}, "puzzle": {"blocks": 4}}
    return mx.Mixer(variant, **own.get(variant, {}))


def fit(data: Dataset, model: Any = None, mixer: Any = None, **settings: Any) -> Trainer:
    defaults = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "dtype": torch.float32, "device": "cpu"}
    return mx.fit(model or Tiny(), data, mixer, **gathered(defaults | settings))


def run(*arguments: Any, **settings: Any) -> tuple[list[Record], nn.Module]:
    trainer = fit(*arguments, **settings)
    return list(trainer), trainer.model


def test_records_say_where_the_training_stands(data: Dataset) -> None:
    records, model = run(data, epochs=2)
    assert [(record.epoch, record.step, record.steps) for record in records] == [(1, 4, 8), (2, 8, 8)]  # 300 // 64
    first, last = records
    assert first.seconds_left > 0 == last.seconds_left
    assert 0 < first.seconds < last.seconds
    assert last.images_per_second > 0
    model.eval()
    mean, std = (torch.tensor(part).view(1, -1, 1, 1) for part in data.normalization)
    with torch.no_grad():
        logits = model((data.test.images / 255 - mean) / std).double()
    assert last.test_accuracy == pytest.approx((logits.argmax(1) == data.test.labels).double().mean().item(), abs=1e-9)
    assert last.test_nll == pytest.approx(functional.cross_entropy(logits, data.test.labels).item(), rel=1e-4)
    assert last.test_ece == last.reliability.ece()
    assert last.reliability.count == len(data.test)


def test_records_say_what_is_left_after_a_temperature(data: Dataset) -> None:
    trainer = fit(data, epochs=4)
    for record in trainer:
        assert trainer.tested is not None
        after = mx.crossfit(trainer.tested, mx.fit_temperature)
        assert record.tempered_nll == pytest.approx(
            functional.cross_entropy(after.logits, after.labels).item(), rel=1e-6
        )
        assert record.tempered_ece == mx.Reliability().update(after.probs, after.labels).ece()
        assert record.tempered_nll != record.test_nll
    (untrained,) = fit(data, linear(), epochs=1, learning_rate=1e-30)  # no temperature mends what knows nothing
    assert (untrained.tempered_nll, untrained.tempered_ece) == (untrained.test_nll, untrained.test_ece)


def test_time_is_counted_as_training_or_as_evaluation(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second at each look: a step takes 1 s, an evaluation 1 s and 1 s of waiting."""
    seconds = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(loop, "time", clock)
    records, _ = run(data, linear(), epochs=3, batch_size=100)  # epochs of 3 steps
    assert [record.seconds for record in records] == [8, 17, 26]
    assert [record.images_per_second for record in records] == [75, 75, 75]  # 300 in 3 + 1 seconds
    assert [record.seconds_left for record in records] == [10, 5, 0]  # 4 + 1 for each epoch to come


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix", "manifold", "puzzle"])
def test_it_learns(data: Dataset, variant: str) -> None:
    """Easy Shapes, 300 images, 5 epochs: five standard errors above the 10% of guessing."""
    records, _ = run(data, None, mixing(variant), epochs=5, batch_size=32)
    assert records[-1].test_accuracy > 0.21
    assert records[-1].train_loss < records[0].train_loss


@pytest.mark.parametrize("variant", ["mixup", "manifold", "saliencymix"])
def test_equal_seeds_repeat_bit_for_bit_and_leave_the_global_state_alone(data: Dataset, variant: str) -> None:
    models = [Tiny() for _ in range(3)]
    before = torch.get_rng_state()
    one, same, other = (
        run(data, model, mixing(variant), cutout_side=8, seed=seed)[0][0].train_loss
        for model, seed in zip(models, (0, 0, 1), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert one == same != other
    assert differing(models[0], models[1]) == []


def test_every_mixer_sees_the_same_images(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[torch.Tensor]] = {variant: [] for variant in mx.VARIANTS}
    for variant, batches in seen.items():
        trainer = fit(data, None, mixing(variant), batch_size=100)
        plan = trainer.mixer.plan
        monkeypatch.setattr(
            trainer.mixer, "plan", lambda x, y, plan=plan, to=batches, **k: (to.append(x), plan(x, y, **k))[1]
        )
        while not trainer.done:
            trainer.step()
    for batches in seen.values():
        assert all(torch.equal(a, b) for a, b in zip(batches, seen["none"], strict=True))


def test_one_step_by_hand(data: Dataset) -> None:
    """One step of a linear model equals gradient descent on smoothed soft-label cross entropy, in float64."""
    model, mixer, plans = linear(), mx.Mixer("mixup", k=3), []
    trainer = fit(data, model, mixer, batch_size=50, augment=False, label_smoothing=0.2, weight_decay=0.1)
    plan = mixer.plan

    def remember(x: torch.Tensor, *_: Any, **__: Any) -> mx.MixPlan:
        plans.append(plan(x, generator=seeded(1)))
        return plans[-1]

    mixer.plan = remember
    trainer.step()
    order = torch.randperm(300, generator=seeded())[:50]
    mean, std = (torch.tensor(part).double().view(1, -1, 1, 1) for part in data.normalization)
    x = (data.train.images[order].double() / 255 - mean) / std
    y = functional.one_hot(data.train.labels[order], 10).double()
    (made,) = plans
    lam = made.lam.double()[..., None]
    soft = 0.8 * (lam * y + (1 - lam) * y[made.partner]).flatten(0, 1) + 0.2 / 10
    mixed = (lam * x.flatten(1) + (1 - lam) * x.flatten(1)[made.partner]).flatten(0, 1)
    gradient = (0.1 - soft).T @ mixed / 150  # softmax of zero logits is 1/10
    expected = -trainer.optimizer.learning_rate * gradient * 1.9  # the first Nesterov step: gradient + 0.9 * gradient
    assert torch.allclose(model[1].weight.double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("mixer", "share"),
    [(mx.Mixer("mixup", k=2), 1), (mx.Mixer("manifold", layers=["1"]), 0), (mx.Mixer("puzzle", blocks=4), 1)],
)
def test_a_compiled_training_takes_the_same_steps(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, mixer: mx.Mixer, share: int
) -> None:
    """Images that are mixed beforehand, also by saliency, go through the compiled model; hidden states do not."""
    graphs, runs = [], []

    def backend(graph: Callable[..., object], _: object) -> Callable[..., object]:
        graphs.append(graph)
        return lambda *args: (runs.append(1), graph(*args))[1]

    torch.compiler.reset()
    plain, one = run(data, None, mixer)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    compiled, two = run(data, None, mixer, compile=True)
    assert (len(graphs), len(runs)) == (share, 4 * share)  # once for all of 4 steps; not for an evaluation
    assert differing(one, two) == []
    assert [record.test_nll for record in plain] == [record.test_nll for record in compiled]


def test_picked_says_what_and_why(data: Dataset) -> None:
    trainer = fit(data, dtype=torch.bfloat16)
    assert re.fullmatch(r"cpu, channels_last, bfloat16 \(as asked\), \d+ threads? \(.+\)", trainer.picked)
    assert trainer.picked in repr(trainer)
    assert torch.get_num_threads() == mx.machine.torch_threads()[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_is_that_of_the_arithmetic_and_not_of_the_weights(data: Dataset, dtype: torch.dtype) -> None:
    model, seen = Tiny().eval(), set()  # a step trains whatever mode it finds
    model.register_forward_hook(lambda module, _, logits: seen.add((module.training, logits.dtype)))
    (record,), _ = run(data, model, dtype=dtype)
    assert {(True, dtype), (False, dtype)} <= seen
    assert math.isfinite(record.train_loss)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_evaluating_changes_nothing(data: Dataset) -> None:
    (plain, one), trainer = run(data, mx.models.resnet8(10)), fit(data, mx.models.resnet8(10))
    while not trainer.done:
        trainer.evaluate()
        trainer.step()
    assert differing(one, trainer.model) == []
    assert plain[-1].test_accuracy == trainer.evaluate().test_accuracy


def test_epochs_after_mix_until_are_not_mixed(data: Dataset) -> None:
    def mixes(**settings: Any) -> list[bool]:
        """For each of three epochs, whether its batches were mixed."""
        seen = []
        plan = mx.Mixer.plan
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mx.Mixer, "plan", lambda self, *a, **b: seen.append(self.kind.pairs) or plan(self, *a, **b))
            for _ in (trainer := fit(data, None, mx.Mixer(), epochs=3, **settings)):
                pass
        assert len(seen) == 3 * trainer.steps_per_epoch
        return seen[:: trainer.steps_per_epoch]

    assert [mixes(), mixes(mix_until=0), mixes(mix_until=2)] == [[True] * 3, [False] * 3, [True, True, False]]
    plain, never = (fit(data, None, mixer, mix_until=until) for mixer, until in ((None, None), (mx.Mixer(), 0)))
    assert [record.train_loss for record in plain] == [record.train_loss for record in never]
    assert differing(plain.model, never.model) == []
    assert fit(data, None, mx.Mixer(), mix_until=9).settings == fit(data, None, mx.Mixer()).settings


def test_predict_leaves_the_mode_as_it_was(data: Dataset) -> None:
    model = mx.models.quick(10)
    before = copy.deepcopy(model)
    for mode in (True, False):
        model.train(mode)
        assert len(predict(model, data.test, data.normalization)) == 200
        assert model.training is mode
        assert differing(model, before) == []
    model.train()
    nn.init.constant_(model.head.weight, math.inf)
    with pytest.raises(FloatingPointError, match=r"^the model's logits are no longer finite$"):
        predict(model, data.test, data.normalization)
    assert model.training


def test_predictions_that_are_not_finite_stop_the_training(data: Dataset) -> None:
    trainer = fit(data, linear())
    nn.init.constant_(trainer.model[1].weight, math.inf)
    with pytest.raises(FloatingPointError, match=r"^what the model says .* no longer finite at step 0 of 4; "):
        trainer.evaluate()


def with_train(data: Dataset, **changed: Any) -> Dataset:
    return replace(data, train=Split(**{"images": data.train.images, "labels": data.train.labels} | changed))


class Returning(nn.Module):
    """Returns what `given` makes of logits."""

    def __init__(self, given: Callable[[Any], Any]) -> None:
        super().__init__()
        self.given, self.net = given, linear()

    def forward(self, x: Any) -> Any:
        return self.given(self.net(x))


NEAR, NOT_NEAR = mx.Mixer(partners=Near(0.5)), "partners must be 'random', .* where labels are classes, got Near"
NO_BLUE = torch.tensor([1, 1, 0], dtype=torch.uint8).view(3, 1, 1)
WRONG: list[tuple[Callable[[Dataset], object], str]] = [
    (lambda d: fit(d, mixer="mixup"), "mixer must be a Mixer or None, .* got 'mixup'"),
    (lambda d: fit(d.train), "data must be a mixlab Dataset, .*got Split"),
    (lambda d: mx.fit(linear(), d, epochs=1, options={"pad": 1}), "options must be .*TrainOptions"),
    (lambda d: fit(with_train(d, labels=d.train.labels.clamp(max=8))), "data must hold .* of every class, got none of"),
    (lambda d: fit(with_train(d, images=NO_BLUE * d.train.images)), r"data must vary .* got .*\d, 0\.0\)"),
    (lambda d: fit(replace(d, test=Split(d.test.images[:0], d.test.labels[:0]))), "data must .* 1 test image, got"),
    (lambda d: fit(replace(d, test=Split(d.test.images[..., 1:], d.test.labels))), r"data .* got .*32\] .*, 31\]"),
    (lambda d: fit(Dataset("one", *[Split(d.test.images, 0 * d.test.labels)] * 2, ("a",))), "data .* 2 classes, got"),
    (lambda d: fit(d, print), "model must be a torch.nn.Module, got <built-in"),
    (lambda d: fit(d, linear(7)), r"model must give 10 logits, .* \[2, 7\]"),
    (lambda d: fit(d, nn.Flatten(0, 1)), r"model must return logits, .* got a float32 tensor of shape \[6, 32, 32\]"),
    (
        lambda d: fit(d, Returning(lambda y: {"logits": y})),
        r"model must return logits, .* dict with the keys \['logits'\]",
    ),
    (lambda d: fit(d, Returning(lambda y: (y, 0))), "model must return logits, .* got a tuple with 2 parts: wrap it"),
    (
        lambda d: predict(Returning(lambda y: {"logits": y}), d.test, d.normalization),
        "model must return .* a dict with",
    ),
    (lambda d: predict(Returning(lambda y: y[0]), d.test, d.normalization), r"model must return .* shape \[10\]"),
    (lambda d: fit(d, mix_until=-1), "mix_until must be an integer of at least 0, got -1"),
    (lambda d: fit(d, linear().requires_grad_(False)), "model must have parameters that require gradients, got none"),
    (lambda d: fit(d, nn.Linear(7, 10)), r"model must take float32 images \[2, 3, 32, 32\] .* got RuntimeError"),
    (lambda d: fit(d, None, mx.Mixer(partners="reversed", distinct=True), batch_size=33), "distinct .* even .*got 33"),
    (lambda d: fit(d, None, mx.OneOf([mx.Mixer("none"), NEAR])), NOT_NEAR),
    (lambda d: mx.run("quick", d, NEAR, epochs=1), NOT_NEAR),
    (lambda d: mx.sweep({"partners": [NEAR.partners]}, d, variant="mixup", epochs=1), NOT_NEAR),
    (lambda d: mx.compare(d, [NEAR], epochs=1), NOT_NEAR),
    (lambda d: mx.gradient_variance(linear(), d, {"near": Scheme(NEAR)}, draws=2), NOT_NEAR),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_input(data: Dataset, call: Callable[[Dataset], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call(data)


def test_what_is_refused_moves_nothing(data: Dataset) -> None:
    model = nn.Sequential(nn.Conv2d(3, 10, 32), nn.Flatten())
    strides = model[0].weight.stride()
    for settings in ({"device": "meta"}, {"mixer": mx.Mixer("puzzle", blocks=3)}):
        with pytest.raises(ValueError, match=r"^(device|blocks) must "):
            fit(data, model, **settings)
        assert model[0].weight.device.type == "cpu"
        assert model[0].weight.stride() == strides


@pytest.mark.parametrize("side", [1, 2])
def test_images_of_one_or_two_pixels_train(side: int) -> None:
    images = torch.randint(0, 256, (40, 3, side, side), dtype=torch.uint8, generator=seeded(side))
    split = Split(images, torch.arange(40) % 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 2))
    (record,), _ = run(Dataset("dots", split, split, ("a", "b")), model, batch_size=8)
    assert math.isfinite(record.train_loss)
