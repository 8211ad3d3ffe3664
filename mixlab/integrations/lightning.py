"""Mixing in Lightning: a callback that hands mixed batches to the training step of any module.

A callback cannot exchange a batch, and a batch exchanged before the step could not be mixed inside the model. So the
callback stands in front of `training_step` while the module trains, and steps aside when the training ends.
"""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import update_wrapper
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab import _check
from mixlab.integrations.batch import DEFAULT, Batch, Getter, check_coupled, check_getter, draw_plan, take_apart
from mixlab.mixing.hidden import hidden_mixing
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.mixing.plan import MixPlan

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        'mixlab.integrations.lightning needs Lightning: pip install "mixlab[lightning]"'
    ) from None


class MixCallback(Callback):
    """Mixes every training batch of a LightningModule whose `training_step` uses cross entropy.

    A batch is (x, y), a dict, or any nest of these; y is class labels [B], or one-hot, soft or multi-label floats
    [B, num_classes]. In its place the step is given targets [K * B, num_classes], which `F.cross_entropy` and
    `nn.CrossEntropyLoss` take as they take labels; anything else that is done with y in it, such as an accuracy, must
    be able to do so too. Its x is mixed, unless it is the only one of its batch; for "manifold" x is left alone, and
    the step's forward mixes a layer, named as `LightningModule.named_modules` has it ("net.stage1"). For Puzzle Mix the
    module's own forward gives the logits, and what `clean` adds to the loss is added to what the step returns.
    Validation, tests and other callbacks see unmixed batches.

    What is drawn depends on the seed, the rank, the epoch and the number of the batch, and on nothing else: it is the
    same when training is resumed from a checkpoint, and when an optimizer runs a step more than once.

    Args:
        mixer: is a Mixer of any variant but MIT, which decouples the logits.
        num_classes: is the number of classes, at least 1; None is for batches with float targets.
        seed: seeds partners, λs, boxes and layers.
        labels_getter, inputs_getter: say where the labels are in the batch, and what is mixed, as for
            `mixlab.MixTransform`; the first input is what Puzzle Mix gives the module.

    Attributes:
        plan: is the MixPlan of the last training batch, without its clean loss; None before the first.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; as training starts, a trainer with two of these callbacks;
            in training, a batch without labels, or with class labels that are not from 0 to num_classes − 1.
    """

    def __init__(
        self,
        mixer: Mixer,
        num_classes: int | None = None,
        *,
        seed: int = 0,
        labels_getter: Getter = DEFAULT,
        inputs_getter: Getter = DEFAULT,
    ) -> None:
        self.mixer = check_mixer(mixer)
        check_coupled(self.mixer)
        self.num_classes = None if num_classes is None else _check.integer("num_classes", num_classes, 1)
        self.seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
        self.labels_getter = check_getter("labels_getter", labels_getter)
        self.inputs_getter = check_getter("inputs_getter", inputs_getter)
        self.plan: MixPlan | None = None
        self._place = (0, 0, 0)
        self._stepping_aside = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand in front of the module's training step."""
        count = sum(isinstance(callback, MixCallback) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if count > 1:
            raise ValueError(f"callbacks must hold one MixCallback, which mixes every batch, got {count}")
        own, step = vars(pl_module), pl_module.training_step
        if "training_step" in own:  # as in a compiled module
            self._stepping_aside.callback(own.update, training_step=step)
        else:
            self._stepping_aside.callback(own.pop, "training_step")
        own["training_step"] = _Step(self, pl_module, step)

    def on_train_batch_start(self, trainer: Trainer, _module: object, _batch: object, batch_idx: int) -> None:
        """Remember where the training is, which decides what is drawn."""
        self._place = (trainer.global_rank, trainer.current_epoch, batch_idx)

    def on_train_end(self, *_: object) -> None:
        """Step aside."""
        self._stepping_aside.close()

    def on_exception(self, *_: object) -> None:
        """Step aside where the training breaks off."""
        self._stepping_aside.close()

    def mixed_step(self, module: LightningModule, step: Callable[..., Any], batch: Any, *rest: Any) -> Any:
        """What a training step returns for this batch, mixed."""
        taken = self._taken_apart(batch)
        plan = draw_plan(self.mixer, taken.x, taken.y, model=module, generator=self._generator(taken.x.device))
        clean_loss = plan.clean_loss
        self.plan = plan = plan if clean_loss is None else replace(plan, clean_loss=None)  # so that it can be copied
        mixed = taken.mixed(plan, self.num_classes)
        with nullcontext() if plan.inside is None else hidden_mixing(module, plan.inside, plan):
            loss = step(mixed, *rest)
        return loss if clean_loss is None else _added(loss, clean_loss)

    def _taken_apart(self, batch: Any) -> Batch:
        taken = take_apart(batch, self.labels_getter, self.inputs_getter)
        if self.mixer.kind.needs_model and taken.x.dtype == torch.uint8:
            raise TypeError(
                f"x must be float images as the module takes them for {self.mixer.variant!r}, which looks at the "
                f"module's gradients, got {_check.shown(taken.x)}"
            )
        return taken

    def _generator(self, device: torch.device) -> torch.Generator:
        (state,) = np.random.SeedSequence([self.seed, *self._place]).generate_state(1, np.uint64)
        return torch.Generator(device).manual_seed(int(state) >> 1)  # torch's seeds are int64


class _Step:
    """A module's training step, given mixed batches. Copies of the module have their own step in its place."""

    def __init__(self, callback: MixCallback, module: LightningModule, step: Callable[..., Any]) -> None:
        self.callback, self.module, self.step = callback, module, step
        update_wrapper(self, step)  # where Lightning reads the signature

    def __call__(self, batch: Any, *rest: Any) -> Any:
        return self.callback.mixed_step(self.module, self.step, batch, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unmixed, (self.step,)


def _unmixed(step: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for a _Step in a copy, where the bound method is that of the copied module."""
    return step


def _added(loss: Any, clean_loss: Tensor) -> Any:
    """What a training step returned, with this added to its loss."""
    if isinstance(loss, Tensor):
        return loss + clean_loss
    if isinstance(loss, dict) and isinstance(loss.get("loss"), Tensor):
        return {**loss, "loss": loss["loss"] + clean_loss}
    raise TypeError(
        "training_step must return its loss, or a dict with it, for Puzzle Mix to add the clean loss, got "
        f"{_check.shown(loss)}"
    )
