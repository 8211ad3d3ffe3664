"""Training a network on a problem of any domain, with any mixer: the whole loop in one function."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.predictions import Predictions
from mixlab.domains.problem import Problem
from mixlab.machine import releasing_memory, using_threads
from mixlab.mixing.losses import Loss, mixed_loss
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.training.adamw import AdamW
from mixlab.training.checks import check_module
from mixlab.training.schedules import TRIANGLE, at_step

Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""Changes a batch before it is mixed; it draws from the generator alone."""

_ROWS = 64  # examples that go through the model at once where nothing is trained


@releasing_memory()  # a notebook trains many networks, one after the other
@using_threads(1)
def train(
    problem: Problem,
    model: nn.Module,
    mixer: Mixer | None = None,
    *,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 0.003,
    weight_decay: float = 0.01,
    seed: int = 0,
    loss: Loss | None = None,
    augment: Augment | None = None,
) -> None:
    """Train a model in place, by AdamW on one core; the learning rate rises for a fifth of the steps, then falls to 0.

        model = speech.SpeechNet(10, seed=0)
        train(problem, model, mx.Mixer("mixup"), epochs=10, seed=0)
        predict(problem, model)

    Every mixer sees the same examples in the same order, augmented alike. On one machine equal arguments and equal
    models give bit-equal results, unless the model draws at random itself (dropout).

    Args:
        problem: gives the training examples.
        model: maps a batch x[rows] to logits [B, classes], or to what `loss` takes.
        mixer: mixes each batch, before the model or inside of it (default: no mixing).
        epochs: counts the passes over the training examples, at least 1.
        batch_size: is the number of examples a step, cut to the training set; a shorter last batch is left out.
        learning_rate: is the peak.
        weight_decay: is the share of a weight, times the learning rate, by which a step shrinks it.
        seed: seeds the order, the augmentation and the mixing.
        loss: is that of `mixed_loss` (default: cross entropy); problems with numbers for labels need one.
        augment: changes each batch before it is mixed.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, x that this mixer cannot mix, or that has
            missing values (NaN); the message names it.
        FloatingPointError: the loss is no longer finite.
    """
    x, y = _problem(problem).train
    check_module(model)
    mixer = check_mixer(mixer, or_none=True)
    if loss is None and problem.classes is None:
        raise TypeError(f"loss must be given where labels are numbers, as in {problem!r}, got None")
    if augment is not None and not callable(augment):
        raise TypeError(f"augment must be None or a function of (x, generator), got {_check.shown(augment)}")
    epochs = _check.integer("epochs", epochs, 1)
    batch_size = min(_check.integer("batch_size", batch_size, 2), len(y))
    peak = _check.number("learning_rate", learning_rate, 0, 1e3)
    decay = _check.number("weight_decay", weight_decay, 0, 1e3)
    optimizer = AdamW(model.parameters(), momentum=0.9, weight_decay=decay, decay_biases=True)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    order, mixing = (torch.Generator("cpu").manual_seed(2 * seed + stream) for stream in range(2))
    model.train()
    steps_per_epoch = len(y) // batch_size
    for step in range(epochs * steps_per_epoch):
        place = step % steps_per_epoch * batch_size
        if place == 0:
            rows = torch.randperm(len(y), generator=order, device="cpu")
        chosen = rows[place : place + batch_size]
        batch, labels = x[chosen], y[chosen]
        if augment is not None:
            batch = augment(batch, order)
        model.zero_grad()
        plan = mixer.plan(batch, labels, model=model if mixer.kind.needs_model else None, generator=mixing)
        value = mixed_loss(model, batch, labels, plan, loss=loss)
        if not math.isfinite(value.item()):
            if not bool(batch.isfinite().all()):
                raise ValueError("x of train must hold finite numbers, got NaN or infinity")
            raise FloatingPointError(f"the loss is no longer finite; lower learning_rate, now {peak:g}")
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.learning_rate = peak * at_step(TRIANGLE, step, epochs * steps_per_epoch)
        optimizer.step_count = step
        optimizer.step()


@releasing_memory()
@using_threads(1)
@torch.no_grad()
def outputs(model: nn.Module, x: Any) -> Tensor:
    """What a model says of examples, without mixing: [N, ...]; its mode stays as it is."""
    check_module(model)
    with evaluating(model):
        rows = torch.arange(len(x), device="cpu").split(_ROWS)  # type: ignore[no-untyped-call]
        return torch.cat([model(x[chosen]) for chosen in rows])


def predict(problem: Problem, model: nn.Module) -> Predictions:
    """What a model says of the test examples of a problem with classes."""
    if _problem(problem).classes is None:
        raise ValueError(f"problem must have classes, got {problem!r}, whose labels are numbers: use outputs")
    x, y = problem.test
    return Predictions.from_logits(outputs(model, x), y, problem.classes)


def _problem(problem: object) -> Problem:
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a Problem, got {_check.shown(problem)}")
    return problem
