"""Training on spirals, a batch at a time, with the decision field and the hidden states in every record."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab.machine import using_threads
from mixlab.mixing.losses import mixed_loss
from mixlab.mixing.mixer import Mixer, check_mixer
from mixlab.models.spiral_net import SpiralNet
from mixlab.training.flatness import class_singular_values
from mixlab.training.loop import Loop
from mixlab.training.schedules import Linear
from mixlab.training.sgd import Descent

REACH = 1.2  # the plane is drawn from -REACH to REACH on both axes
GRID = 80  # cells a side of the decision field
_SCHEDULE = Linear(((0, 0), (0.1, 1), (1, 0)))  # of the learning rate: up in a tenth of the steps, then down to 0
_MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class SpiralRecord:
    """Where a training on spirals stands.

    Attributes:
        epoch: counts the passes over the training points.
        step, steps: count the batches done, and all batches.
        train_loss: is the mean loss in nats of the batches since the last record, mixed as they were; NaN without any.
        test_accuracy, test_nll, test_confidence: are of the test points; NLL in nats, confidence the mean of the
            largest probability.
        hidden: holds the bottleneck's states of the training points without mixing, float32 [n, 2].
        singular_values: are those of `class_singular_values`, float32 [classes, 2].
        field: holds each class's probability over the plane, uint8 [classes, 80, 80], 255 for 1; the first row is at
            the bottom (y = -1.2), the first column at the left (x = -1.2), each number at the middle of its cell.
        seconds: have passed since the training began, pauses included.
    """

    epoch: float
    step: int
    steps: int
    train_loss: float
    test_accuracy: float
    test_nll: float
    test_confidence: float
    hidden: Tensor
    singular_values: Tensor
    field: Tensor
    seconds: float


class SpiralTrainer(Loop[SpiralRecord]):
    """Train a net on spirals, a batch at a time; iterate for a SpiralRecord after each epoch, and leave to stop.

    SGD with Nesterov momentum 0.9 and no weight decay, on one core in some seconds: a second thread gains nothing on
    nets this small, and stalls each operation while another process keeps its core busy. Outside of `step` and
    `evaluate` torch's number of threads is as it was. Equal arguments and equal nets give bit-equal results on one
    machine.

    Args:
        model: is a SpiralNet; it is trained in place.
        train, test: are points and labels, as `spirals` gives them.
        mixer: mixes by a variant that needs no images: "none", "mixup" or "manifold" (default: no mixing).
        epochs: counts the passes over the training points, at least 1.
        seed: seeds the order and the mixing; the order is the same for every mixer.
        batch_size: is the number of points a step, at most all of them; a shorter last batch is left out.
        learning_rate: is the peak of a triangle that starts and ends near 0.

    Attributes:
        step_count, steps: count the batches done, and all batches; `done`, `epoch` and `steps_per_epoch` follow.
        model, train, test, mixer: are what is trained, on what and how.
        picked: says in one line which device and threads, and why.

    Raises:
        TypeError, ValueError: at the call; the message names the argument.
        FloatingPointError: from `step`, when the loss is no longer finite.
    """

    picked = "cpu, 1 thread (a second gains nothing on a net this small)"

    def __init__(
        self,
        model: SpiralNet,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        mixer: Mixer | None = None,
        *,
        epochs: int = 150,
        seed: int = 0,
        batch_size: int = 30,
        learning_rate: float = 0.05,
    ) -> None:
        if not isinstance(model, SpiralNet):
            raise TypeError(f"model must be a SpiralNet, got {_check.shown(model)}")
        classes = model.head.out_features
        self.model: SpiralNet = model
        self.train, self.test = _points("train", train, classes), _points("test", test, classes)
        self.mixer: Mixer = _without_images(mixer)
        super().__init__(
            examples=len(self.train[0]),
            epochs=epochs,
            seed=seed,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=_SCHEDULE,
            device=torch.device("cpu"),
        )
        self.optimizer = Descent(model.parameters(), momentum=_MOMENTUM, weight_decay=0.0)

    @using_threads(1)
    def step(self) -> None:
        """Train on the next batch; RuntimeError when all steps are taken, FloatingPointError when the loss is lost."""
        super().step()

    def _loss(self, chosen: Tensor) -> Tensor:
        x, y = (part[chosen] for part in self.train)
        loss = mixed_loss(self.model, x, y, self.mixer.plan(x, generator=self._mixing_stream))
        return loss.double()  # so that the sum over batches is in float64, which costs nothing on a net this small

    @using_threads(1)
    @torch.no_grad()
    def evaluate(self) -> SpiralRecord:
        """Measure the net as it is, and start a new mean of the training loss."""
        (x, y), (test_x, test_y) = self.train, self.test
        logits = self.model(test_x)
        probabilities = logits.softmax(1)
        states = self.model.hidden(x)
        return SpiralRecord(
            epoch=self.epoch,
            step=self.step_count,
            steps=self.steps,
            train_loss=self._mean_loss(),
            test_accuracy=float((logits.argmax(1) == test_y).double().mean()),
            test_nll=float(functional.cross_entropy(logits, test_y)),
            test_confidence=float(probabilities.amax(1).mean()),
            hidden=states,
            singular_values=class_singular_values(states, y),
            field=_field(self.model),
            seconds=0.0 if self._began is None else time.perf_counter() - self._began,
        )


def _field(model: SpiralNet) -> Tensor:
    """The probabilities over the plane, uint8 [classes, GRID, GRID]."""
    middles = REACH * (2 * torch.arange(GRID, dtype=torch.float32, device="cpu") + 1 - GRID) / GRID
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    probabilities: Tensor = model(torch.stack([x, y], -1).view(-1, 2)).softmax(1)
    return (255 * probabilities).round().to(torch.uint8).T.reshape(-1, GRID, GRID)


def _points(name: str, value: object, classes: int) -> tuple[Tensor, Tensor]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} must be (x, y), as `spirals` gives them, got {_check.shown(value)}")
    x = _check.tensor(f"the points of {name}", value[0], "float32 [n, 2]")
    if x.dtype != torch.float32 or x.shape[1:] != (2,) or len(x) < 2:
        raise TypeError(f"the points of {name} must be float32 [n, 2], at least two, got {_check.shown(x)}")
    return x, _check.class_labels(f"the labels of {name}", value[1], batch=len(x), classes=classes, device=x.device)


def _without_images(mixer: object) -> Mixer:
    mixer = check_mixer(mixer, or_none=True)
    if mixer.kind.takes_images:
        raise ValueError(f"mixer must need no images, such as 'mixup' or 'manifold', got {mixer!r}")
    return mixer
