"""The verdict on one claim: each word, the groups, what would decide it; and the level of the whole ledger."""

import math
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from made_runs import made_runs
from scipy import stats

from mixlab.ledger import CLAIMS, Ledger
from mixlab.ledger.claim import Effect
from mixlab.ledger.verdict import judged
from mixlab.runs.atlas import Atlas

TOP1 = next(claim for claim in CLAIMS if claim.key == "top1")  # 0.5 to 2
EXACT = next(claim for claim in CLAIMS if claim.exact)


def effects(values, **at):
    return [Effect(value, {"seed": seed, **at}) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "word", "says"),
    [
        ([1.0, 1.1, 1.2, 1.1], "supported", "in the claimed range"),
        ([4.0, 4.1, 4.2, 4.1], "refuted", "above the claimed range"),
        ([0.0, 0.1, 0.2, 0.1], "refuted", "below the claimed range"),
        ([-3.0, 0.1, 4.2, 4.1], "undecided", "pairs would decide"),
        ([0.5 - 1e-9, 0.5, 0.5 + 1e-9], "undecided", "pairs would decide"),
        ([1.0, 1.0, 1.0], "undecided", "All pairs give the same number"),
        ([1.1, 1.2], "not measured here", "three pairs"),
        ([], "not measured here", "three pairs"),
    ],
)
def test_the_interval_beside_the_range_gives_the_word(values, word, says):
    verdict = judged(TOP1, effects(values), 0.95)
    assert (verdict.word, verdict.title) == (word, word)
    assert says in verdict.why
    assert (verdict.interval is None) == (len(values) < 3)


def test_pairs_that_agree_to_the_bit_are_told_as_one_number():
    quantity = TOP1.quantity
    assert judged(TOP1, effects([-4.0] * 3), 0.95).measured == f"−4.00 {quantity} in each of n = 3"
    assert judged(TOP1, effects([-4.0, -4.0, -1.0]), 0.95).measured.endswith(f"{quantity}, n = 3")


def test_it_says_where_it_holds():
    mixed = effects([1.0, 1.1, 1.2], epochs=10, data="a") + effects([7.0, 7.1, 7.2], epochs=30, data="a")
    verdict = judged(TOP1, mixed, 0.95)
    assert (verdict.word, verdict.title) == ("holds only where", "holds only where epochs = 10")
    assert (verdict.holds, verdict.fails) == (("epochs = 10",), ("epochs = 30",))
    assert "fails where epochs = 30" in verdict.why
    assert judged(TOP1, effects([1.0, 1.1, 1.2], epochs=10), 0.95).holds == ()


def test_effects_that_share_a_run_count_once():
    shared = [
        Effect(value, {"seed": seed, "alpha": alpha}) for seed in range(3) for alpha, value in ((1, seed), (2, 6))
    ]
    verdict = judged(TOP1, shared, 0.95)
    means = [fmean((seed, 6)) for seed in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=fmean(means), scale=stats.sem(means))
    assert verdict.interval.n == 3
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((low, high))
    assert (verdict.over_settings, verdict.beyond) == (None, "")
    low, _ = stats.t.interval(1 - 0.05 / 2, 2, loc=1, scale=stats.sem([0, 1, 2]))  # two groups share the level
    assert verdict.groups["α = 1"].low == pytest.approx(low)


def test_settings_may_differ_more_than_seeds():
    """Twelve pairs are decided, and the four settings that they are of are not, taken as drawn from many."""
    apart = [each for place in range(4) for each in effects([0.9 + place, 1.0 + place, 1.1 + place], epochs=place)]
    claim = replace(TOP1, low=0.0, high=math.inf)
    verdict = judged(claim, [replace(each, value=each.value - 0.9) for each in apart], 0.95)
    low, high = stats.t.interval(0.95, 3, loc=1.6, scale=stats.sem(range(4)))
    assert (verdict.word, verdict.interval.n) == ("supported", 12)
    assert (verdict.beyond, verdict.over_settings.n) == ("undecided", 4)
    assert (verdict.over_settings.low, verdict.over_settings.high) == pytest.approx((low, high))
    assert "one number:</b> 1.60 [" in verdict.entry()
    narrow = judged(claim, apart, 1 - 1e-4)  # four settings share even that
    assert narrow.groups["epochs = 0"].level == pytest.approx(1 - 1e-4 / 4, abs=1e-9)


def test_what_would_decide_is_the_least_number_that_does():
    values = [-1.0, 0.2, 0.9, 3.5, 2.0]
    words = judged(TOP1, effects(values), 0.98).why
    count = int(words.split("About ")[1].split(" ")[0])
    edge = min(abs(fmean(values) - end) for end in (0.5, 2.0))
    half = [stats.t.ppf(0.99, n - 1) * stdev(values) / math.sqrt(n) for n in (count - 1, count)]
    assert half[1] < edge <= half[0]
    assert "Not even 10,000 pairs" in judged(TOP1, effects([0.0, 0.5, 1.0]), 0.95).why


def test_an_exact_claim_and_an_unfair_comparison():
    assert EXACT.claimed == "0"
    refuted, supported = (judged(EXACT, effects([number] * 3), 0.95) for number in (400.0, 0.0))
    assert (refuted.word, supported.word) == ("refuted", "supported")
    assert "chance has no part" in refuted.why
    both = effects([1.0, 1.1, 1.2, 1.1], data="a") + effects([7.0, 7.1, 7.2, 7.1], data="b")
    for fair, words in ((True, ("supported", "holds only where")), (False, ("undecided", "undecided"))):
        held = [replace(effect, fair=fair) for effect in both]
        assert (judged(TOP1, held[:4], 0.95).word, judged(TOP1, held, 0.95).word) == words


SIGNS = {"linear": 1, "smooth": 1, "flat": 1, "fgsm": 1, "pgd": 1, "occlusion": 1, "corruption": 1, "variance": 1}


@pytest.mark.parametrize("spread", [0.02, 0.3, 3.0])
def test_the_level_is_that_of_benjamini_and_hochberg(spread):
    measured = {
        key: [place + spread * (seed - 1.5) + 0.01 * seed**2 for seed in range(4)]
        for place, key in zip((0.05, -0.2, 0.4, -0.7, 1.0, -1.3, 0.0, 2.0), SIGNS, strict=True)
    }
    ledger = Ledger(Atlas([]), measured=measured)
    p_values = [stats.ttest_1samp(values, 0).pvalue for values in measured.values()]
    expected = {key for key, p in zip(measured, stats.false_discovery_control(p_values), strict=True) if p <= 0.05}
    decided = {key for key in measured if ledger[key].word in ("supported", "refuted")}
    assert decided == expected
    assert ledger.level == pytest.approx(1 - 0.05 * max(len(expected), 1) / len(measured))
    assert all(ledger[key].interval.level == ledger.level for key in measured)


def test_a_ledger_of_chance_decides_hardly_anything():
    words = ("supported", "refuted", "holds only where")
    decided = [sum(v.word in words for v in Ledger(made_runs(seed)).values()) for seed in range(3)]
    ranged = 2  # ECE's and top-1's ranges leave out 0, which is the truth here
    assert all(count <= ranged + 2 for count in decided), decided


def test_what_was_measured_after_several_lengths_is_told_by_length():
    by_epochs = {100: [2.9, 15.6, 28.3, 9.0, 12.0, 20.0], 300: [-3.0, -2.1, -2.5, -2.0, -1.9, -2.2]}
    verdict = Ledger(Atlas([]), measured={"exact-inputs": by_epochs}, rate=0.1)["exact-inputs"]
    assert (verdict.title, verdict.interval.n) == ("holds only where epochs = 100", 12)
    assert verdict.groups["epochs = 300"].value == pytest.approx(fmean(by_epochs[300]))
    few = Ledger(Atlas([]), measured={"exact-inputs": {300: by_epochs[300]}})["exact-inputs"]
    assert (few.word, few.groups) == ("refuted", {})
