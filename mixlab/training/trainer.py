"""The live loop: an iterator of small records, with no display in it. Leaving the loop stops the training."""

import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.recalibration.crossfit import tempered
from mixlab.calibration.reliability import Reliability
from mixlab.data.dataset import Dataset
from mixlab.machine import precision, torch_threads
from mixlab.mixing.hidden import find_layer
from mixlab.mixing.losses import mixed_loss
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.training.augment import Augmentation, alternated
from mixlab.training.checks import check_data, check_dtype, check_freeze, check_model
from mixlab.training.loop import Loop, State
from mixlab.training.options import OPTIMIZERS, TrainOptions, check_options
from mixlab.training.out_of_memory import Before, largest_fitting
from mixlab.training.predict import predict
from mixlab.training.record import Record
from mixlab.training.sgd import Lookahead, normalization_biases, resting

BATCH_SIZE, LEARNING_RATE = 128, 0.3  # unless a call says otherwise


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
        model: maps normalized float images [B, C, H, W] to logits [B, classes]; it is trained in place.
        data: is a Dataset, as `mx.load` gives it.
        mixer: mixes each batch (default: no mixing).
        epochs: counts the passes over the training images, at least 1.
        seed: seeds the order, the augmentation and the mixing; order and augmentation are the same for every mixer.
        batch_size: is the number of images a step, at most the whole training set; a shorter last batch is left out.
        learning_rate: is the peak of the schedule, for stochastic gradient descent; AdamW (`options`) wants far less.
        augment: crops and flips the training images at random.
        label_smoothing: is the share of each target that is spread over all classes, in [0, 1].
        every: is the number of epochs between two Records, as a test set takes its time; the last epoch has one too.
        mix_until: is the number of epochs with mixing; the batches of later epochs are not mixed (default: all are, as
            far as the mixer mixes).
        device: is where to train (default: CUDA if there is one, else CPU). The model is moved to it.
        dtype: is the arithmetic, torch.float32 or torch.bfloat16 (default: by the device's features, see
            `mixlab doctor`).
        options: holds what recipes set besides, such as the schedule and the momentum; see `TrainOptions`.

    Attributes:
        step_count, steps: count the batches done, and all batches; `done`, `epoch` and `steps_per_epoch` follow.
        settings: maps all that was given or picked and determines the result, options too, to values for JSON; without
            an optimizer it is "sgd", as in runs that are older than AdamW.
        model, optimizer, mixer, device, dtype: are what is trained, by what, how and where.
        tested: holds the predictions of the last `evaluate`; None before, and after `restore`.
        picked: says in one line which device, layout, arithmetic and threads, and why.

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
        batch_size: int = BATCH_SIZE,
        learning_rate: float = LEARNING_RATE,
        augment: bool = True,
        label_smoothing: float = 0.0,
        every: int = 1,
        mix_until: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        options: TrainOptions | None = None,
    ) -> None:
        self.data = check_data(data)
        self.mixer: Mixer = check_mixer(mixer, or_none=True)
        self.options = check_options(options)
        self._smoothing = _check.number("label_smoothing", label_smoothing, 0, 1)
        self._augmentation = self._augmenting(augment)
        if dtype is not None:
            check_dtype(dtype, "torch.float32, torch.bfloat16 or None")
        super().__init__(
            examples=len(data.train),
            epochs=epochs,
            seed=seed,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=self.options.schedule,
            device=_check.device("device", _default_device() if device is None else device),
            every=every,
        )
        mixed = self.epochs if mix_until is None else _check.integer("mix_until", mix_until, 0)
        self._mix_until, self._no_mixer = min(mixed, self.epochs), Mixer("none")
        self._take_model(model)
        self._take_images()
        self.dtype, self.picked = self._pick(dtype)
        self.tested: Predictions | None = None

    def _augmenting(self, augment: bool) -> Augmentation:
        options, side = self.options, min(self.data.train.images.shape[-2:])
        return Augmentation(augment, options.flip, options.pad, options.border, options.cutout_side, side=side)

    def _take_model(self, model: nn.Module) -> None:
        """Check that model and mixer fit the data and each other, move the model, and give it what trains it."""
        shape = (self.batch_size, *self.data.train.images.shape[1:])
        labels = torch.empty(self.batch_size, dtype=torch.int64, device="meta")
        self.mixer.check(torch.empty(shape, dtype=torch.uint8, device="meta"), labels)
        self.model = check_model(model, self.device, self.data)
        for layer in self.mixer.kind.layers:
            find_layer(self.model, layer)
        check_freeze(self.options.freeze, self.model, self.epochs)
        self._network = self.model
        if self.options.compile:
            self._network = torch.compile(self.model)  # type: ignore[assignment]  # of a module it makes a module
        biases = normalization_biases(self.model)
        optimizer = OPTIMIZERS[self.options.optimizer]
        self.optimizer = optimizer(self.model.parameters(), biases=biases, **self.options.descent)
        self.lookahead = Lookahead(self.model) if self.options.lookahead else None

    def _take_images(self) -> None:
        """Move the images to the device, and draw how they are flipped first where flips alternate."""
        self._train, self._test = self.data.train.to(self.device), self.data.test.to(self.device)
        self._normalize = self.data.normalization
        self._first_flips = None
        if self._augmentation.alternates:  # drawn here, so that no state need hold them
            count, stream = len(self._train), self._order_stream
            self._first_flips = torch.rand(count, generator=stream, device=self.device, dtype=torch.float32) < 0.5

    def _pick(self, dtype: torch.dtype | None) -> tuple[torch.dtype, str]:
        """Set torch's threads; the arithmetic, and the line that says what was picked and why."""
        threads, why_threads = torch_threads()
        torch.set_num_threads(threads)
        dtype, why_dtype = (dtype, "as asked") if dtype is not None else precision(self.device)
        picked = f"{self.device.type}, channels_last, {_name(dtype)} ({why_dtype})"
        if self.device.type == "cpu":
            picked += f", {threads} thread{'s' * (threads > 1)} ({why_threads})"
        return dtype, picked

    def __repr__(self) -> str:
        return f"Trainer(step {self.step_count:,} of {self.steps:,}, {self.mixer!r}, {self.picked})"

    @property
    def settings(self) -> dict[str, Any]:
        """What was given or picked and determines the result, but for model, data and mixer: values for JSON."""
        return super().settings | {
            **({} if self.options.optimizer == "sgd" else {"optimizer": self.options.optimizer}),
            **self.options.descent,
            "freeze": dict(self.options.freeze),
            "lookahead": self.options.lookahead,
            "label_smoothing": self._smoothing,
            **self._augmentation.settings,
            "views": self.options.views,
            "every": self.every,
            "mix_until": self._mix_until,
            "dtype": _name(self.dtype),
            "device": self.device.type,
            "compile": self.options.compile,
        }

    def _training(self) -> dict[str, Any]:
        return super()._training() | {"data": self.data.digest}

    def restore(self, state: State) -> None:
        """Continue the training that the state was taken from; see `Loop.restore`."""
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
        best = "not even batch_size=2 does" if fits is None else f"batch_size={fits} does"
        return torch.OutOfMemoryError(
            f"batch_size={self.batch_size} does not fit into the memory of {self.device}; {best}"
        )

    def _loss(self, chosen: Tensor) -> Tensor:
        self.model.train()
        images, labels = self._batch(chosen)
        rest = [self.model.get_parameter(name) for name, epochs in self.options.freeze.items() if self.epoch >= epochs]
        with resting(rest), torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            mixer = self.mixer if self.step_count < self._mix_until * self.steps_per_epoch else self._no_mixer
            plan = mixer.plan(
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
            self.tested = self.predictions()
        except FloatingPointError:
            raise self._divergence("what the model says of the test images") from None
        raw, after = (Reliability().update(p.probs, p.labels) for p in (self.tested, tempered(self.tested)))
        return self._record(raw, after, began, time.perf_counter())

    def _record(self, raw: Reliability, after: Reliability, began: float, now: float) -> Record:
        """The record of an evaluation that lasted from `began` to `now`."""
        done, left = self.step_count, self.steps - self.step_count
        rate = done / self._training_seconds if done else math.nan
        return Record(
            epoch=self.epoch,
            step=done,
            steps=self.steps,
            train_loss=self._mean_loss(),
            test_accuracy=raw.accuracy(),
            test_nll=raw.nll(),
            test_ece=raw.ece(),
            images_per_second=rate * self.batch_size,
            training_seconds=self._training_seconds,
            seconds=now - (now if self._began is None else self._began),
            seconds_left=left / rate + (now - began) * left / (self.every * self.steps_per_epoch),
            reliability=raw,
            tempered_nll=after.nll(),
            tempered_ece=after.ece(),
        )

    def predictions(self) -> Predictions:
        """What the model, as it is, says of the test images.

        Raises:
            FloatingPointError: a logit is NaN or infinite.
        """
        return predict(self.model, self._test, self._normalize, dtype=self.dtype, views=self.options.views)


fit = Trainer  # the name that reads well in a loop: for record in mx.fit(model, data, mixer, epochs=3)


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
