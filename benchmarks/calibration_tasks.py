"""Ours and every peer's measure of calibration as calls, each from probabilities and labels to a number."""

import importlib.util
from collections.abc import Callable

import harness
import torch
from torch import Tensor

from mixlab.calibration.calibration_error import calibration_error, classwise_error
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.rejection import aurc
from mixlab.calibration.scores import brier, nll
from mixlab.calibration.smooth import smooth_error

BINS = 15
Peer = tuple[str, str]  # distribution, and what of it is called
Tasks = dict[str, harness.Task]
OUT = "validate_args=False"  # what a call says that leaves its checks out


def draw(rows: int, classes: int) -> tuple[Tensor, Tensor]:
    """Over-confident float32 predictions: labels follow the logits, confidences their double."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(rows, classes, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits.mul_(2).softmax(1), labels


def ours(probs: Tensor, labels: Tensor, make: Callable[..., Predictions] = Predictions.from_probs) -> Tasks:
    """Metric -> our task; `make` is Predictions itself to leave the checks out."""
    measures: dict[str, Callable[[Predictions], object]] = {
        "ECE": lambda p: calibration_error(p, n_bins=BINS),
        "L2": lambda p: calibration_error(p, norm="l2", n_bins=BINS),
        "MCE": lambda p: calibration_error(p, norm="max", n_bins=BINS),
        "ECE, equal mass": lambda p: calibration_error(p, bins="mass", n_bins=BINS),
        "classwise": lambda p: classwise_error(p, n_bins=BINS),
        "smooth": smooth_error,
        "NLL": nll,
        "Brier": brier,
        "AURC": aurc,
    }
    return {name: lambda measure=measure: measure(make(probs, labels)) for name, measure in measures.items()}


def unchecked(peer: Peer) -> bool:
    """Whether a peer's call looks at no values before it starts: relplot's never does."""
    return peer[0] == "relplot" or OUT in peer[1]


def theirs(probs: Tensor, labels: Tensor) -> dict[str, dict[Peer, harness.Task]]:
    """Metric -> peer -> its task."""
    found: dict[str, dict[Peer, harness.Task]] = {name: {} for name in ours(probs, labels)}
    makers = {"netcal": _netcal, "torchmetrics": _torchmetrics, "relplot": _relplot, "sklearn": _scikit_learn}
    for module, make in (makers | {"torch_uncertainty": _torch_uncertainty}).items():
        if importlib.util.find_spec(module):
            for (metric, *peer), task in make(probs, labels).items():
                found[metric][peer[0], peer[1]] = task
    return found


Found = dict[tuple[str, str, str], harness.Task]  # metric, distribution, call -> task


def _top(task: Callable[..., object], probs: Tensor, labels: Tensor, **given: int) -> harness.Task:
    """A call on the confidences and the hits, which are made in it."""
    array, truth = probs.numpy(), labels.numpy()
    return lambda: task(array.max(1).astype(float), (array.argmax(1) == truth).astype(float), **given)


def _netcal(probs: Tensor, labels: Tensor) -> Found:
    from netcal.metrics import ECE, MCE

    mass = f"ECE({BINS}, equal_intervals=False)"
    metrics = {
        ("ECE", f"ECE({BINS})"): ECE(BINS),
        ("MCE", f"MCE({BINS})"): MCE(BINS),
        ("ECE, equal mass", mass): ECE(BINS, False),
    }
    # given all classes, netcal raises where a class has no label
    return {(name, "netcal", call): _top(metric.measure, probs, labels) for (name, call), metric in metrics.items()}


def _torchmetrics(probs: Tensor, labels: Tensor) -> Found:
    from torchmetrics.functional.classification import multiclass_calibration_error as error

    given, found = {"num_classes": probs.shape[1], "n_bins": BINS}, {}
    for name, norm in (("ECE", "l1"), ("L2", "l2"), ("MCE", "max")):
        for checks in (True, False):
            call = f"multiclass_calibration_error, norm={norm!r}" + f", {OUT}" * (not checks)
            found[name, "torchmetrics", call] = lambda norm=norm, checks=checks: error(
                probs, labels, norm=norm, validate_args=checks, **given
            )
    return found


def _relplot(probs: Tensor, labels: Tensor) -> Found:
    from relplot.metrics import binnedECE, smECE

    return {
        ("ECE", "relplot", "binnedECE"): _top(binnedECE, probs, labels, nbins=BINS),
        ("smooth", "relplot", "smECE"): _top(smECE, probs, labels),
    }


def _scikit_learn(probs: Tensor, labels: Tensor) -> Found:
    from sklearn.metrics import log_loss

    array, truth, classes = probs.numpy(), labels.numpy(), range(probs.shape[1])
    return {("NLL", "scikit-learn", "log_loss"): lambda: log_loss(truth, array, labels=classes)}


def _torch_uncertainty(probs: Tensor, labels: Tensor) -> Found:
    from torch_uncertainty import metrics as tu

    classes = probs.shape[1]
    many = {"task": "multiclass", "num_classes": classes, "num_bins": BINS}
    makers: dict[tuple[str, str], Callable[[], Callable[..., object]]] = {
        ("ECE", "CalibrationError"): lambda: tu.CalibrationError(**many),
        ("ECE, equal mass", "AdaptiveCalibrationError"): lambda: tu.AdaptiveCalibrationError(**many),
        ("classwise", "ClasswiseCalibrationError"): lambda: tu.ClasswiseCalibrationError(
            num_classes=classes, num_bins=BINS
        ),
        ("smooth", "SmoothCalibrationError, kernel_type='reflected'"): lambda: tu.SmoothCalibrationError(
            kernel_type="reflected"
        ),
        ("NLL", "CategoricalNLL"): tu.CategoricalNLL,
        ("Brier", "BrierScore"): lambda: tu.BrierScore(num_classes=classes),
        ("AURC", "AURC"): tu.AURC,
    }
    return {
        (name, "torch-uncertainty", call): lambda make=make: make()(probs, labels)
        for (name, call), make in makers.items()
    }
