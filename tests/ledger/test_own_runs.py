"""A user's own runs as evidence: which are taken, which become pairs, and that they move a verdict."""

import pytest
import torch
from made_runs import made_run, made_runs
from seeding import seeded
from tiny_runs import net, tiny_run

import mixlab as mx
from mixlab.data import Split
from mixlab.ledger import Ledger, comparable, points
from mixlab.ledger.effects import agreement, agreement_of_seeds, at_equal_cost, gains_of_models
from mixlab.runs.atlas import Atlas

WAYS = {"none": mx.Mixer("none"), "mixup": mx.Mixer("mixup", alpha=1.0)}
ALONE = (("mixup", 4), ("none", 8))


def shades(count: int) -> Split:
    """Three shades that overlap, so that answers are better than chance, and a temperature can be fitted."""
    labels = torch.arange(count) % 3
    shade = 60 * labels.view(-1, 1, 1, 1) + torch.randint(0, 90, (count, 3, 6, 6), generator=seeded(count))
    return Split(shade.to(torch.uint8), labels)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Three pairs of tiny runs, and runs that are no evidence or have no partner."""
    root = tmp_path_factory.mktemp("own")
    data = mx.Dataset("shades", shades(60), shades(90), ("dark", "gray", "light"))
    runs = [tiny_run(root, data=data, mixer=mixer, seed=seed) for seed in (0, 1, 2) for mixer in WAYS.values()]
    odd = {"probability": mx.Mixer("mixup", probability=0.5), "one of": mx.OneOf(list(WAYS.values()))}
    runs += [tiny_run(root, data=data, mixer=mixer) for mixer in odd.values()]
    alone = {"seed": 3, "learning_rate": 0.05}  # these two differ in the width of their network, too
    return [*runs, *(tiny_run(root, data=data, mixer=WAYS[way], model=net(width=w), **alone) for way, w in ALONE)]


def test_runs_of_usual_mixers_are_taken_with_what_they_share(own):
    taken = comparable(own)
    assert [(run.variant, run.seed) for run in taken] == [
        ("none", 0),
        ("mixup", 0),
        ("none", 1),
        ("mixup", 1),
        ("none", 2),
        ("mixup", 2),
        ("mixup", 3),
        ("none", 3),
    ]
    assert {run.images for run in taken} == {56}  # whole batches of 8
    recipes = [run.made["recipe"] for run in taken]
    assert len({*recipes[:6]}) == 1
    assert len({*recipes}) == 3
    for run, source in zip(taken[:6], own, strict=False):
        assert run.value("accuracy") == pytest.approx(source.history[-1].test_accuracy, abs=1e-6)


def test_they_move_a_verdict_and_count_once(own):
    ledger = Ledger(Atlas([]), own)
    gains = [100 * (own[i + 1].history[-1].test_accuracy - own[i].history[-1].test_accuracy) for i in (0, 2, 4)]
    assert ledger["top1"].interval.value == pytest.approx(sum(gains) / 3)
    recorded = made_runs()
    before, after = Ledger(recorded), Ledger(recorded, own)
    assert after["top1"].interval.n == before["top1"].interval.n + 3
    assert Ledger(after.runs, own)["top1"].interval.n == after["top1"].interval.n
    assert Ledger(Atlas([]), own[:4])["top1"].word == "not measured here"


def test_longer_runs_meet_costlier_ones_and_epochs_without_mixing_cost_less(tmp_path):
    data = mx.Dataset("shades", shades(60), shades(90), ("dark", "gray", "light"))
    costly, longer, until = (
        tiny_run(tmp_path, data=data, mixer=mx.Mixer("mixup", k=k), epochs=epochs, **more)
        for k, epochs, more in ((5, 2, {}), (1, 10, {}), (5, 2, {"mix_until": 1}))
    )
    assert [run.forwards for run in comparable([costly, longer, until])] == [560, 560, 56 * (5 + 1)]
    effects = [
        at_equal_cost(comparable([*runs, longer]), points("accuracy"), "mixup", 5) for runs in ((costly,), (until,))
    ]
    gain = 100 * (costly.history[-1].test_accuracy - longer.history[-1].test_accuracy)
    assert [[each.value for each in own] for own in effects] == [[pytest.approx(gain, abs=1e-4)], []]


def test_an_order_is_that_of_runs_on_the_same_images():
    right = {("none", "a"): (110, 110), ("mixup", "a"): (90, 90), ("cutmix", "b"): (150, 50)}  # on few and many images
    runs = [
        made_run(count, 0.1, 0.1, variant=variant, images=images, made={"digest": digest + str(images)})
        for (variant, digest), counts in right.items()
        for images, count in zip((500, 2000), counts, strict=True)
    ]
    assert [effect.value for effect in agreement(Atlas(runs), points("accuracy"))] == [1]


def test_all_pairs_of_seeds_on_the_same_images_are_one_unit():
    right = {"none": (100, 110, 120), "mixup": (90, 100, 130)}  # of seeds 0, 1 and 2: the last reverses the order
    runs = [
        made_run(count, 0.1, 0.1, variant=variant, seed=seed, made={"digest": digest})
        for digest, seeds in (("a", (0, 1, 2)), ("b", (0, 1)))
        for variant, counts in right.items()
        for seed, count in zip(seeds, counts, strict=False)
    ]
    effects = agreement_of_seeds(Atlas(runs), points("accuracy"))
    assert [effect.value for effect in effects] == [1, -1, -1, 1]
    assert len({effect.unit for effect in effects}) == 2


def test_a_model_trained_by_two_recipes_counts_with_their_mean():
    right = {("vit_tiny", "a"): (100, 120), ("vit_tiny", "b"): (100, 140), ("quick", "c"): (100, 106)}  # none and mixup
    runs = [
        made_run(count, 0.1, 0.1, model=model, variant=variant, made={"recipe": recipe})
        for (model, recipe), counts in right.items()
        for variant, count in zip(("none", "mixup"), counts, strict=True)
    ]
    effects = gains_of_models(Atlas(runs), points("accuracy"), "vit_tiny", "quick")
    assert [effect.value for effect in effects] == [pytest.approx((10 + 20) / 2 - 3)]


def test_a_damaged_run_is_passed_over(own, tmp_path):
    data = mx.Dataset("shades", shades(60), shades(90), ("dark", "gray", "light"))
    tiny_run(tmp_path, data=data, mixer=WAYS["none"])
    (file,) = tmp_path.glob("*/predictions.safetensors")
    file.write_bytes(file.read_bytes()[:-9])
    assert len(comparable([*mx.runs(tmp_path), own[0]])) == 1
