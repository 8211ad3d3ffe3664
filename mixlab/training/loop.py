"""What every live loop does: count steps, draw the order, set the learning rate, descend, stop, resume to the bit."""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.training.schedules import Schedule, at_step
from mixlab.training.sgd import Descent, Lookahead

R = TypeVar("R")  # what an evaluation gives


@dataclass(frozen=True, eq=False)
class State:
    """All that the rest of a training depends on, as `Loop.state` takes it and `Loop.restore` puts it back.

    Not in it: torch's global generator, from which a model's own dropout draws (`mixlab.run` keeps that itself), and
    what a model keeps anywhere else than in parameters and buffers.

    Attributes:
        tensors: holds by name, on the CPU and contiguous, each with memory of its own: parameters and buffers
            ("model.NAME"), what the optimizer remembers ("velocity.NAME", of AdamW "square.NAME" too), slow weights
            ("slow.NAME"), the states of the two generators (uint8), and the order of an epoch under way (int64
            [examples], between epochs [0]).
        numbers: holds what JSON can: the training's settings, under "training", and its progress, times in seconds.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]

    def __repr__(self) -> str:
        return f"State(step {self.numbers.get('step_count')}, {len(self.tensors)} tensors)"


class Loop(ABC, Generic[R]):
    """A training, a step at a time; iterate for what `evaluate` gives after each epoch, and leave the loop to stop.

    A subclass sets `model`, `optimizer` and `mixer`; its `_loss` computes the loss of a batch, its `evaluate` measures
    the model.

    Args:
        examples: counts the training examples, which are numbered from 0.
        epochs, seed, learning_rate, every: are those of `mixlab.training.Trainer`.
        batch_size: is the number of examples a step, cut to `examples`.
        schedule: gives the learning rate's share of its peak; see `mixlab.training.schedules`.
        device: is where the order is drawn, and the examples are mixed.

    Attributes:
        step_count, steps: count the batches done, and all batches; `done`, `epoch` and `steps_per_epoch` follow.

    Raises:
        TypeError, ValueError: a setting has the wrong kind or is out of range; the message names it.
    """

    model: nn.Module
    optimizer: Descent
    lookahead: Lookahead | None = None
    mixer: object  # a state holds its repr, and fits no training with another

    def __init__(
        self,
        *,
        examples: int,
        epochs: int,
        seed: int,
        batch_size: int,
        learning_rate: float,
        schedule: Schedule,
        device: torch.device,
        every: int = 1,
    ) -> None:
        self.device = device
        self.every = _check.integer("every", every, 1)
        self.epochs = _check.integer("epochs", epochs, 1)
        self.batch_size = min(_check.integer("batch_size", batch_size, 2), examples)
        self._seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
        self._peak = _check.number("learning_rate", learning_rate, 0, 1e6)
        self._schedule, self._examples = schedule, examples
        # Two streams, so that every mixer sees the same examples in the same order with the same crops.
        self._order_stream = torch.Generator(device).manual_seed(2 * self._seed)
        self._mixing_stream = torch.Generator(device).manual_seed(2 * self._seed + 1)
        self.steps_per_epoch = examples // self.batch_size
        self.steps = self.epochs * self.steps_per_epoch
        self.step_count = 0
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._loss_sum: float | Tensor = 0.0
        self._loss_count = 0
        self._began: float | None = None
        self._training_seconds = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What was given or picked and determines the result, but for model, data and mixer: values for JSON."""
        return {
            "epochs": self.epochs,
            "seed": self._seed,
            "batch_size": self.batch_size,
            "learning_rate": self._peak,
            "schedule": self._schedule.settings,
        }

    @abstractmethod
    def _loss(self, chosen: Tensor) -> Tensor:
        """The mean loss in nats, a scalar to be differentiated, of the training examples `chosen`, int64 [B]."""

    @abstractmethod
    def evaluate(self) -> R:
        """Measure the model as it is, and start a new mean of the training loss."""

    def __iter__(self) -> Iterator[R]:
        while not self.done:
            self.step()
            if self.due:
                yield self.evaluate()

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.step_count >= self.steps

    @property
    def due(self) -> bool:
        """Whether the iteration evaluates after this step: after each `every` epochs, and after the last."""
        epochs, rest = divmod(self.step_count, self.steps_per_epoch)
        return rest == 0 and epochs > 0 and (epochs % self.every == 0 or self.done)

    @property
    def epoch(self) -> float:
        """Passes over the training examples so far."""
        return self.step_count / self.steps_per_epoch

    @property
    def loss_so_far(self) -> tuple[float, int]:
        """The sum of the batches' losses, in nats, since the last record, and the number of these batches."""
        return float(self._loss_sum), self._loss_count

    def step(self) -> None:
        """Train on the next batch.

        Raises:
            RuntimeError: all steps are taken.
            FloatingPointError: the loss is no longer finite (on CUDA it is looked at by `evaluate`).
        """
        if self.done:
            raise RuntimeError(f"step must not be called after the last of {self.steps:,} steps")
        began = time.perf_counter()
        self._began = began if self._began is None else self._began
        self.optimizer.learning_rate = self._peak * at_step(self._schedule, self.step_count, self.steps)
        self.optimizer.step_count = self.step_count
        loss = self._differentiated()
        self.optimizer.step()
        self.step_count += 1
        if self.lookahead is not None:
            self.lookahead.after(self.step_count, self.steps)
        self._loss_sum = self._loss_sum + loss
        self._loss_count += 1
        if self.device.type == "cpu":
            self.check_finite()
        self._training_seconds += time.perf_counter() - began

    def _chosen(self) -> Tensor:
        """The numbers of the next batch's examples, int64 [batch_size]."""
        place = self.step_count % self.steps_per_epoch
        if place == 0:
            self._order = torch.randperm(self._examples, generator=self._order_stream, device=self.device)
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

    def _differentiated(self, size: int | None = None) -> Tensor:
        """The loss of the next batch, or of its first `size` examples, once the parameters have its gradients."""
        chosen = self._chosen()[:size]
        self.optimizer.zero_grad()
        with torch.enable_grad():
            loss = self._loss(chosen)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def check_finite(self) -> None:
        """Raise FloatingPointError if the loss is no longer finite. On CUDA this waits for the steps under way."""
        if not math.isfinite(self._loss_sum):
            raise self._divergence()

    def _divergence(self, what: str = "the loss") -> FloatingPointError:
        place = f"step {self.step_count:,} of {self.steps:,}"
        return FloatingPointError(f"{what} is no longer finite at {place}; lower learning_rate, now {self._peak:g}")

    def _mean_loss(self) -> float:
        """The mean since this was asked for last; NaN without any batch."""
        total, count = self.loss_so_far
        self._loss_sum, self._loss_count = 0.0, 0
        return total / count if count else math.nan

    def state(self) -> State:
        """All that the rest of this training depends on, copied; see `State`."""
        under_way = self.step_count % self.steps_per_epoch > 0
        tensors = {name: _copied(tensor) for name, tensor in self._kept().items()}
        tensors |= {name: stream.get_state() for name, stream in self._streams().items()}
        named = dict(self.model.named_parameters())
        moving = [name for name, parameter in named.items() if self.optimizer.velocities.get(parameter) is not None]
        for kind, held in self.optimizer.moments.items():
            values = {name: held[named[name]] for name in moving}
            tensors |= {f"{kind}.{name}": _copied(value) for name, value in values.items() if value is not None}
        tensors["order"] = _copied(self._order if under_way else self._order[:0])
        return State(tensors, {"training": self._training(), "moving": sorted(moving), **self._progress()})

    def restore(self, state: State) -> None:
        """Continue the training that the state was taken from: on one machine's CPU, to the same bits.

        Weights are copied into the model's own, so that their layout stays.

        Raises:
            TypeError, ValueError: state is no State, is of another training, or not whole. The message says what
                differs, and nothing is changed.
        """
        if not isinstance(state, State):
            raise TypeError(f"state must be a State, as Trainer.state() gives it, got {_check.shown(state)}")
        numbers, tensors = state.numbers, state.tensors
        self._check_numbers(numbers)
        self._check_tensors(tensors, numbers)
        with torch.no_grad():
            for name, kept in self._kept().items():
                kept.copy_(tensors[name])
            for name, parameter in self.model.named_parameters():
                for kind, held in self.optimizer.moments.items():
                    if parameter in held:
                        saved = tensors.get(f"{kind}.{name}")
                        held[parameter] = None if saved is None else torch.empty_like(parameter).copy_(saved)
        for name, stream in self._streams().items():
            stream.set_state(tensors[name])
        self._order = tensors["order"].to(self.device, copy=True)
        self.step_count, self._loss_count = numbers["step_count"], numbers["loss_count"]
        self._loss_sum, self._training_seconds = numbers["loss_sum"], numbers["training_seconds"]
        self._began = None if numbers["seconds"] is None else time.perf_counter() - numbers["seconds"]

    def _kept(self) -> dict[str, Tensor]:
        """The tensors that a state copies and `restore` fills."""
        own = {f"model.{name}": tensor for name, tensor in tensors_of(self.model).items()}
        slow = {} if self.lookahead is None else self.lookahead.slow
        return own | {f"slow.{name}": tensor for name, tensor in slow.items()}

    def _streams(self) -> dict[str, torch.Generator]:
        return {"order_stream": self._order_stream, "mixing_stream": self._mixing_stream}

    def _training(self) -> dict[str, Any]:
        """What a state must have in common with the training that takes it up."""
        return self.settings | {"mixer": repr(self.mixer), "examples": self._examples}

    def _progress(self) -> dict[str, Any]:
        return {
            "step_count": self.step_count,
            "loss_sum": float(self._loss_sum),
            "loss_count": self._loss_count,
            "seconds": None if self._began is None else time.perf_counter() - self._began,
            "training_seconds": self._training_seconds,
        }

    def _check_numbers(self, numbers: dict[str, Any]) -> None:
        ours, theirs = self._training(), numbers.get("training", {})
        for name in {**ours, **theirs}:
            mine, other = (repr(part[name]) if name in part else "none" for part in (ours, theirs))
            if name not in ours or name not in theirs or _plain(ours[name]) != _plain(theirs[name]):
                raise ValueError(f"state must be of a training with {name} {mine}, got one with {other}")
        wanted = {"training", "moving", *self._progress()}
        if numbers.keys() != wanted:
            raise ValueError(f"state must hold the numbers {sorted(wanted)}, got {sorted(numbers)}")
        for name in ("step_count", "loss_count"):
            _check.integer(f"{name} of state", numbers[name], 0, self.steps)
        for name in ("loss_sum", "training_seconds", *(["seconds"] if numbers["seconds"] is not None else [])):
            _check.number(f"{name} of state", numbers[name], -math.inf, math.inf)

    def _check_tensors(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        wanted = self._kept() | {name: stream.get_state() for name, stream in self._streams().items()}
        under_way = numbers["step_count"] % self.steps_per_epoch > 0
        wanted["order"] = torch.empty(self._examples if under_way else 0, dtype=torch.int64, device="meta")
        wanted |= {
            f"{kind}.{name}": parameter
            for kind, held in self.optimizer.moments.items()
            for name, parameter in self.model.named_parameters()
            if parameter in held and name in numbers["moving"]
        }
        for name in {**wanted, **tensors}:
            pair = (wanted.get(name), tensors.get(name))
            mine, other = ("none" if tensor is None else _check.shown(tensor) for tensor in pair)
            if mine != other:
                raise ValueError(f"state must be of a training with {name!r} {mine}, got one with {other}")
        for name, stream in self._streams().items():
            check_stream(name, tensors[name], stream.device)
        order = tensors["order"]
        if under_way and not torch.equal(order.sort().values, torch.arange(self._examples, device=order.device)):
            raise ValueError(f"state must hold each of {self._examples:,} examples once in 'order', got another order")


def check_stream(name: str, state: Tensor, device: torch.device) -> None:
    """Raise ValueError unless a generator of this device can be in this state."""
    try:
        torch.Generator(device).set_state(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the state of {name} must be one of a generator, got {error}") from None


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, those too that `state_dict` leaves out."""
    parts = (model.named_parameters, model.named_buffers)
    return {name: tensor for part in parts for name, tensor in part(remove_duplicate=False)}


def copies_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of `tensors_of` a model, on the CPU and contiguous, each with memory of its own."""
    return {name: _copied(tensor) for name, tensor in tensors_of(model).items()}


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights, as `copies_of` and `Run.weights` give them, into the model's own, which keep their layout.

    Raises ValueError, and changes nothing, if the names, shapes or types are not the model's.
    """
    own = tensors_of(model)
    ours, theirs = ({name: _check.shown(tensor.detach()) for name, tensor in part.items()} for part in (own, weights))
    if ours != theirs:
        name = min(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        raise ValueError(f"weights must be those of the model: {name} is {theirs.get(name)}, not {ours.get(name)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _plain(value: Any) -> str:
    """As JSON, in which keys have no order: a file has another one."""
    return json.dumps(value, sort_keys=True, default=repr)


def _copied(tensor: Tensor) -> Tensor:
    """The same numbers on the CPU, contiguous, in memory of their own."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
