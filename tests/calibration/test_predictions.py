"""Predictions: what is let in, what is kept, and the words for what is not."""

import pytest
import torch
from refusals import refuses

from mixlab.calibration.predictions import Predictions, check_predictions, count_faults

NAN, INF = float("nan"), float("inf")
GOOD, TRUTH = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1])
BOTH = torch.tensor([[INF, -INF], [1.5, -0.5]])
P = Predictions.from_probs(GOOD, TRUTH)
PROBS, LOGITS = Predictions.from_probs, Predictions.from_logits


@pytest.mark.parametrize(
    "refusal",
    [
        (lambda: PROBS(GOOD.log(), TRUTH), ValueError, "probs", ".softmax(-1)", "2 wrong rows: 2 with a negative"),
        (lambda: PROBS(2 * GOOD, TRUTH), ValueError, "probs", "2 wrong rows: 2 with another sum"),
        (lambda: PROBS(NAN * GOOD, TRUTH), ValueError, "probs", "2 wrong rows: 2 with NaN or infinity"),
        (lambda: PROBS(BOTH, TRUTH), ValueError, "probs", "2 wrong rows: 1 with NaN or infinity, 1 with a negative"),
        (lambda: PROBS(GOOD[:0], TRUTH[:0]), ValueError, "probs", "at least one prediction", "[0, 2]"),
        (lambda: PROBS(GOOD[0], TRUTH), ValueError, "probs", "[examples, classes]", "torch.stack([1 - p, p], -1)"),
        (lambda: PROBS(GOOD[:, :1], TRUTH), ValueError, "probs", "at least 2 classes", "[2, 1]"),
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
    ],
)
def test_wrong_predictions(refusal):
    refuses(*refusal)


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
    logits = 5 * torch.randn(200, classes, generator=torch.Generator().manual_seed(0))
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


def test_inputs_are_left_alone():
    probs = GOOD.clone().requires_grad_()
    p = Predictions.from_probs(probs, TRUTH)
    assert not p.probs.requires_grad
    assert torch.equal(probs.detach(), GOOD)
