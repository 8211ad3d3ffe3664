"""The record that a training yields after each epoch."""

import math
from dataclasses import dataclass

from mixlab.calibration.reliability import Reliability


@dataclass(frozen=True)
class Record:
    """Where a training stands after an evaluation on the test images.

    Attributes:
        epoch: counts the passes over the training images; whole in a loop over `fit`, a fraction in between.
        step, steps: count the batches done, and all batches.
        train_loss: is the mean loss in nats of the batches since the last record, mixed and augmented as they were.
        test_accuracy, test_nll, test_ece: are of the clean test images; NLL in nats, ECE over 15 bins.
        images_per_second: counts training images taken from the data in a second of training.
        training_seconds: adds up the steps, without evaluations and pauses.
        seconds: have passed since the training began, evaluations and pauses included.
        seconds_left: are what the remaining steps take at the present rate, evaluations included.
        reliability: holds what the test numbers come from, for intervals and the diagram.
        tempered_nll, tempered_ece: are test_nll and test_ece after a temperature, each half of the test images by that
            of the other half; unchanged where none can be fitted, and NaN in runs that an older mixlab has stored.
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
    tempered_nll: float = math.nan
    tempered_ece: float = math.nan
