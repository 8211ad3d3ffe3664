"""The live loop: an iterator of small records, with no display in it. Leaving the loop stops the training."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.augment import crop_and_flip, cutout
from mixlab.calibration import Reliability
from mixlab.data import Dataset, Split
from mixlab.descent import Descent
from mixlab.hidden import find_layer, mixed_loss
from mixlab.machine import precision, torch_threads
from mixlab.mixing import Mixer, check_mixer
from mixlab.modes import evaluating
from mixlab.normalising import Statistics, normalised
from mixlab.predictions import Predictions

_TEST_BATCH = 200  # images: more would only raise the peak of memory
_MOMENTUM = 0.9
_WARM_UP = 0.2  # share of the steps in which the learning rate climbs to its peak; it falls to 0 in the rest
_PAD = 2  # pixels of the random crop; 4 is the habit of long runs, 2 gains more in a few epochs


@dataclass(frozen=True)
class Record:
    """Where a training stands after an evaluation on the test images.

    Attributes:
        epoch: passes over the training images so far; whole numbers from `fit`, fractions if asked in between.
        step, steps: batches done, and batches in all.
        train_loss: mean loss, in nats, of the batches since the last record, on what was trained on (mixed, augmented).
        test_accuracy, test_nll, test_ece: on the clean test images; NLL in nats, ECE over 15 bins.
        images_per_second: training images taken from the data, while training (evaluations not counted).
        seconds: since the training began, evaluations and pauses included.
        seconds_left: for the remaining steps at the present rate, evaluations included.
        reliability: the state behind the test numbers, for intervals and the diagram.
    """

    epoch: float
    step: int
    steps: int
    train_loss: float
    test_accuracy: float
    test_nll: float
    test_ece: float
    images_per_second: float
    seconds: float
    seconds_left: float
    reliability: Reliability


class Trainer:
    """Train a model, a batch at a time; iterate for a Record after each epoch, and leave the loop to stop.

        for record in mx.fit(model, data, mx.Mixer("mixup", alpha=0.4), epochs=3):
            print(record.epoch, record.test_accuracy)

    Layout (channels_last), thread count and bfloat16 are picked for this machine; `picked` says which and why. On one
    machine's CPU, equal arguments and an equal model give bit-equal results, unless the model itself draws at random
    (dropout): it does so from torch's global generator, which is the caller's to seed.

    Args:
        model: from normalised float images [B, C, H, W] to logits [B, classes]; trained in place.
        data: a Dataset, as `mx.load` gives it.
        mixer: how to mix each batch (default: not at all).
        epochs: passes over the training images, at least 1.
        seed: of the order, the augmentation and the mixing; order and augmentation are the same for every mixer.
        device: where to train (default: CUDA if there is one, else CPU). The model is moved there.
        batch_size: images a step, at most the whole training set; a shorter last batch is left out.
        learning_rate: peak of a triangle that starts and ends near 0; SGD with Nesterov momentum 0.9.
        weight_decay: on weight matrices and filters, not on biases and normalisation.
        label_smoothing: share of each target spread over all classes, in [0, 1].
        augment: random crops (2 pixels, mirrored) and flips.
        cutout_side: side in pixels of a square hidden in each image; 0 for none.
        dtype: torch.float32 or torch.bfloat16 arithmetic (default: the faster one, measured once and kept).

    Attributes:
        step_count, steps: batches done, and batches in all; `done`, `epoch` and `steps_per_epoch` follow.
        model, optimiser, mixer, device, dtype: what is trained, by what, how and where.
        picked: one line: device, layout, arithmetic and threads, and why.

    Raises:
        TypeError, ValueError: at the call, before anything is trained; the message names the argument.
        FloatingPointError: from `step`, when the loss is no longer finite.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        mixer: Mixer | None = None,
        *,
        epochs: int,
        seed: int = 0,
        device: torch.device | str | None = None,
        batch_size: int = 128,
        learning_rate: float = 0.3,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.0,
        augment: bool = True,
        cutout_side: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.data = _check_data(data)
        self.mixer = check_mixer(mixer, or_none=True)
        self.epochs = _check.integer("epochs", epochs, 1)
        seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
        self.batch_size = min(_check.integer("batch_size", batch_size, 2), len(data.train))
        self._peak = _check.number("learning_rate", learning_rate, 0, 1e6)
        weight_decay = _check.number("weight_decay", weight_decay, 0, 1e6)
        self._smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)
        self._augment = _check.flag("augment", augment)
        self._cutout = _check.integer("cutout_side", cutout_side, 0, min(data.train.images.shape[-2:]))
        if dtype not in (None, torch.float32, torch.bfloat16):
            raise TypeError(f"dtype must be torch.float32, torch.bfloat16 or None, got {_check.shown(dtype)}")
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = _check.device("device", device)
        self.mixer.check(torch.empty(self.batch_size, *data.train.images.shape[1:], dtype=torch.uint8, device="meta"))

        self.model = _check_model(model, self.device, data)
        for layer in self.mixer.kind.layers:
            find_layer(self.model, layer)

        threads, why_threads = torch_threads()
        torch.set_num_threads(threads)
        self.dtype, why_dtype = (dtype, "as asked") if dtype is not None else precision(self.device)
        self.picked = f"{self.device.type}, channels_last, {str(self.dtype).removeprefix('torch.')} ({why_dtype})" + (
            f", {threads} thread{'s' * (threads > 1)} ({why_threads})" if self.device.type == "cpu" else ""
        )

        self._train, self._test = data.train.to(self.device), data.test.to(self.device)
        self._normalise = data.normalisation
        self.optimiser = Descent(model.parameters(), momentum=_MOMENTUM, weight_decay=weight_decay)

        # Two streams, so that every mixer sees the same images in the same order with the same crops.
        self._order_stream = torch.Generator(self.device).manual_seed(2 * seed)
        self._mixing_stream = torch.Generator(self.device).manual_seed(2 * seed + 1)
        self.steps_per_epoch = len(data.train) // self.batch_size
        self.steps = self.epochs * self.steps_per_epoch
        self.step_count = 0
        self._order = torch.empty(0, dtype=torch.int64)
        self._loss_sum = torch.zeros((), device=self.device)
        self._loss_count = 0
        self._began: float | None = None
        self._training_seconds = 0.0
        self._evaluation_seconds = 0.0

    def __repr__(self) -> str:
        return f"Trainer(step {self.step_count:,} of {self.steps:,}, {self.mixer!r}, {self.picked})"

    def __iter__(self) -> Iterator[Record]:
        while not self.done:
            self.step()
            if self.step_count % self.steps_per_epoch == 0:
                yield self.evaluate()

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.step_count >= self.steps

    @property
    def loss_so_far(self) -> tuple[float, int]:
        """Sum of the batches' losses since the last record, and the number of these batches."""
        return float(self._loss_sum), self._loss_count

    @property
    def epoch(self) -> float:
        """Passes over the training images so far."""
        return self.step_count / self.steps_per_epoch

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
        self.optimiser.learning_rate = self._peak * _triangle((self.step_count + 1) / (self.steps + 1))
        self.model.train()
        images, labels = self._next_batch()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            plan = self.mixer.plan(
                images, labels, model=self.model, normalise=self._normalise, generator=self._mixing_stream
            )
            loss = mixed_loss(
                self.model, images, labels, plan, normalise=self._normalise, label_smoothing=self._smoothing
            )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._loss_sum += loss.detach()
        self._loss_count += 1
        self.step_count += 1
        if self.device.type == "cpu":
            self._check_finite()
        self._training_seconds += time.perf_counter() - began

    def evaluate(self) -> Record:
        """Measure the model on the test images, and start a new mean of the training loss."""
        waiting = time.perf_counter()
        self._began = waiting if self._began is None else self._began
        self._check_finite()  # on CUDA this waits for the steps under way, whose time is training, not evaluation
        began = time.perf_counter()
        self._training_seconds += began - waiting
        try:
            test = predict(self.model, self._test, self._normalise, dtype=self.dtype)
        except FloatingPointError:
            raise self._divergence() from None
        reliability = Reliability().update(test.probs, test.labels)
        now = time.perf_counter()
        self._evaluation_seconds = now - began
        done, left = self.step_count, self.steps - self.step_count
        rate = done / self._training_seconds if done else math.nan
        record = Record(
            epoch=self.epoch,
            step=done,
            steps=self.steps,
            train_loss=float(self._loss_sum) / self._loss_count if self._loss_count else math.nan,
            test_accuracy=reliability.accuracy(),
            test_nll=reliability.nll(),
            test_ece=reliability.ece(),
            images_per_second=rate * self.batch_size,
            seconds=now - self._began,
            seconds_left=left / rate + self._evaluation_seconds * left / self.steps_per_epoch,
            reliability=reliability,
        )
        self._loss_sum.zero_()
        self._loss_count = 0
        return record

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        place = self.step_count % self.steps_per_epoch
        if place == 0:
            self._order = torch.randperm(len(self._train), generator=self._order_stream, device=self.device)
        chosen = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        images = self._train.images.index_select(0, chosen)
        if self._augment:
            pad = min(_PAD, min(images.shape[-2:]) - 1)  # a border can be mirrored once
            images = crop_and_flip(images, pad, self._order_stream)
        if self._cutout:
            images = cutout(images, self._cutout, self._order_stream)
        return images.contiguous(memory_format=torch.channels_last), self._train.labels.index_select(0, chosen)

    def _check_finite(self) -> None:
        if not math.isfinite(self._loss_sum):
            raise self._divergence()

    def _divergence(self) -> FloatingPointError:
        place = f"step {self.step_count:,} of {self.steps:,}"
        return FloatingPointError(f"the loss is no longer finite at {place}; lower learning_rate, now {self._peak:g}")


fit = Trainer  # the name that reads well in a loop: for record in mx.fit(model, data, mixer, epochs=3)


def predict(
    model: nn.Module,
    split: Split,
    normalise: Statistics,
    *,
    classes: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Predictions:
    """What `model` says of every image of a split, on the split's device; the model's mode is left as it was.

        test = mx.predict(model, data.test, data.normalisation)

    Args:
        model: from normalised float images [B, C, H, W] to logits [B, classes], on the split's device.
        split: uint8 images and their labels.
        normalise: (mean, std) that bring the images to what the model takes, as `data.normalisation` has them.
        classes: names of the classes, for pictures and tables.
        dtype: torch.float32 or torch.bfloat16 arithmetic; the logits are float32.

    Raises:
        TypeError: the model is no torch.nn.Module, or the split is no Split.
        FloatingPointError: a logit is NaN or infinite.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, such as data.test, got {_check.shown(split)}")
    device = split.images.device
    tables = []
    with evaluating(model), torch.no_grad():
        for start in range(0, len(split), _TEST_BATCH):
            images = split.images[start : start + _TEST_BATCH]
            inputs = normalised(images.contiguous(memory_format=torch.channels_last), normalise)
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                logits = model(inputs)
            if not bool(logits.isfinite().all()):
                raise FloatingPointError("the model's logits are no longer finite")
            tables.append(logits.float())
    return Predictions.from_logits(torch.cat(tables), split.labels, classes)


def _triangle(progress: float) -> float:
    """The learning rate's share of its peak: up in a straight line, then down to 0."""
    return min(progress / _WARM_UP, (1 - progress) / (1 - _WARM_UP))


def _check_data(data: Dataset) -> Dataset:
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {_check.shown(data)}")
    if len(data.train) < 2 or len(data.test) == 0:
        raise ValueError(f"data must hold at least 2 training images and 1 test image, got {data!r}")
    if data.test.images.shape[1:] != data.train.images.shape[1:]:
        sizes = [list(split.images.shape[1:]) for split in (data.train, data.test)]
        raise ValueError(f"data must hold images of one size, got {sizes[0]} in train and {sizes[1]} in test")
    if min(data.normalisation[1]) == 0:
        raise ValueError(f"data must vary in every channel, got deviations {data.normalisation[1]} over train")
    present = torch.bincount(data.train.labels, minlength=len(data.classes)) > 0
    if not bool(present.all()):
        missing = [name for name, there in zip(data.classes, present.tolist(), strict=True) if not there]
        raise ValueError(f"data must hold a training image of every class, got none of {', '.join(missing)}")
    return data


def _check_model(model: nn.Module, device: torch.device, data: Dataset) -> nn.Module:
    """The model, on its device and in channels_last, once it has been seen to give one logit for each class."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_logits(model, device, data)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model must have parameters that require gradients, got none")
    return model


def check_logits(model: nn.Module, device: torch.device, data: Dataset) -> None:
    """Raise unless the model, on this device, gives one logit for each class; it is run once, in evaluation mode."""
    shape = [2, *data.train.images.shape[1:]]
    look = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
    try:
        with evaluating(model), torch.no_grad():  # so that the look does not touch running statistics
            logits = model(look)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"model must take float32 images {shape} in channels_last layout, got {error!r}") from error
    wanted = (2, len(data.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        came = _check.shown(logits)
        raise ValueError(
            f"model must give {wanted[1]} logits, one for each class of {data.name}, got {came} for 2 images"
        )
