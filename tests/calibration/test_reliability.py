"""Reliability against a plain float64 loop, netcal and torchmetrics."""

import copy
import math
import re
from functools import partial

import netcal.metrics
import numpy as np
import pytest
import torch
from drawn_predictions import sample
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from mixlab.calibration import reliability as calibration
from mixlab.calibration.reliability import METRICS, Reliability


def oracle(probs: np.ndarray, labels: np.ndarray, n_bins: int) -> dict[str, float]:
    """Every metric by the textbook, row by row in float64; the edges are in the dtype of `probs`."""
    edges = np.array([i / n_bins for i in range(n_bins + 1)]).astype(probs.dtype)
    in_bin: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    nll = brier = 0.0
    for row, label in zip(probs, labels, strict=True):
        answer = max(range(len(row)), key=lambda c: row[c])  # the first of equals
        i = next((i for i in range(n_bins) if row[answer] <= edges[i + 1]), n_bins - 1)
        in_bin[i].append((float(row[answer]), answer == label))
        nll += -math.log(row[label]) if row[label] > 0 else math.inf
        brier += sum((float(p) - (c == label)) ** 2 for c, p in enumerate(row))
    n = len(labels)
    result = dict.fromkeys(METRICS, 0.0) | {"nll": nll / n, "brier": brier / n}
    for rows in filter(None, in_bin):
        conf = sum(c for c, _ in rows) / len(rows)
        acc = sum(right for _, right in rows) / len(rows)
        share = len(rows) / n
        result["accuracy"] += share * acc
        result["ece"] += share * abs(acc - conf)
        result["mce"] = max(result["mce"], abs(acc - conf))
        result["overconfidence"] += share * conf * max(conf - acc, 0)
        result["underconfidence"] += share * conf * max(acc - conf, 0)
    return result


def read(rel: Reliability) -> dict[str, float]:
    return {metric: getattr(rel, metric)() for metric in METRICS}


def two_class(conf: list[float], right: list[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Rows of many classes, the first of which has the given confidence; label 0 is right."""
    rest = 20  # so many others that even confidence 0.05 is the largest
    top = torch.tensor(conf, dtype=dtype)[:, None]
    return torch.cat([top, (1 - top).expand(-1, rest) / rest], 1), 1 - torch.tensor(right)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 40),
    classes=st.sampled_from([2, 3, 10, 1000]),
    n_bins=st.integers(1, 30),
    sharpness=st.sampled_from([0.0, 0.3, 1.0, 5.0, 400.0]),  # 0 ties all classes, 400 gives exact ones
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    cut=st.floats(0, 1),
)
def test_metrics_agree_with_a_loop_over_rows(n, classes, n_bins, sharpness, seed, dtype, cut):
    probs, labels = sample(n, classes, sharpness, seed)
    probs = probs.to(dtype)
    first = int(cut * n)
    rel = Reliability(n_bins).update(probs[:first], labels[:first])
    rel.merge(Reliability(n_bins).update(probs[first:], labels[first:]))
    assert read(rel) == pytest.approx(oracle(probs.numpy(), labels.numpy(), n_bins), rel=1e-9, abs=1e-12)
    assert rel.count == n


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_bins", [1, 2, 3, 5, 7, 10, 15, 20, 30])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(n_bins, dtype):
    for i in range(1, n_bins + 1):
        edge = torch.tensor(i / n_bins, dtype=dtype)
        above = torch.nextafter(edge, torch.tensor(2.0, dtype=dtype))
        for value, expected in ((edge, i - 1), (above, min(i, n_bins - 1))):
            probs, labels = two_class([float(value)], [1], dtype)
            if value <= 1 and probs[0].argmax() == 0:
                assert Reliability(n_bins).update(probs, labels).bins().count.argmax() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_edges_are_those_of_the_dtype(dtype):
    probs = torch.tensor([[0.2] * 5, [0.6, 0.4, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=dtype)
    bins = Reliability(5).update(probs, torch.tensor([0, 0, 0])).bins()
    assert bins.count.tolist() == [1, 0, 1, 0, 1]


def test_zero_confidence_cannot_be_but_its_bin_is_the_first():
    edges = torch.arange(1, 5, dtype=torch.float64) / 5
    assert torch.bucketize(torch.zeros(1, dtype=torch.float64), edges) == 0


def test_bins_are_numbers_with_nan_where_empty():
    bins = Reliability(4).update(*two_class([0.3, 0.5, 0.9, 1.0], [1, 0, 1, 1])).bins()
    assert bins.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert bins.count.tolist() == [0, 2, 0, 2]
    assert bins.count.dtype == torch.int64
    np.testing.assert_allclose(bins.confidence, [np.nan, 0.4, np.nan, 0.95])
    np.testing.assert_allclose(bins.accuracy, [np.nan, 0.5, np.nan, 1.0])


def test_ties_take_the_first_class():
    tie = torch.tensor([[0.5, 0.5]])
    assert Reliability().update(tie, torch.tensor([0])).accuracy() == 1
    assert Reliability().update(tie, torch.tensor([1])).accuracy() == 0


def test_known_values():
    rel = Reliability(10).update(*two_class([0.95, 0.95, 0.55, 0.55], [1, 0, 1, 1]))
    assert rel.ece() == pytest.approx((0.45 + 0.45) / 2)
    assert rel.overconfidence() == pytest.approx(0.5 * 0.95 * 0.45)
    assert rel.underconfidence() == pytest.approx(0.5 * 0.55 * 0.45)
    assert rel.mce() == pytest.approx(0.45)


def test_nll_is_infinite_where_the_truth_had_probability_zero():
    rel = Reliability().update(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0]))
    assert rel.nll() == math.inf
    assert rel.interval("nll").low == rel.interval("nll").high == math.inf
    assert rel.brier() == pytest.approx((2 + 0.5) / 2)


def test_agrees_with_netcal_and_torchmetrics_away_from_edges():
    for n_bins, sharpness in ((10, 1.0), (15, 2.0), (15, 0.5)):
        probs, labels = sample(3000, 10, sharpness, seed=n_bins)
        ours = Reliability(n_bins).update(probs, labels)
        assert ours.ece() == pytest.approx(netcal.metrics.ECE(n_bins).measure(probs.numpy(), labels.numpy()), abs=1e-9)
        assert ours.mce() == pytest.approx(netcal.metrics.MCE(n_bins).measure(probs.numpy(), labels.numpy()), abs=1e-9)
        for norm, value in (("l1", ours.ece()), ("max", ours.mce())):
            theirs = multiclass_calibration_error(probs, labels, 10, n_bins=n_bins, norm=norm)
            assert value == pytest.approx(float(theirs), abs=1e-6)


def test_torchmetrics_puts_confidence_one_in_a_bin_of_its_own():
    probs, labels = torch.tensor([[0.05, 0.95], [0.0, 1.0]]), torch.tensor([1, 0])
    assert Reliability(10).update(probs, labels).ece() == pytest.approx(0.475)
    assert netcal.metrics.ECE(10).measure(probs.numpy(), labels.numpy()) == pytest.approx(0.475)
    assert float(multiclass_calibration_error(probs, labels, 2, n_bins=10)) == pytest.approx(0.525)


def test_merging_leaves_the_other_alone_and_checks_the_bins():
    probs, labels = sample(50, 3, 1.0, 0)
    one, other = Reliability(7).update(probs, labels), Reliability(7).update(probs[:20], labels[:20])
    before = read(other)
    assert one.merge(other).count == 70
    assert read(other) == before
    assert other.count == 20
    assert read(Reliability(7).merge(other)) == before
    assert read(copy.deepcopy(other).merge(Reliability(7))) == before
    with pytest.raises(ValueError, match=r"^other must have 7 bins like this Reliability, got 15$"):
        one.merge(Reliability())
    with pytest.raises(TypeError, match=r"^other must be a Reliability, got 3$"):
        one.merge(3)


def test_an_empty_merge_shares_no_memory():
    probs, labels = sample(10, 3, 1.0, 0)
    source = Reliability().update(probs, labels)
    merged = Reliability().merge(source).update(probs, labels)
    assert (source.count, merged.count) == (10, 20)


def test_inputs_and_gradients_are_left_alone():
    probs, labels = sample(10, 3, 1.0, 0)
    probs.requires_grad_()
    before = probs.detach().clone()
    rel = Reliability().update(probs, labels)
    assert torch.equal(probs, before)
    assert not rel._state.requires_grad


LOGITS = "probs must hold probabilities, in rows that sum to 1; for logits call .softmax(-1) first; got "
WANTED = "probs must be a floating-point tensor of probabilities with shape [batch, classes]"
BINARY = "; for the probability p of class 1 out of two give torch.stack([1 - p, p], -1)"
GOOD, TRUTH = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1])
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("probs", "labels", "error", "message"),
    [
        (GOOD.log(), TRUTH, ValueError, LOGITS + "2 wrong rows: 2 with a negative number"),
        (torch.tensor([[2.0, 0.1], [0.9, 0.1]]), TRUTH, ValueError, LOGITS + "1 wrong rows: 1 with another sum"),
        (torch.tensor([[NAN, 0.5], [0.9, 0.1]]), TRUTH, ValueError, LOGITS + "1 wrong rows: 1 with NaN or infinity"),
        (
            torch.tensor([[INF, 0.0], [-0.5, 1.5]]),
            TRUTH,
            ValueError,
            LOGITS + "2 wrong rows: 1 with NaN or infinity, 1 with a negative number",
        ),
        (GOOD, torch.tensor([0, 2]), ValueError, "labels must hold class labels from 0 to 1, got labels from 0 to 2"),
        (GOOD, torch.tensor([-1, 0]), ValueError, "labels must hold class labels from 0 to 1, got labels from -1 to 0"),
        (
            GOOD,
            torch.tensor([0]),
            ValueError,
            "labels must hold one label for each of the 2 examples, got 1 labels",
        ),
        (
            GOOD,
            TRUTH.float(),
            TypeError,
            "labels must be a tensor of int64 class labels with shape [batch], got a float32 tensor of shape [2]",
        ),
        (GOOD[:, 0], TRUTH, ValueError, WANTED + " and at least 2 classes, got a float32 tensor of shape [2]" + BINARY),
        (
            GOOD[:, :1],
            TRUTH,
            ValueError,
            WANTED + " and at least 2 classes, got a float32 tensor of shape [2, 1]" + BINARY,
        ),
        (TRUTH[:, None], TRUTH, TypeError, WANTED + ", got an int64 tensor of shape [2, 1]"),
        ([[0.5, 0.5]], TRUTH, TypeError, WANTED + ", got [[0.5, 0.5]]"),
    ],
)
def test_wrong_input_raises_and_adds_nothing(probs, labels, error, message):
    rel = Reliability().update(GOOD, TRUTH)
    before = read(rel)
    with pytest.raises(error) as caught:
        rel.update(probs, labels)
    assert str(caught.value) == message
    assert read(rel) == before
    assert rel.count == 2


@pytest.mark.parametrize(
    ("dtype", "slack", "allowed"),
    [
        (torch.float64, 0.9e-4, True),
        (torch.float32, 1.5e-4, False),
        (torch.float16, 1.5e-3, True),
        (torch.float16, 4e-3, False),
        (torch.bfloat16, 1.2e-2, True),
        (torch.bfloat16, 3e-2, False),
    ],
)
def test_rounding_of_the_dtype_is_allowed_and_no_more(dtype, slack, allowed):
    probs = torch.tensor([[0.5, 0.5 + slack]], dtype=dtype)
    update = partial(Reliability().update, probs, torch.tensor([0]))
    if allowed:
        assert update().count == 1
    else:
        with pytest.raises(ValueError, match="with another sum"):
            update()


def test_softmax_in_every_dtype_is_taken_for_probabilities():
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        for scale in (0.01, 1.0, 10.0):
            logits = scale * torch.randn(500, 1000, generator=torch.Generator().manual_seed(0))
            assert Reliability().update(logits.softmax(1).to(dtype), torch.zeros(500, dtype=torch.int64)).count == 500


def test_faults_that_could_not_be_looked_at_raise_when_read():
    """As on CUDA: there the fault counts are added to the state unread."""
    rel = Reliability().update(GOOD, TRUTH)
    rel._state = rel._state + calibration._summarize(torch.tensor([[NAN, 0.5], [0.9, 0.1]]), torch.tensor([0, 1]), 15)
    with pytest.raises(ValueError, match=r"got 1 wrong rows: 1 with NaN or infinity$"):
        rel.ece()
    assert repr(rel) == "Reliability(n=4, unreadable: some rows were no probabilities or had no valid label)"
    rel = Reliability()
    rel._state = calibration._summarize(GOOD, torch.tensor([-1, 7]), 15)
    with pytest.raises(ValueError, match=r"^labels must hold class labels from 0 to classes - 1, got 2 outside$"):
        rel.accuracy()


def test_devices_are_not_mixed():
    rel = Reliability(device="meta")
    with pytest.raises(ValueError, match=r"^probs must live on meta like this Reliability, got probs on cpu$"):
        rel.update(GOOD, TRUTH)
    with pytest.raises(ValueError, match=r"^labels must live on cpu like probs, got labels on meta$"):
        Reliability().update(GOOD, TRUTH.to("meta"))


@pytest.mark.parametrize("reader", [Reliability.ece, Reliability.bins, lambda rel: rel.interval("ece")])
@pytest.mark.parametrize("empty", [Reliability(), Reliability(device="cpu"), Reliability().update(GOOD[:0], TRUTH[:0])])
def test_nothing_to_read(reader, empty):
    message = "this Reliability is empty: there is nothing to read before update(probs, labels)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reader(empty)
    assert empty.count == 0
    assert repr(empty) == "Reliability(n_bins=15, empty)"


def test_repr_tells_the_headline():
    assert repr(Reliability().update(GOOD, TRUTH)) == "Reliability(n=2, accuracy 0.500, ECE 0.700)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Reliability(0), ValueError, "n_bins must be an integer from 1 to 10000, got 0"),
        (lambda: Reliability(2.5), TypeError, "n_bins must be an integer from 1 to 10000, got 2.5"),
        (
            lambda: Reliability().interval("ecce"),
            ValueError,
            (
                "metric must be one of 'accuracy', 'ece', 'mce', 'overconfidence', 'underconfidence', 'nll', 'brier', "
                "got 'ecce'; did you mean 'ece'?"
            ),
        ),
        (lambda: Reliability().interval("ece", n=9), ValueError, "n must be an integer from 100 to 1000000, got 9"),
        (
            lambda: Reliability().interval("ece", level=95),
            ValueError,
            "level must be a number from 0.5 to 0.999, got 95",
        ),
        (
            lambda: Reliability().interval("ece", generator=0),
            TypeError,
            "generator must be a torch.Generator or None, got 0",
        ),
    ],
)
def test_wrong_settings(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_drawing_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    Reliability().update(GOOD, TRUTH).interval("ece")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_and_never_waits():
    probs, labels = sample(5000, 10, 1.5, 0)
    on_device, truth = probs.cuda(), labels.cuda()
    Reliability().update(on_device, truth)
    torch.cuda.set_sync_debug_mode("error")
    try:
        rel = Reliability().update(on_device, truth).update(on_device, truth)
        broken = Reliability().update(on_device * 3, truth + 100)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert read(rel) == pytest.approx(read(Reliability().update(probs, labels).update(probs, labels)), rel=1e-9)
    with pytest.raises(ValueError, match="5,000 wrong rows: 5,000 with another sum"):
        broken.ece()
