"""The laws every variant keeps, its own settings, and a new one that is a class and a line in KINDS."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seeding import seeded
from torch import Tensor, nn

from mixlab import Mixed, Mixer, MixPlan, mixed_logits, mixed_loss
from mixlab.mixing import PARTNERS
from mixlab.mixing.variants import KINDS, Request, Variant
from mixlab.mixing.ways import Mask

LEVEL = 1e-6  # of each statistical test
BATCH, SIDE, CLASSES = 6, 8, 4
OWN_LOSS = [name for name, kind in KINDS.items() if kind.decouples or not kind.two_labels]
MIXING_FIRST = [name for name, kind in KINDS.items() if not (kind.mixes_inside or name in OWN_LOSS)]
PAIRING = [name for name, kind in KINDS.items() if kind.pairs]
FOLLOWING = [name for name, kind in KINDS.items() if kind.label_follows_pixels]


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(BATCH, 3, SIDE, SIDE, generator=seeded(1)), torch.arange(BATCH) % CLASSES


def net() -> nn.Module:
    """A small network with no two pixels alike to it, and the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        conv, head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * SIDE * SIDE, CLASSES)
        return nn.Sequential(conv, nn.Tanh(), nn.Flatten(), head)


def plan_of(variant: str, *, seed: int = 0, **settings) -> MixPlan:
    """A plan of three mixes by this variant, which is handed a model where it needs one."""
    x, y = batch()
    model = net() if KINDS[variant].needs_model else None
    return Mixer(variant, k=3, **settings).plan(x, y, model=model, generator=seeded(seed))


def share_kept(plan: MixPlan) -> Tensor:
    """[K, B] the mean weight of each example in its mixes, found by mixing an image of ones with partners of zeros."""
    pairs = torch.eye(plan.batch)[:, :, None, None].expand(-1, -1, SIDE, SIDE)  # channel i is 1 in image i alone
    mixed = plan.apply(pairs).view(plan.k, plan.batch, plan.batch, SIDE, SIDE).double().mean((-1, -2))
    return mixed.diagonal(dim1=1, dim2=2)


@given(
    variant=st.sampled_from(list(KINDS)),
    seed=st.integers(0, 2**31),
    n=st.integers(2, 8),
    k=st.integers(1, 4),
    shared_lam=st.booleans(),
    ordered=st.booleans(),
    partners=st.sampled_from(list(PARTNERS)),
    distinct=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.uint8, torch.bfloat16]),
)
@settings(max_examples=150, deadline=None)
def test_every_mixer_keeps_its_promises(variant, seed, n, k, shared_lam, ordered, partners, distinct, dtype):
    n += n % 2 if distinct and partners == "reversed" else 0
    kind, model = KINDS[variant], net().to(torch.float32 if dtype == torch.uint8 else dtype)
    x, y = torch.rand(n, 3, SIDE, SIDE, generator=seeded(seed)), torch.arange(n) % CLASSES
    x = (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
    before, random = [part.clone() for part in (x, y, *model.parameters())], torch.get_rng_state()
    settings = {"shared_lam": shared_lam, "partners": partners, "distinct": distinct}
    look = {"model": model, "normalize": (0.5, 0.25)} if kind.needs_model else {}
    mixer = Mixer(variant, 0.5, k, ordered=ordered, **settings)
    plan = mixer.plan(x, y, generator=seeded(seed), **look)
    assert (plan.k, plan.lam.dtype) == (kind.rows(k), torch.float32)
    replace(plan)  # what MixPlan(...) demands of its parts holds of those that are drawn, which are not looked at
    assert torch.equal(plan.partner.sort().values, torch.arange(n))  # everyone is a partner once
    if kind.pairs:
        assert not (distinct and torch.any(plan.partner == torch.arange(n)))
        assert plan.rolled == (partners == "roll")
        fixed = {"roll": torch.arange(n).roll(1), "reversed": torch.arange(n).flip(0)}
        assert torch.equal(plan.partner, fixed.get(partners, plan.partner))
    free = Mixer(variant, 0.5, k, **settings).plan(x, y, generator=seeded(seed), **look)
    if shared_lam:
        assert torch.equal(free.nominal, free.nominal[:, :1].expand(free.k, n))
        if free.box is not None and not kind.needs_model:  # who looks at images puts each box where it belongs
            assert torch.equal(free.box, free.box[:, :1].expand(free.k, n, 4))
    assert plan.to_json() == (free.ordered() if ordered else free).to_json()
    assert not ordered or torch.all(plan.lam.diff(dim=0) <= 0)
    if variant in MIXING_FIRST:
        if kind.needs_model and dtype == torch.uint8:  # a model is not shown gray levels
            mixed = Mixed(plan.apply(x), *plan.labels(y), plan)
        else:
            mixed = mixer(x, y, model=look.get("model"), generator=seeded(seed))
        assert (mixed.x.shape, mixed.x.dtype) == ((plan.k * n, *x.shape[1:]), dtype)
        assert torch.equal(mixed.x, mixed.plan.apply(x))
        # k-major: the whole batch for the first λ, then for the second
        assert torch.equal(mixed.y_a.view(plan.k, n), y.expand(plan.k, n))
        assert torch.equal(mixed.y_b.view(plan.k, n), y[mixed.plan.partner].expand(plan.k, n))
        assert torch.equal(mixed.lam.view(plan.k, n), mixed.plan.lam)
    assert all(torch.equal(one, other) for one, other in zip(before, (x, y, *model.parameters()), strict=True))
    assert (x._version, y._version, x.grad, x.requires_grad, model.training) == (0, 0, None, False, True)
    assert all(part.grad is None for part in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("variant", FOLLOWING)
@pytest.mark.parametrize("shared", [False, True])
def test_lambda_is_the_mean_share_of_the_examples_own_pixels(variant, shared):
    # moved blocks keep their number, so only where the mask shows them matters: the image of ones has no places
    plan = plan_of(variant, shared_lam=shared, distinct=KINDS[variant].pairs)
    torch.testing.assert_close(share_kept(plan), plan.lam.double(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("variant", PAIRING)
def test_each_of_k_mixes_has_a_lambda_of_its_own(variant):
    plan = plan_of(variant)
    assert plan.to_json() != plan_of(variant, seed=1).to_json()
    clean = variant == "regmixup"
    for k in range(plan.k):
        assert (len(set(plan.nominal[k].tolist())) > 1) is not (clean and k == 0)
        assert not torch.equal(plan.nominal[k], plan.nominal[(k + 1) % plan.k])
        if KINDS[variant].label_follows_pixels:
            assert not torch.equal(plan.lam[k], plan.lam[(k + 1) % plan.k])


@pytest.mark.parametrize("variant", [name for name, kind in KINDS.items() if not kind.needs_model])
def test_a_model_changes_nothing_for_what_does_not_look_at_it(variant):
    x, y = batch()
    plan = Mixer(variant).plan(x, y, model=net(), generator=seeded())
    assert plan.to_json() == Mixer(variant).plan(x, generator=seeded()).to_json()


@pytest.mark.parametrize("variant", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_plan_is_cross_entropy_against_its_targets(variant, smoothing):
    x, y = batch()
    model, plan = net(), plan_of(variant, layers=["0"]) if variant == "manifold" else plan_of(variant)
    normalize = (0.5, 0.25)
    logits = mixed_logits(model, x, plan, normalize=normalize).double()
    assert logits.shape == (plan.k * BATCH, CLASSES)
    expected = nn.functional.cross_entropy(logits, plan.targets(y, CLASSES).double(), label_smoothing=smoothing)
    for clean_loss in (None, torch.tensor(3.0)):
        plan = replace(plan, clean_loss=clean_loss)
        loss = mixed_loss(model, x, y, plan, normalize=normalize, label_smoothing=smoothing)
        torch.testing.assert_close(loss.double(), expected + (clean_loss or 0), rtol=1e-5, atol=1e-6)


def test_settings_go_to_the_variant_and_its_name_shows_those_that_were_changed():
    assert repr(Mixer("manifold", 2)) == "Mixer('manifold', alpha=2, k=1)"
    mixer = Mixer("manifold", 2, layers=["input", "stage3"])
    assert mixer.kind.layers == ("input", "stage3")
    assert repr(mixer) == "Mixer('manifold', alpha=2, k=1, layers=('input', 'stage3'))"
    layers = ["stage2"]
    mixer = Mixer("manifold", layers=layers)
    layers.append("stage9")  # the caller's list stays the caller's
    assert mixer.kind.layers == ("stage2",)
    assert mixer.plan(batch()[0]).layer == "stage2"


def test_manifold_draws_each_layer_equally_often_and_one_for_the_batch():
    x, generator, mixer = torch.empty(2, 1), seeded(), Mixer("manifold", k=3)
    drawn = [mixer.plan(x, generator=generator).layer for _ in range(1500)]
    assert set(drawn) == {"input", "stage1", "stage2"}
    for layer in set(drawn):
        assert stats.binomtest(drawn.count(layer), 1500, 1 / 3).pvalue > LEVEL
    follows = sum(one == other == "input" for one, other in pairwise(drawn))
    assert stats.binomtest(follows, 1499, 1 / 9).pvalue > 1e-9  # pairs overlap, so that this is not quite binomial


@dataclass(frozen=True)
class Halves(Variant):
    """A new variant: each block of a mask is the example's or its partner's, by the toss of a coin."""

    blocks: int = 2

    name = "halves"
    about = "a coin is tossed for each block (nobody, never)"

    def draw(self, ask: Request) -> MixPlan:
        mask = (ask.uniform(self.blocks, self.blocks) < 0.5).float().expand(ask.k, len(ask.x), -1, -1).contiguous()
        lam = mask.mean((-1, -2))
        return MixPlan(self.name, ask.partner, lam, lam, Mask(mask), ask.rolled)


def test_a_new_variant_is_a_class_and_a_line(monkeypatch):
    monkeypatch.setitem(KINDS, "halves", Halves)
    x, y = batch()
    mixer = Mixer("halves", k=3, blocks=4, distinct=True)
    assert repr(mixer) == "Mixer('halves', alpha=1, k=3, distinct=True, blocks=4)"
    mixed = mixer(x, y, generator=seeded())
    torch.testing.assert_close(share_kept(mixed.plan), mixed.plan.lam.double(), rtol=0, atol=0)
    own, other = x.repeat(3, 1, 1, 1), x[mixed.plan.partner].repeat(3, 1, 1, 1)
    kept = mixed.plan.mask.flatten(0, 1)[:, None].repeat_interleave(SIDE // 4, 2).repeat_interleave(SIDE // 4, 3)
    assert torch.equal(mixed.x, kept * own + (1 - kept) * other)
    again = MixPlan.from_json(mixed.plan.to_json())
    assert torch.equal(again.apply(x), mixed.x)
    assert plan_of("halves", ordered=True).to_json() == plan_of("halves").ordered().to_json()
