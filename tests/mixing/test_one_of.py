"""Schedules of mixing: a probability, several mixers of which one is drawn; and batches that are not mixed at all."""

import copy
import pickle

import pytest
import torch
from mixable import batch, net
from scipy import stats
from seeding import seeded
from torch import nn

import mixlab as mx
from mixlab import Mixer, OneOf
from mixlab.mixing.mixer import unmixed
from mixlab.runs.identity import identity
from mixlab.training.gradient_variance import gradient_variance

LEVEL = 1e-6
MIXUP, CUTMIX, NONE = Mixer("mixup", 0.3, 3), Mixer("cutmix", ordered=True, k=2), Mixer("none")
PUZZLE, REGMIXUP = Mixer("puzzle", blocks=2), Mixer("regmixup", k=2)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("variant", ["mixup", "cutmix", "mit", "regmixup", "manifold", "perturbed"])
def test_a_batch_is_mixed_with_the_probability_and_else_passes_once(variant, probability):
    generator, (x, y), mixed = seeded(), batch(), 0
    mixer = Mixer(variant, 1.0, 2, probability=probability)
    for _ in range(300):
        plan = mixer.plan(x, y, generator=generator)
        mixed += plan.variant == variant
        if plan.variant != variant:
            assert (plan.variant, plan.k, plan.layer, plan.decoupled) == ("none", 1, None, False)
            assert torch.equal(plan.apply(x), x)
    assert stats.binomtest(mixed, 300, probability).pvalue > LEVEL


def test_an_unmixed_batch_has_its_own_loss():
    (x, y), model = batch(), net()
    loss = mx.mixed_loss(model, x, y, Mixer("mit", 0.5, 3, probability=0).plan(x, y))
    torch.testing.assert_close(loss, nn.functional.cross_entropy(model(x), y), rtol=1e-12, atol=0)
    assert torch.equal(unmixed(x[:1]).apply(x[:1]), x[:1])


@pytest.mark.parametrize(
    ("weights", "shares"), [(None, [1 / 3, 1 / 3, 1 / 3]), ([1, 0, 3], [0.25, 0, 0.75]), ((0, 0.5, 0), [0, 1, 0])]
)
def test_mixers_are_drawn_by_their_weights(weights, shares):
    generator, x = seeded(), batch()[0]
    mixer = OneOf([MIXUP, CUTMIX, NONE], weights)
    drawn = [mixer.plan(x, generator=generator).variant for _ in range(600)]
    for name, share in zip(("mixup", "cutmix", "none"), shares, strict=True):
        assert stats.binomtest(drawn.count(name), 600, share).pvalue > LEVEL


@pytest.mark.parametrize("mixers", [[MIXUP, CUTMIX, NONE], [PUZZLE, REGMIXUP], [OneOf([CUTMIX]), OneOf([MIXUP])]])
def test_the_plan_is_that_of_the_mixer_drawn_from_the_same_generator(mixers):
    (x, y), model, generator = batch(), net(), seeded()
    for _ in range(10):
        before = generator.clone_state()
        plan = OneOf(mixers).plan(x, y, model=model, generator=generator)
        place = float(torch.rand((), dtype=torch.float64, generator=before))
        expected = mixers[int(place * len(mixers))].plan(x, y, model=model, generator=before)
        assert plan.to_json() == expected.to_json()
        assert torch.equal(generator.get_state(), before.get_state())


def test_it_is_whatever_one_of_its_mixers_is():
    kind = OneOf([MIXUP, Mixer("manifold", layers=["a", "b"]), Mixer("manifold", layers=["b", "c"])]).kind
    assert (kind.mixes_inside, kind.takes_images, kind.needs_model, kind.layers) == (
        True,
        False,
        False,
        ("a", "b", "c"),
    )
    kind = OneOf([PUZZLE, Mixer("perturbed"), Mixer("mit")]).kind
    assert (kind.needs_model, kind.takes_images, kind.two_labels, kind.decouples) == (True, True, False, True)
    assert OneOf([MIXUP, REGMIXUP, Mixer("mit", k=2)]).k == 4


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda mixer: pickle.loads(pickle.dumps(mixer))])
def test_copies_and_what_is_made_of_its_settings_draw_the_same(copied):
    mixer, x = OneOf([MIXUP, OneOf([CUTMIX, NONE], [1, 2])]), batch()[0]
    plans = [one.plan(x, generator=seeded(4)).to_json() for one in (mixer, copied(mixer), OneOf(**mixer.settings))]
    assert plans[0] == plans[1] == plans[2]
    assert repr(eval(repr(mixer))) == repr(mixer) == repr(copied(mixer))


@pytest.fixture(scope="module")
def data() -> mx.Dataset:
    return mx.load("shapes", train_size=64, test_size=20)


def test_it_stands_wherever_a_mixer_does(data):
    mixer = OneOf([MIXUP, Mixer("manifold"), PUZZLE])
    model = mx.models.quick(len(data.classes))
    run = mx.run(copy.deepcopy(model), data, mixer, epochs=1, batch_size=16, progress=False)
    (record,) = mx.fit(copy.deepcopy(model), data, mixer, epochs=1, batch_size=16)
    assert run.settings["variant"] == "one_of"
    assert [stored.id for stored in mx.runs()] == [run.id]
    assert run.history[-1].train_loss == record.train_loss
    assert gradient_variance(model, data, {"a": mixer}, batch_size=8, draws=2)["a"].forwards == 8 * 3
    with pytest.raises(ValueError, match=r"^mixer must mix before the model"):
        mx.MixCollate(mixer)
    x, *_ = mx.MixCollate(OneOf([MIXUP, CUTMIX]))([(torch.rand(3, 8, 8), i) for i in range(4)])
    assert len(x) in (8, 12)
    lone = torch.rand(3, 8, 8)
    assert torch.equal(mx.MixCollate(OneOf([MIXUP, NONE]))([(lone, 1)])[0], lone[None])


def test_a_run_is_named_by_what_matters_of_each_of_its_mixers(data):
    def name(*mixers: Mixer, weights=None) -> object:
        torch.manual_seed(0)
        trainer = mx.fit(mx.models.quick(len(data.classes)), data, OneOf(mixers, weights), epochs=1)
        return identity(trainer)["mixer"]

    assert name(MIXUP, Mixer("none", alpha=0.2)) == name(Mixer("mixup", 0.3, 3), NONE)
    assert name(MIXUP, NONE) != name(NONE, MIXUP)
    assert name(MIXUP, NONE) != name(MIXUP, NONE, weights=[1, 2])
    assert name(MIXUP) != name(Mixer("mixup", 0.3, 3, probability=0.5))


def test_a_sweep_trains_it_beside_variants(data):
    mixers = ["mixup", OneOf([MIXUP, CUTMIX]), OneOf([MIXUP, CUTMIX], [1, 2]), OneOf([MIXUP, CUTMIX])]
    runs = list(mx.sweep({"variant": mixers, "alpha": [0.2, 0.4]}, data, epochs=1, batch_size=32, progress=False))
    assert [run.settings["variant"] for run in runs] == ["mixup", "mixup", "one_of", "one_of"]
    assert mx.run("quick", data, mixers[2], epochs=1, batch_size=32, progress=False).id == runs[3].id != runs[2].id


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.read = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids):
        return self.read(self.embedding(ids).mean(1))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_token_ids_are_mixed_where_a_layer_has_made_numbers_of_them(kind):
    model, y = Words().double(), torch.arange(6) % 4
    ids = torch.randint(0, 50, (6, 12), generator=seeded()).to(kind)
    plan = Mixer("manifold", k=2, layers=["embedding"]).plan(ids, y, generator=seeded())
    own, lam = model.embedding(ids), plan.lam.double()[..., None, None]
    states = lam * own + (1 - lam) * own[plan.partner]
    expected = model.read(states.flatten(0, 1).mean(1))
    torch.testing.assert_close(mx.mixed_logits(model, ids, plan), expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(Mixer("none", k=2).plan(ids).apply(ids), ids.repeat(2, 1))
    for layer in ("input", None):
        with pytest.raises(TypeError, match="token ids are never blended"):
            mx.mixed_logits(model, ids, mx.MixPlan("mixup", plan.partner, plan.lam, plan.lam, layer=layer))
