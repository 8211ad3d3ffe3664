"""Reliability against a plain float64 loop; its state, and what it refuses."""

import copy
import math

import numpy as np
import pytest
import torch
from drawn_predictions import confident, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import each_refused, refuses
from textbook import textbook

from mixlab.calibration import reliability as calibration
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import METRICS, Reliability


def rows(n: int, classes: int, sharpness: float, seed: int = 0, dtype: torch.dtype = torch.float64):
    p = sample(n, classes, sharpness, seed, dtype)
    return p.probs, p.labels


def read(rel: Reliability) -> dict[str, float]:
    return {metric: getattr(rel, metric)() for metric in METRICS}


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
    probs, labels = rows(n, classes, sharpness, seed, dtype)
    first = int(cut * n)
    rel = Reliability(n_bins).update(probs[:first], labels[:first])
    rel.merge(Reliability(n_bins).update(probs[first:], labels[first:]))
    assert read(rel) == pytest.approx(textbook(Predictions.from_probs(probs, labels), n_bins), rel=1e-9, abs=1e-12)
    assert rel.count == n


def test_bins_are_numbers_with_nan_where_empty():
    p = confident([0.3, 0.5, 0.9, 1.0], [1, 0, 1, 1])
    bins = Reliability(4).update(p.probs, p.labels).bins()
    assert bins.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert bins.count.tolist() == [0, 2, 0, 2]
    assert bins.count.dtype == torch.int64
    np.testing.assert_allclose(bins.confidence, [np.nan, 0.4, np.nan, 0.95])
    np.testing.assert_allclose(bins.accuracy, [np.nan, 0.5, np.nan, 1.0])


def test_nll_is_infinite_where_the_truth_had_probability_zero():
    rel = Reliability().update(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0]))
    assert rel.nll() == math.inf
    assert rel.interval("nll").low == rel.interval("nll").high == math.inf
    assert rel.brier() == pytest.approx((2 + 0.5) / 2)


def test_merging_leaves_the_other_alone_and_checks_the_bins():
    probs, labels = rows(50, 3, 1.0)
    one, other = Reliability(7).update(probs, labels), Reliability(7).update(probs[:20], labels[:20])
    before = read(other)
    assert one.merge(other).count == 70
    assert read(other) == before
    assert other.count == 20
    assert read(Reliability(7).merge(other)) == before
    assert read(copy.deepcopy(other).merge(Reliability(7))) == before
    refuses(lambda: one.merge(Reliability()), ValueError, "other", "7 bins", "got 15")
    refuses(lambda: one.merge(3), TypeError, "other", "Reliability", "got 3")


def test_an_empty_merge_shares_no_memory():
    probs, labels = rows(10, 3, 1.0)
    source = Reliability().update(probs, labels)
    merged = Reliability().merge(source).update(probs, labels)
    assert (source.count, merged.count) == (10, 20)


def test_inputs_and_gradients_are_left_alone():
    probs, labels = rows(10, 3, 1.0)
    probs.requires_grad_()
    before = probs.detach().clone()
    rel = Reliability().update(probs, labels)
    assert torch.equal(probs, before)
    assert not rel._state.requires_grad


GOOD, TRUTH = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([0, 1])
NAN = float("nan")


@pytest.mark.parametrize(
    ("probs", "labels", "refusal"),
    [
        (GOOD.log(), TRUTH, (ValueError, "probs", ".softmax(-1)", "2 wrong rows: 2 with a negative number")),
        (GOOD, TRUTH + 1, (ValueError, "labels", "0 to 1", "from 1 to 2")),
        (GOOD[:, :0], TRUTH, (ValueError, "probs", "[examples, classes]", "shape [2, 0]")),
        (3 * GOOD[:, 0], TRUTH, (ValueError, "probs", ".sigmoid()", "2 wrong rows: 2 with another sum")),
        (TRUTH[:, None], TRUTH, (TypeError, "probs", "floating-point", "int64")),
        (GOOD[None], TRUTH, (ValueError, "probs", "[examples, classes]", "two [examples]", "shape [1, 2, 2]")),
    ],
)
def test_wrong_input_raises_and_adds_nothing(probs, labels, refusal):
    rel = Reliability().update(GOOD, TRUTH)
    before = read(rel)
    refuses(lambda: rel.update(probs, labels), *refusal)
    assert read(rel) == before
    assert rel.count == 2


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
    refuses(lambda: Reliability(device="meta").update(GOOD, TRUTH), ValueError, "probs", "on meta", "on cpu")
    refuses(lambda: Reliability().update(GOOD, TRUTH.to("meta")), ValueError, "labels", "cpu", "on meta")


@pytest.mark.parametrize("reader", [Reliability.ece, Reliability.bins, lambda rel: rel.interval("ece")])
@pytest.mark.parametrize("empty", [Reliability(), Reliability(device="cpu"), Reliability().update(GOOD[:0], TRUTH[:0])])
def test_nothing_to_read(reader, empty):
    refuses(lambda: reader(empty), ValueError, "this Reliability is empty:", "update(probs, labels)")
    assert empty.count == 0
    assert repr(empty) == "Reliability(n_bins=15, empty)"


def test_repr_tells_the_headline():
    assert repr(Reliability().update(GOOD, TRUTH)) == "Reliability(n=2, accuracy 0.500, ECE 0.700)"


test_wrong_settings = each_refused(
    (lambda: Reliability(0), ValueError, "n_bins", "1 to 10000", "got 0"),
    (lambda: Reliability().interval("ecce"), ValueError, "metric", *METRICS, "did you mean 'ece'?"),
)


def test_drawing_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    Reliability().update(GOOD, TRUTH).interval("ece")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_and_never_waits():
    probs, labels = rows(5000, 10, 1.5)
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
