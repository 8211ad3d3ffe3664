"""A training that is put down, through bytes and text, and taken up by a fresh trainer ends with the same bits."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from same_weights import differing
from seeding import seeded
from tiny_runs import Fading, dataset, net, plain_records
from torch import Tensor, nn

import mixlab as mx
from mixlab.data import spirals
from mixlab.data.dataset import Dataset
from mixlab.models import SpiralNet
from mixlab.models.vit import ViT
from mixlab.runs.digest import canonical
from mixlab.training import Trainer
from mixlab.training.loop import Loop, State, copies_of, fill
from mixlab.training.options import gathered
from mixlab.training.schedules import Steps
from mixlab.training.spiral_trainer import SpiralTrainer

EPOCHS, BATCH = 2, 50  # of 160 images: 3 steps an epoch, and 10 images left out


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(train=160)


def fit(data: Dataset, mixer: mx.Mixer | None = None, model: nn.Module | None = None, **settings: Any) -> Trainer:
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "dtype": torch.float32, "cutout_side": 2} | settings
    return mx.fit(model or net(kind=Fading), data, mixer, **gathered(settings))


def through_a_file(state: State) -> State:
    """As the store does it: keys come back in another order."""
    return State(load(save(state.tensors)), json.loads(canonical(state.numbers)))


def walked(trainer: Loop[Any], steps: int) -> list[Any]:
    """The records of so many steps."""
    records = []
    for _ in range(steps):
        trainer.step()
        if trainer.step_count % trainer.steps_per_epoch == 0:
            records.append(trainer.evaluate())
    return records


def assert_same(one: State, two: State) -> None:
    assert differing(one.tensors, two.tensors) == []
    clocks = {"seconds": 0, "training_seconds": 0}
    assert one.numbers | clocks == two.numbers | clocks


STOPS = (2, 3)  # within an epoch and between two
CASES: list[tuple[mx.Mixer, torch.dtype, tuple[int, ...]]] = [
    (mx.Mixer("none"), torch.float32, (0, 2, 3, 5, 6)),
    (mx.Mixer("mixup", k=2), torch.bfloat16, STOPS),
    (mx.Mixer("mixup", k=2), torch.float32, STOPS),
    (mx.Mixer("cutmix"), torch.float32, STOPS),
    (mx.Mixer("manifold", layers=["input", "body.2"]), torch.float32, STOPS),
    (mx.Mixer("puzzle", blocks=2), torch.float32, STOPS),
    (mx.Mixer("regmixup", k=2), torch.float32, STOPS),
]
ADAMW = {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.05}


@pytest.mark.parametrize(("mixer", "dtype", "stops"), CASES)
def test_it_goes_on_to_the_bit(data: Dataset, mixer: mx.Mixer, dtype: torch.dtype, stops: tuple[int, ...]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        whole = fit(data, mixer, dtype=dtype)
        expected = list(whole)
        for stop in stops:
            torch.manual_seed(1)
            first = fit(data, mixer, dtype=dtype)
            records = walked(first, stop)
            state, dropout = through_a_file(first.state()), torch.get_rng_state()
            torch.rand(7)  # another day
            second = fit(data, mixer, dtype=dtype)
            second.restore(state)
            torch.set_rng_state(dropout)
            assert (second.step_count, second.epoch) == (stop, stop / 3)
            assert second.loss_so_far == first.loss_so_far
            records += list(second)
            assert_same(second.state(), whole.state())
            assert plain_records(records) == plain_records(expected), stop


def small_vit() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ViT(3, patch=2, width=16, depth=1, heads=2)


def test_adamw_goes_on_to_the_bit_and_a_state_is_of_its_optimizer(data: Dataset) -> None:
    whole, first, second = (fit(data, model=small_vit(), **ADAMW) for _ in range(3))
    list(whole)
    walked(first, 2)
    state = through_a_file(first.state())
    assert all(state.tensors[f"square.{name}"].any() for name, _ in first.model.named_parameters())
    second.restore(state)
    list(second)
    assert_same(second.state(), whole.state())
    with pytest.raises(ValueError, match="nesterov True, got one with False"):
        fit(data, model=small_vit(), **ADAMW | {"optimizer": "sgd"}).restore(state)


@pytest.mark.parametrize(
    "settings", [{"schedule": Steps((0.5,), 0.1)}, {"freeze": {"body.1.weight": 1, "body.0.bias": 1}}]
)
def test_settings_in_another_order_are_the_same(data: Dataset, settings: dict[str, Any]) -> None:
    first, second = fit(data, **settings), fit(data, **settings)
    walked(first, 2)
    state = through_a_file(first.state())
    name = next(iter(settings))
    assert list(state.numbers["training"][name]) != list(first.settings[name])
    second.restore(state)
    assert_same(second.state(), first.state())


def test_what_was_said_of_another_model_is_forgotten(data: Dataset) -> None:
    trainer = fit(data)
    assert trainer.tested is None
    state = trainer.state()
    next(iter(trainer))
    assert trainer.tested is not None
    trainer.restore(state)
    assert trainer.tested is None


def test_the_model_itself_is_filled_and_keeps_its_layout(data: Dataset) -> None:
    first = fit(data)
    walked(first, 2)
    second = fit(data)
    model = second.model
    before = {name: (p.data_ptr(), p.stride()) for name, p in model.named_parameters()}
    assert not model.body[0].weight.is_contiguous()
    second.restore(through_a_file(first.state()))
    assert second.model is model
    assert before == {name: (p.data_ptr(), p.stride()) for name, p in model.named_parameters()}
    assert all(second.state().tensors[f"velocity.{name}"].any() for name in before)
    assert_same(second.state(), first.state())


def test_a_state_is_a_copy_in_memory_of_its_own(data: Dataset) -> None:
    class Tied(Fading):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.head

    trainer = fit(data, model=net(kind=Tied))
    walked(trainer, 1)
    state = trainer.state()
    tensors = list(state.tensors.values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in tensors)
    kept = through_a_file(state)
    walked(trainer, 1)
    assert_same(state, kept)
    fit(data, model=net(kind=Tied)).restore(state)


def test_a_parameter_that_was_never_moved_begins_as_in_the_whole_training(data: Dataset) -> None:
    class Spare(Fading):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Parameter(torch.ones(3))  # has no gradient, ever

    first, second, fresh = (fit(data, model=net(kind=Spare)) for _ in range(3))
    walked(first, 2)
    walked(second, 1)
    second.restore(through_a_file(first.state()))
    assert_same(second.state(), first.state())
    second.restore(through_a_file(fresh.state()))  # back to the start: velocities are gone again
    assert_same(second.state(), fresh.state())


def test_time_goes_on_from_where_it_was(data: Dataset) -> None:
    first, second = fit(data), fit(data)
    assert first.state().numbers["seconds"] is None
    walked(first, 3)
    state = first.state()
    later = State(state.tensors, state.numbers | {"seconds": 1000.0, "training_seconds": 500.0})
    second.restore(later)
    assert second.state().numbers["training_seconds"] == 500
    (record,) = second
    assert record.seconds > 1000
    assert record.images_per_second < 300 / 500  # 6 batches in all


def spiral_trainer(**settings: Any) -> SpiralTrainer:
    train, test = (spirals(n, generator=seeded(n)) for n in (60, 30))
    mixer = mx.Mixer("manifold", layers=["input", "bottleneck"])
    return SpiralTrainer(SpiralNet(2), train, test, mixer, **{"epochs": 3, "batch_size": 20} | settings)


def test_spirals_go_on_to_the_bit() -> None:
    whole, first, second = spiral_trainer(), spiral_trainer(), spiral_trainer()
    expected = list(whole)
    records = walked(first, 5)
    second.restore(through_a_file(first.state()))
    records += list(second)
    assert_same(second.state(), whole.state())
    for one, two in zip(records, expected, strict=True):
        assert (one.step, one.train_loss, one.test_nll) == (two.step, two.train_loss, two.test_nll)
        assert torch.equal(one.field, two.field)


def test_weights_fill_a_model_or_leave_it_as_it_is() -> None:
    model, other = net(kind=Fading), net(seed=1, kind=Fading)
    weights = copies_of(other) | {"calls": torch.tensor(5.0)}
    fill(model, weights)
    assert int(model.calls) == 5
    assert differing(copies_of(model), weights) == []
    with pytest.raises(ValueError, match=r"^weights must be those of the model: body\.0\.weight is None, not "):
        fill(model, {name: torch.zeros_like(part) for name, part in weights.items() if name != "body.0.weight"})
    assert differing(copies_of(model), weights) == []


def edited(edit: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> Callable[[Dataset], State]:
    """The state after one step, whose numbers and tensors were then edited."""

    def make(data: Dataset) -> State:
        trainer = fit(data)
        walked(trainer, 1)
        state = trainer.state()
        edit(state.numbers, state.tensors)
        return state

    return make


OTHER = nn.Sequential(nn.Flatten(), nn.Linear(108, 3))
LARGER = {"model.body.0.weight": torch.zeros(4, 3, 4, 4)}
WRONG: list[tuple[Callable[[Dataset], Any], str]] = [
    (lambda _: {}, r"state must be a State, .*got \{\}"),
    (lambda d: fit(d, model=OTHER).state(), "'model.body.0.weight' .* got one with none"),
    (lambda d: fit(d, batch_size=40).state(), "batch_size 50, got one with 40"),
    (lambda d: fit(replace(d, train=d.train.subset(torch.arange(155)))).state(), "examples 160, got one with 155"),
    (lambda d: fit(d, mx.Mixer(alpha=0.4)).state(), r"mixer .*none.*, got .*alpha=0.4"),
    (edited(lambda n, _: n["training"].update(sharpness=2)), "sharpness none, got one with 2"),
    (edited(lambda n, _: n.pop("loss_sum")), "state must hold .*'loss_sum'.* got"),
    (edited(lambda n, _: n.update(step_count=7)), "step_count of state .* from 0 to 6, got 7"),
    (edited(lambda n, _: n.update(seconds="long")), "seconds of state .* got 'long'"),
    (edited(lambda n, _: n.update(step_count=3)), r"'order' .*\[0\], got one .*\[160\]"),
    (edited(lambda _, t: t["order"].fill_(3)), "state must hold each of 160 examples once in 'order'"),
    (edited(lambda _, t: t["order_stream"].fill_(255)), "the state of order_stream must be one of a generator"),
    (edited(lambda _, t: t.pop("velocity.body.0.weight")), "'velocity.body.0.weight' .* got one with none"),
    (edited(lambda _, t: t.update(spare=torch.zeros(2))), "'spare' none, got one with a float32"),
    (edited(lambda _, t: t.update(LARGER)), r"'model.body.0.weight' .*3, 3\], got .*4, 4\]"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_what_does_not_fit_is_named_and_changes_nothing(data: Dataset, make: Any, message: str) -> None:
    trainer = fit(data)
    walked(trainer, 1)
    before, wrong = trainer.state(), make(data)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.restore(wrong)
    assert_same(trainer.state(), before)
