"""Predictions: what is let in, what is kept, and the words for what is not."""

import math

import numpy as np
import pytest
import torch
from refusals import each_refused, refuses
from seeding import seeded
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error

from mixlab.calibration.calibration_error import calibration_error, classwise_error
from mixlab.calibration.estimators import estimates
from mixlab.calibration.inputs import count_faults
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.recalibration import fit_isotonic, fit_temperature, fit_vector_scaling
from mixlab.calibration.reliability import Reliability
from mixlab.calibration.scores import brier, nll

NAN, INF = float("nan"), float("inf")
GOOD, TRUTH = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1])
BOTH = torch.tensor([[INF, -INF], [1.5, -0.5]])
P = Predictions.from_probs(GOOD, TRUTH)
PROBS, LOGITS = Predictions.from_probs, Predictions.from_logits


test_wrong_predictions = each_refused(
    (lambda: PROBS(GOOD.log(), TRUTH), ValueError, "probs", ".softmax(-1)", "2 wrong rows: 2 with a negative"),
    (lambda: PROBS(2 * GOOD, TRUTH), ValueError, "probs", "2 wrong rows: 2 with another sum"),
    (lambda: PROBS(NAN * GOOD, TRUTH), ValueError, "probs", "2 wrong rows: 2 with NaN or infinity"),
    (lambda: PROBS(BOTH, TRUTH), ValueError, "probs", "2 wrong rows: 1 with NaN or infinity, 1 with a negative"),
    (lambda: PROBS(GOOD[:0], TRUTH[:0]), ValueError, "probs", "at least one prediction", "none"),
    (lambda: PROBS(GOOD[None], TRUTH), ValueError, "probs", "[examples, classes]", "[1, 2, 2]"),
    (lambda: LOGITS(GOOD[:, :0], TRUTH), ValueError, "logits", "two [examples]", "[2, 0]"),
    (lambda: PROBS(3 * GOOD[:, :1], TRUTH), ValueError, "probs", ".sigmoid()", "2 wrong rows: 2 with another sum"),
    (lambda: PROBS(-GOOD[:, 0], TRUTH), ValueError, "probs", "2 wrong rows: 2 with a negative number"),
    (lambda: LOGITS([1.0, 2.0], TRUTH), TypeError, "logits", "tensor or array of logits", "got [1.0, 2.0]"),
    (lambda: PROBS(GOOD[:, 0], TRUTH.float()), TypeError, "labels", "other integer types", ".long()", "float32"),
    (
        lambda: PROBS(GOOD, np.array(["a", "b"] * 9)),
        TypeError,
        "labels",
        "int64",
        "a NumPy array of <U1 and shape [18]",
    ),
    (lambda: PROBS(GOOD, np.array([1, -1])), ValueError, "labels", "0 to 1", "from -1 to 1"),
    (lambda: PROBS(GOOD.long(), TRUTH), TypeError, "probs", "floating-point", "int64"),
    (lambda: PROBS(GOOD, TRUTH + 1), ValueError, "labels", "0 to 1", "from 1 to 2"),
    (lambda: PROBS(GOOD, TRUTH.to("meta")), ValueError, "labels", "cpu", "on meta"),
    (lambda: LOGITS(GOOD / torch.tensor([1, 0]), TRUTH), ValueError, "logits", "finite", "2 rows"),
    (lambda: PROBS(GOOD, TRUTH, "ab"), ValueError, "classes", "2 names", "'ab'"),
    (lambda: PROBS(GOOD, TRUTH, [1, 2]), ValueError, "classes", "2 names", "[1, 2]"),
    (lambda: P[5:], ValueError, "rows", "one of 2 predictions", "slice(5, None, None)"),
    (lambda: P[0], TypeError, "rows", "slice", "mask", "got 0"),
    (lambda: P[torch.tensor(0)], ValueError, "rows", "at least one", "an int64 tensor of shape []"),
    (lambda: check_predictions(3, "run"), TypeError, "run", "Predictions", "got 3"),
)


def test_what_it_holds():
    p = Predictions.from_probs(GOOD.double(), TRUTH, ["cat", "dog"])
    assert check_predictions(p) is p
    assert (len(p), p.num_classes, p.classes) == (2, 2, ("cat", "dog"))
    assert p.confidence.tolist() == pytest.approx([0.5, 0.9])
    assert p.confidence.dtype == torch.float64
    assert p.answer.tolist() == [0, 0]  # the first of equals
    assert p.correct.tolist() == [True, False]
    torch.testing.assert_close(p.logits, GOOD.double().log())
    assert repr(p) == "Predictions(2 of 2 classes, accuracy 0.500)"
    assert p[torch.tensor([False, True])].correct.tolist() == [False]
    assert p[:1].labels.tolist() == [0]
    assert p.cpu().classes == ("cat", "dog")


def test_logits_are_kept_and_infinite_where_a_probability_is_zero():
    logits = torch.tensor([[1000.0, 0.0], [0.0, 3.0]])
    p = Predictions.from_logits(logits.half(), TRUTH)
    assert p.probs.dtype == torch.float32
    torch.testing.assert_close(p.probs, logits.softmax(1))
    torch.testing.assert_close(p[1:].logits, logits[1:])
    assert Predictions.from_probs(p.probs, TRUTH).logits[0, 1] == -INF


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_softmax_in_every_dtype_is_let_in(dtype, classes):
    logits = 5 * torch.randn(200, classes, generator=seeded())
    assert len(Predictions.from_probs(logits.softmax(1).to(dtype), torch.zeros(200, dtype=torch.int64))) == 200


@pytest.mark.parametrize(
    ("dtype", "slack", "faults"),
    [
        (torch.float64, 0.9e-4, 0),
        (torch.float64, 1.1e-4, 1),
        (torch.float32, 0.9e-4, 0),
        (torch.float32, -1.5e-4, 1),
        (torch.float16, 1.5e-3, 0),
        (torch.float16, 4e-3, 1),
        (torch.bfloat16, 1.2e-2, 0),
        (torch.bfloat16, 3e-2, 1),
    ],
)
def test_faults_are_counted_by_kind(dtype, slack, faults):
    row = torch.tensor([[0.5, 0.5 + slack, 0, 0]], dtype=dtype)
    assert count_faults(row).tolist() == [0, 0, faults]


Z = 3 * torch.randn(2000, generator=seeded())
Y = (torch.rand(2000, generator=seeded(1)) < Z.sigmoid()).long()  # calibrated


@pytest.mark.parametrize(
    "binary",
    [
        lambda: LOGITS(Z, Y),
        lambda: LOGITS(Z[:, None], Y[:, None].bool()),
        lambda: LOGITS(Z.numpy()[::-1], Y.flip(0).numpy().astype(np.uint8)),
        lambda: LOGITS(Z.double().numpy().astype(">f8"), Y.numpy().astype(">i2")),
        lambda: LOGITS(torch.stack([torch.zeros_like(Z), Z], 1), Y),
        lambda: PROBS(Z.sigmoid(), Y.int()),
        lambda: PROBS(Z.double().sigmoid().numpy()[:, None], Y.numpy()[:, None]),
        lambda: PROBS(torch.stack([1 - Z.sigmoid(), Z.sigmoid()], 0).T, torch.stack([Y, Y], 1)[:, 1]),
    ],
)
def test_class_1_of_two_as_tensors_and_arrays(binary):
    p = binary()
    assert (len(p), p.num_classes, p.labels.dtype) == (2000, 2, torch.int64)
    assert float(p.correct.double().mean()) == accuracy_score(Y, Z > 0)
    assert nll(p) == pytest.approx(log_loss(Y, Z.double().sigmoid()), rel=1e-5)
    assert brier(p) / 2 == pytest.approx(brier_score_loss(Y, Z.sigmoid()), rel=1e-5)
    assert calibration_error(p) == pytest.approx(0.014, abs=5e-4)
    assert fit_temperature(p).value == pytest.approx(0.996, abs=5e-4)
    ours = calibration_error(PROBS(p.confidence.numpy(), p.correct.numpy()))
    assert ours == pytest.approx(calibration_error(p), abs=1e-6)
    theirs = binary_calibration_error(Z.double().sigmoid(), Y, 15)
    assert classwise_error(p) == pytest.approx(float(theirs), abs=1e-6)


def test_zeros_of_a_forest_forbid_only_what_takes_their_logarithm():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(600, 4)), random.integers(0, 3, 600).astype(np.int8)
    said = RandomForestClassifier(5, random_state=0).fit(x[:300], y[:300]).predict_proba(x[300:])
    p = PROBS(said, y[300:])
    assert (said[np.arange(300), y[300:]] == 0).any()
    for name, interval in estimates(p, n=100).items():
        assert interval.low <= interval.value <= interval.high, name
        assert math.isinf(interval.value) == (name == "nll"), name
    assert brier(p) == pytest.approx(brier_score_loss(y[300:], said, labels=[0, 1, 2], scale_by_half=False))
    assert Reliability().update(said, y[300:]).ece() == pytest.approx(calibration_error(p))
    assert len(p[np.arange(3)]) == len(p[np.arange(300) < 3]) == 3
    for call in (fit_temperature, fit_vector_scaling):
        refuses(lambda call=call: call(p), ValueError, "predictions", "probability", "from_logits")
    assert math.isinf(fit_isotonic(p).nll_before)


def test_inputs_are_left_alone():
    probs = GOOD.clone().requires_grad_()
    p = Predictions.from_probs(probs, TRUTH)
    assert not p.probs.requires_grad
    assert torch.equal(probs.detach(), GOOD)
