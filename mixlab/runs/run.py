"""Runs that are never lost: each is named by what determines it, stored, and resumed where it was broken off."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from mixlab import _check, models
from mixlab._check import shown
from mixlab._torch_state import spared
from mixlab.data.dataset import Dataset
from mixlab.machine import release_memory, using_threads
from mixlab.mixing.mixer import Mixer
from mixlab.runs.locks import held
from mixlab.runs.store import Store
from mixlab.runs.stored_run import Run
from mixlab.runs.stored_training import StoredTraining
from mixlab.training.loop import fill, tensors_of
from mixlab.training.trainer import Trainer


def run(
    model: nn.Module | str,
    data: Dataset,
    mixer: Mixer | None = None,
    *,
    epochs: int,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    name: str | None = None,
    **settings: Any,
) -> Run:
    """Return the stored run of these arguments; if there is none, train it and store it first.

        run = mx.run("quick", data, mx.Mixer("mixup", alpha=0.4), epochs=3)

    A run that was broken off, by the stop button or by anything else, resumes after its last finished epoch and ends as
    if it had never been: on one machine's CPU, to the bit. While another process trains it, this one waits for it.
    At each step torch's global generator, which dropout draws from, is seeded by `seed` and the step; the caller's
    is put back afterwards. A run that is damaged on disk is set aside, and trained again.

    Args:
        model: a module in its initial state, which is trained in place, or filled with the stored weights; or a name
            of `mixlab.models`, such as "quick", built with `seed`. At the end it is in evaluation mode. If the training
            is broken off, a module gets its initial weights again, so that the same call resumes it.
        data: a Dataset, as `mixlab.load` gives it.
        mixer: how to mix each batch (default: not at all).
        epochs: passes over the training images, at least 1.
        seed: seeds the order, the augmentation, the mixing, dropout, and a model built by name.
        settings: the rest of what `mixlab.fit` takes.
        root: the folder of the store (default: $MIXLAB_RUNS, else "runs" in the user's cache of mixlab).
        progress: whether to show a bar of epochs: in a notebook's output, elsewhere on stderr.
        name: says which model of `mixlab.models` the module is, so that the run can build it again.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, as `mixlab.fit` says it; or a model whose
            source or attributes cannot be read. Nothing has been written then. After an epoch: a model that keeps
            state elsewhere than in parameters and buffers.
        StoreError: the folder cannot be written; or this process trains this run already.
        FloatingPointError: the loss is no longer finite.
    """
    _check.flag("progress", progress)
    with opened(model, data, mixer, epochs=epochs, seed=seed, root=root, name=name, **settings) as training:
        if not training.done:
            _train(training, progress)
            release_memory()
        return training.finish()


@contextmanager
def opened(
    model: nn.Module | str,
    data: Dataset,
    mixer: Mixer | None = None,
    *,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    name: str | None = None,
    wait: Callable[[str], object] | None = None,
    **settings: Any,
) -> Iterator[StoredTraining]:
    """The run of these arguments, to be trained a step or an epoch at a time; nobody else trains it meanwhile.

        with opened("quick", data, epochs=3) as training:
            for record in training:
                ...
            run = training.finish()

    Arguments and errors are those of `run`; what is stored stays if the block is left early. While another process
    trains the run, `wait` is called again and again with a line that says so, and whatever it raises ends the waiting;
    by default that line is printed once, on stderr.
    """
    store = Store(root)
    label, module = _module(model, data, seed, name)
    with using_threads(torch.get_num_threads()):  # the Trainer sets its own
        with spared():  # for a model that draws when the Trainer looks at it
            trainer = Trainer(module, data, mixer, seed=seed, **settings)
        with resumed(trainer, label, store, wait) as training:
            yield training


@contextmanager
def resumed(
    trainer: Trainer, name: str, store: Store, wait: Callable[[str], object] | None = None
) -> Iterator[StoredTraining]:
    """The run of a Trainer that has taken no step, where its last finished epoch left it; see `opened`.

    The name says which model it is, in the table of runs.
    """
    training = StoredTraining(store, trainer, name)
    with ExitStack() as stack:
        if not training.load():
            stack.enter_context(held(store, training.id, wait))
            training.resume()
        try:
            yield training
        finally:
            training.leave()


def _train(training: StoredTraining, progress: bool) -> None:
    from mixlab.runs.progress import bar as bar_of  # loads tqdm

    shown_as = {"desc": str(training.trainer.mixer.variant), "unit": "epoch", "disable": not progress}
    with bar_of(total=training.trainer.epochs, initial=training.epochs, **shown_as) as bar:
        while not training.done:
            record = training.step()
            if record is not None:
                bar.set_postfix_str(f"accuracy {record.test_accuracy:.3f}", refresh=False)
            bar.update(training.epochs - bar.n)


def _module(model: nn.Module | str, data: Dataset, seed: int, name: str | None) -> tuple[str, nn.Module]:
    """The name to show of a model, and the module, built if it is given by name."""
    net = {"num_classes": 2}  # the Trainer refuses what is no Dataset
    if isinstance(data, Dataset):
        net = {"num_classes": len(data.classes), "channels": data.channels}
    if isinstance(model, str):
        if name is not None:
            raise ValueError(f"name must be left out where model is a name itself, {model!r}, got {shown(name)}")
        build = getattr(models, _check.choice("model", model, models.MODELS))
        return model, build(**net, seed=seed)
    if name is None:
        return type(model).__qualname__, model
    build = getattr(models, _check.choice("name", name, models.MODELS))
    try:
        fill(build(**net), tensors_of(model))
    except ValueError:
        raise ValueError(f"name must be that of a model with these parameters and buffers, got {name!r}") from None
    return name, model
