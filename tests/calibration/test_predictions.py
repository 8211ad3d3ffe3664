"""Predictions: what is let in, what is kept, and the words for what is not."""

import re

import pytest
import torch
from torch import Tensor

from mixlab.calibration.predictions import Predictions, check_predictions, count_faults

NAN, INF = float("nan"), float("inf")
GOOD, TRUTH = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1])
FAULT = "probs must hold probabilities, in rows that sum to 1; for logits call .softmax(-1) first; got "
PROBS = "probs must be a floating-point tensor of probabilities with shape [examples, classes]"
LOGITS = "logits must be a floating-point tensor of logits with shape [examples, classes]"
BINARY = "; for the probability p of class 1 out of two give torch.stack([1 - p, p], -1)"
LABELS = "labels must be a tensor of int64 class labels with shape [batch]"


@pytest.mark.parametrize(
    ("probs", "labels", "error", "message"),
    [
        (GOOD.log(), TRUTH, ValueError, FAULT + "2 wrong rows: 2 with a negative number"),
        (torch.tensor([[0.9, 0.8], [0.9, 0.1]]), TRUTH, ValueError, FAULT + "1 wrong rows: 1 with another sum"),
        (torch.tensor([[NAN, 0.5], [0.9, 0.1]]), TRUTH, ValueError, FAULT + "1 wrong rows: 1 with NaN or infinity"),
        (torch.tensor([[INF, 0.5], [0.9, 0.1]]), TRUTH, ValueError, FAULT + "1 wrong rows: 1 with NaN or infinity"),
        (torch.zeros(2, 2), TRUTH, ValueError, FAULT + "2 wrong rows: 2 with another sum"),
        (
            torch.tensor([[INF, -INF], [1.5, -0.5]]),
            TRUTH,
            ValueError,
            FAULT + "2 wrong rows: 1 with NaN or infinity, 1 with a negative number",
        ),
        (
            GOOD[:0],
            TRUTH[:0],
            ValueError,
            "probs must hold at least one prediction, got a float32 tensor of shape [0, 2]",
        ),
        (GOOD[0], TRUTH, ValueError, PROBS + " and at least 2 classes, got a float32 tensor of shape [2]" + BINARY),
        (
            GOOD[:, :1],
            TRUTH,
            ValueError,
            PROBS + " and at least 2 classes, got a float32 tensor of shape [2, 1]" + BINARY,
        ),
        (GOOD.long(), TRUTH, TypeError, PROBS + ", got an int64 tensor of shape [2, 2]"),
        ([[1.0]], TRUTH, TypeError, PROBS + ", got [[1.0]]"),
        (GOOD, TRUTH + 1, ValueError, "labels must hold class labels from 0 to 1, got labels from 1 to 2"),
        (GOOD, TRUTH - 1, ValueError, "labels must hold class labels from 0 to 1, got labels from -1 to 0"),
        (GOOD, TRUTH[:1], ValueError, "labels must hold one label for each of the 2 examples, got 1 labels"),
        (GOOD, TRUTH.float(), TypeError, LABELS + ", got a float32 tensor of shape [2]"),
        (GOOD, GOOD.long(), TypeError, LABELS + ", got an int64 tensor of shape [2, 2]"),
        (GOOD, [0, 1], TypeError, LABELS + ", got [0, 1]"),
        (
            GOOD,
            TRUTH.to("meta"),
            ValueError,
            "labels must be on the same device as the rest, cpu, got a tensor on meta",
        ),
    ],
)
def test_wrong_probabilities_and_labels(probs, labels, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Predictions.from_probs(probs, labels)


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (torch.tensor([[NAN, 0.5], [INF, 0.1]]), ValueError, "logits must be finite, got 2 rows with NaN or infinity"),
        (GOOD[:0], ValueError, "logits must hold at least one prediction, got a float32 tensor of shape [0, 2]"),
        (GOOD.long(), TypeError, LOGITS + ", got an int64 tensor of shape [2, 2]"),
        (GOOD[0], ValueError, LOGITS + " and at least 2 classes, got a float32 tensor of shape [2]" + BINARY),
    ],
)
def test_wrong_logits(logits, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Predictions.from_logits(logits, TRUTH[: len(logits)])


@pytest.mark.parametrize("classes", ["ab", ["a"], [1, 2]])
def test_wrong_names_of_classes(classes):
    with pytest.raises(ValueError, match=f"^{re.escape(f'classes must be 2 names or None, got {classes!r}')}$"):
        Predictions.from_probs(GOOD, TRUTH, classes)


def test_wrong_rows():
    p = Predictions.from_probs(GOOD, TRUTH)
    message = "rows must choose at least one of 2 predictions, got slice(5, None, None)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        p[5:]
    with pytest.raises(TypeError, match=r"^rows must be a slice, or a tensor of indices or a mask, got 0$"):
        p[0]
    with pytest.raises(ValueError, match="got an int64 tensor of shape"):
        p[torch.tensor(0)]


def test_check_predictions_names_the_argument():
    p = Predictions.from_probs(GOOD, TRUTH)
    assert check_predictions(p) is p
    message = "run must be Predictions, as mx.predict or Predictions.from_logits gives them, got 3"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check_predictions(3, "run")


def test_what_it_holds():
    p = Predictions.from_probs(GOOD.double(), TRUTH, ["cat", "dog"])
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
    logits = 5 * torch.randn(200, classes, generator=torch.Generator().manual_seed(0))
    assert len(Predictions.from_probs(logits.softmax(1).to(dtype), torch.zeros(200, dtype=torch.int64))) == 200


def one_row_of(sum_: float, dtype: torch.dtype, classes: int = 10) -> Tensor:
    row = torch.zeros(1, classes, dtype=dtype)
    row[0, 0], row[0, 1] = 0.5, sum_ - 0.5
    return row


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
    assert count_faults(one_row_of(1 + slack, dtype)).tolist() == [0, 0, faults]


def test_inputs_are_left_alone():
    probs = GOOD.clone().requires_grad_()
    p = Predictions.from_probs(probs, TRUTH)
    assert not p.probs.requires_grad
    assert torch.equal(probs.detach(), GOOD)
