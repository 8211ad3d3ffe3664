"""The live loop: an iterator of small records, with no display in it. Leaving the loop stops the training."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.data.dataset import Dataset, Split
from mixlab.machine import precision, torch_threads
from mixlab.mixing.hidden import find_layer, mixed_loss
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.mixing.normalize import Statistics, normalized
from mixlab.training.augment import VIEWS, Augmentation, alternated, views_of
from mixlab.training.loop import Loop, State
from mixlab.training.memory import Before, largest_fitting
from mixlab.training.schedules import TRIANGLE, Schedule, check
from mixlab.training.sgd import Descent, Lookahead, normalization_biases, resting
from mixlab.training.trainable import check_data, check_freeze, check_model

_TEST_BATCH = 200  # images: more would only raise the peak of memory


@dataclass(frozen=True)
class Record:
    """Where a training stands after an evaluation on the test images.

    Attributes:
        epoch: passes over the training images so far; whole numbers from `fit`, fractions if asked in between.
        step, steps: batches done, and batches in all.
        train_loss: mean loss, in nats, of the batches since the last record, on what was trained on (mixed, augmented).
        test_accuracy, test_nll, test_ece: on the clean test images; NLL in nats, ECE over 15 bins.
        images_per_second: training images taken from the data in a second of training.
        training_seconds: in steps; evaluations and pauses are not counted.
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
    training_seconds: float
    seconds: float
    seconds_left: float
    reliability: Reliability


class Trainer(Loop[Record]):
    """Train a model, a batch at a time; iterate for a Record after each epoch, and leave the loop to stop.

        for record in mx.fit(model, data, mx.Mixer("mixup", alpha=0.4), epochs=3):
            print(record.epoch, record.test_accuracy)

    Layout (channels_last), thread count and bfloat16 are picked for this machine; `picked` says which and why. On one
    machine's CPU, equal arguments and an equal model give bit-equal results, unless the model itself draws at random
    (dropout): it does so from torch's global generator, which is the caller's to seed.

    `state()` is all that the rest of a training depends on; by `restore(state)` a trainer that was made with equal
    arguments goes on from there, to the same bits. `mx.run` does so with files.

    Args:
        model: from normalized float images [B, C, H, W] to logits [B, classes]; trained in place.
        data: a Dataset, as `mx.load` gives it.
        mixer: how to mix each batch (default: not at all).
        epochs: passes over the training images, at least 1.
        seed: of the order, the augmentation and the mixing; order and augmentation are the same for every mixer.
        device: where to train (default: CUDA if there is one, else CPU). The model is moved there.
        batch_size: images a step, at most the whole training set; a shorter last batch is left out.
        learning_rate: the peak of the schedule, of stochastic gradient descent.
        schedule: of `mixlab.training.schedules` (default: a triangle that starts and ends near 0).
        momentum: of the descent, in [0, 1).
        nesterov: whether it is Nesterov's.
        weight_decay: on weight matrices and filters, not on biases and normalization.
        decay_biases: whether it is on biases and normalization all the same.
        bias_rate: times the learning rate, for the biases of normalization, whose weight decay is divided by it.
        freeze: after how many epochs a parameter rests, by its name: {"whiten.bias": 3}. Not all may, before the end.
        lookahead: whether the model is drawn back to slow weights every five steps (`sgd.Lookahead`); so,
            as in airbench, is a parameter that rests.
        label_smoothing: share of each target spread over all classes, in [0, 1].
        augment: random crops and flips.
        flip: "random", or "alternating": drawn for the first epoch, the other way round in every second.
        pad: the largest shift of a crop, in pixels, cut to one less than an image's shorter side; 4 is the habit of
            long runs, 2 gains more in a few epochs.
        border: what a crop finds outside, "mirror" or "black".
        cutout_side: side in pixels of a square hidden in each image; 0 for none.
        views: of each test image: 1, itself; 2, mirrored as well; 6, both also shifted by a pixel (`augment.py`).
            The mean of what the model says of them is what is measured.
        every: epochs between two Records of the iteration, which ends with one. A test set takes its time.
        dtype: torch.float32 or torch.bfloat16 arithmetic (default: the faster one here, see `mixlab doctor`).
        compile: train what torch.compile makes of the model, once its first step has compiled it; evaluations, and
            batches that are mixed inside of the model, run it as it is. It can pay in long trainings on CUDA. On two
            CPU cores the first step took 35 to 41 s longer, and those after it were none the faster.

    Attributes:
        step_count, steps: batches done, and batches in all; `done`, `epoch` and `steps_per_epoch` follow.
        settings: what was given or picked and determines the result, in values for JSON.
        model, optimizer, mixer, device, dtype: what is trained, by what, how and where.
        tested: what the model said of the test images when `evaluate` asked last; None before, and after `restore`.
        picked: one line: device, layout, arithmetic and threads, and why.

    Raises:
        TypeError, ValueError: at the call, before anything is trained; the message names the argument.
        FloatingPointError: from `step`, when the loss is no longer finite.
        torch.OutOfMemoryError: from `step`, when CUDA's memory does not hold the forward and backward of a batch; the
            message says which batch_size it holds, found by trying halves. The trainer is as before that step.
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
        schedule: Schedule = TRIANGLE,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 5e-4,
        decay_biases: bool = False,
        bias_rate: float = 1.0,
        freeze: Mapping[str, int] | None = None,
        lookahead: bool = False,
        label_smoothing: float = 0.0,
        augment: bool = True,
        flip: str = "random",
        pad: int = 2,
        border: str = "mirror",
        cutout_side: int = 0,
        views: int = 1,
        every: int = 1,
        dtype: torch.dtype | None = None,
        compile: bool = False,  # noqa: A002  # torch's word for it
    ) -> None:
        self.data = check_data(data)
        self.mixer: Mixer = check_mixer(mixer, or_none=True)
        self._descent: dict[str, Any] = {
            "momentum": _check.number("momentum", momentum, 0, 0.999999),
            "nesterov": _check.flag("nesterov", nesterov),
            "weight_decay": _check.number("weight_decay", weight_decay, 0, 1e6),
            "decay_biases": _check.flag("decay_biases", decay_biases),
            "bias_rate": _check.number("bias_rate", bias_rate, 1e-6, 1e6),
        }
        self._smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)
        self._augmentation = Augmentation(
            augment, flip, pad, border, cutout_side, side=min(data.train.images.shape[-2:])
        )
        self._views = _check_views(views)
        lookahead = _check.flag("lookahead", lookahead)
        self._compile = _check.flag("compile", compile)
        if dtype is not None:
            _check_dtype(dtype, "torch.float32, torch.bfloat16 or None")
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        super().__init__(
            examples=len(data.train),
            epochs=epochs,
            seed=seed,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=check(schedule),
            device=_check.device("device", device),
            every=every,
        )
        self.mixer.check(torch.empty(self.batch_size, *data.train.images.shape[1:], dtype=torch.uint8, device="meta"))

        self.model = check_model(model, self.device, data)
        for layer in self.mixer.kind.layers:
            find_layer(self.model, layer)
        self._network = self.model
        if self._compile:
            self._network = torch.compile(self.model)  # type: ignore[assignment]  # of a module it makes a module
        self.optimizer = Descent(self.model.parameters(), biases=normalization_biases(self.model), **self._descent)
        self._freeze = check_freeze(freeze, self.model, self.epochs)
        self.lookahead = Lookahead(self.model) if lookahead else None
        self.tested: Predictions | None = None

        threads, why_threads = torch_threads()
        torch.set_num_threads(threads)
        self.dtype, why_dtype = (dtype, "as asked") if dtype is not None else precision(self.device)
        self.picked = f"{self.device.type}, channels_last, {_name(self.dtype)} ({why_dtype})" + (
            f", {threads} thread{'s' * (threads > 1)} ({why_threads})" if self.device.type == "cpu" else ""
        )
        self._train, self._test = data.train.to(self.device), data.test.to(self.device)
        self._normalize = data.normalization
        self._first_flips = None
        if self._augmentation.alternates:  # drawn here, so that no state need hold them
            self._first_flips = torch.rand(len(self._train), generator=self._order_stream, device=self.device) < 0.5

    def __repr__(self) -> str:
        return f"Trainer(step {self.step_count:,} of {self.steps:,}, {self.mixer!r}, {self.picked})"

    @property
    def settings(self) -> dict[str, Any]:
        """What was given or picked and determines the result, but for model, data and mixer: values for JSON."""
        return super().settings | {
            **self._descent,
            "freeze": self._freeze,
            "lookahead": self.lookahead is not None,
            "label_smoothing": self._smoothing,
            **self._augmentation.settings,
            "views": self._views,
            "every": self.every,
            "dtype": _name(self.dtype),
            "device": self.device.type,
            "compile": self._compile,
        }

    def _training(self) -> dict[str, Any]:
        return super()._training() | {"data": self.data.digest}

    def restore(self, state: State) -> None:
        """Go on from here as the training did from which the state was taken; see `Loop.restore`."""
        super().restore(state)
        self.tested = None

    def _differentiated(self, size: int | None = None) -> Tensor:
        before = Before(self.model, self._streams().values())
        try:
            return super()._differentiated(size)
        except torch.OutOfMemoryError:
            before.put_back()
        except BaseException:  # the stop button, too: whoever goes on takes this step as if for the first time
            before.put_back()
            raise
        # Not in the clause above: at its end the error's frames are let go, and all that was computed in them.
        raise self._does_not_fit(before)

    def _does_not_fit(self, before: Before) -> torch.OutOfMemoryError:
        """The error that says which batch fits, once halves have been tried; they leave nothing behind."""
        try:
            fits = largest_fitting(super()._differentiated, self.batch_size)
        finally:
            before.put_back()
        found = "not even batch_size=2 does" if fits is None else f"batch_size={fits} does"
        return torch.OutOfMemoryError(
            f"batch_size={self.batch_size} does not fit into the memory of {self.device}; {found}"
        )

    def _loss(self, chosen: Tensor) -> Tensor:
        self.model.train()
        images, labels = self._batch(chosen)
        rest = [self.model.get_parameter(name) for name, epochs in self._freeze.items() if self.epoch >= epochs]
        with resting(rest), torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            plan = self.mixer.plan(
                images, labels, model=self.model, normalize=self._normalize, generator=self._mixing_stream
            )
            return mixed_loss(
                self._network, images, labels, plan, normalize=self._normalize, label_smoothing=self._smoothing
            )

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Images, cropped, flipped and cut, and their labels."""
        flip = None
        if self._first_flips is not None:
            flip = alternated(self._first_flips.index_select(0, chosen), int(self.epoch))
        images = self._augmentation(self._train.images.index_select(0, chosen), flip, self._order_stream)
        return images.contiguous(memory_format=torch.channels_last), self._train.labels.index_select(0, chosen)

    def evaluate(self) -> Record:
        """Measure the model on the test images, and start a new mean of the training loss."""
        waiting = time.perf_counter()
        self._began = waiting if self._began is None else self._began
        self.check_finite()  # on CUDA this waits for the steps under way, whose time is training, not evaluation
        began = time.perf_counter()
        self._training_seconds += began - waiting
        try:
            test = self.tested = self.predictions()
        except FloatingPointError:
            raise self._divergence("what the model says of the test images") from None
        reliability = Reliability().update(test.probs, test.labels)
        now = time.perf_counter()
        done, left = self.step_count, self.steps - self.step_count
        rate = done / self._training_seconds if done else math.nan
        return Record(
            epoch=self.epoch,
            step=done,
            steps=self.steps,
            train_loss=self._mean_loss(),
            test_accuracy=reliability.accuracy(),
            test_nll=reliability.nll(),
            test_ece=reliability.ece(),
            images_per_second=rate * self.batch_size,
            training_seconds=self._training_seconds,
            seconds=now - self._began,
            seconds_left=left / rate + (now - began) * left / (self.every * self.steps_per_epoch),
            reliability=reliability,
        )

    def predictions(self) -> Predictions:
        """What the model, as it is, says of the test images.

        Raises:
            FloatingPointError: a logit is NaN or infinite.
        """
        return predict(self.model, self._test, self._normalize, dtype=self.dtype, views=self._views)


fit = Trainer  # the name that reads well in a loop: for record in mx.fit(model, data, mixer, epochs=3)


def predict(
    model: nn.Module,
    split: Split,
    normalize: Statistics,
    *,
    classes: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float32,
    views: int = 1,
) -> Predictions:
    """What `model` says of every image of a split, on the split's device; the model's mode is left as it was.

        test = mx.predict(model, data.test, data.normalization)

    Args:
        model: from normalized float images [B, C, H, W] to logits [B, classes], on the split's device.
        split: uint8 images and their labels.
        normalize: (mean, std) that bring the images to what the model takes, as `data.normalization` has them.
        classes: names of the classes, for pictures and tables.
        dtype: torch.float32 or torch.bfloat16 arithmetic; the logits are float32.
        views: of each image, 1, 2 or 6, see `Trainer`; the logits are the mean of theirs.

    Raises:
        TypeError, ValueError: the model is no torch.nn.Module, the split is no Split, or another dtype or number of
            views.
        FloatingPointError: a logit is NaN or infinite.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, such as data.test, got {_check.shown(split)}")
    _check_dtype(dtype, "torch.float32 or torch.bfloat16")
    device, views = split.images.device, _check_views(views)
    tables = []
    with evaluating(model), torch.no_grad():
        for start in range(0, len(split), _TEST_BATCH):
            parts = []
            for weight, images in views_of(split.images[start : start + _TEST_BATCH], views):
                inputs = normalized(images.contiguous(memory_format=torch.channels_last), normalize)
                with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                    parts.append(weight * model(inputs).float())
            tables.append(torch.stack(parts).sum(0))
    logits = torch.cat(tables)
    if not bool(logits.isfinite().all()):  # once, as CUDA waits for it
        raise FloatingPointError("the model's logits are no longer finite")
    return Predictions.from_logits(logits, split.labels, classes)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_dtype(dtype: torch.dtype, wanted: str) -> None:
    if dtype not in (torch.float32, torch.bfloat16):
        raise TypeError(f"dtype must be {wanted}, got {_check.shown(dtype)}")


def _check_views(views: int) -> int:
    found = _check.integer("views", views, 1)
    if found not in VIEWS:
        raise ValueError(f"views must be 1, 2 or 6, got {_check.shown(views)}")
    return found
