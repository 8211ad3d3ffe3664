"""The laws every variant keeps, its own settings, and a new one that is a class and a line in KINDS."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from scipy import stats
from seeding import seeded
from torch import Tensor, nn

from mixlab import Mixed, Mixer, MixPlan, mixed_logits, mixed_loss
from mixlab.mixing.variants import KINDS, Request, Variant
from mixlab.mixing.ways import Mask

LEVEL = 1e-6  # of each statistical test
BATCH, SIDE, CLASSES = 6, 32, 4
TAUGHT = [name for name, kind in KINDS.items() if kind.needs_model]
IMAGES_ONLY = [name for name, kind in KINDS.items() if kind.takes_images]
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
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, CLASSES)
        )


def plan_of(variant: str, x: Tensor | None = None, *, seed: int = 0, k: int = 3, **settings) -> MixPlan:
    """A plan by this variant, which is handed a model where it needs one."""
    images, y = batch()
    model = net() if KINDS[variant].needs_model else None
    return Mixer(variant, k=k, **settings).plan(images if x is None else x, y, model=model, generator=seeded(seed))


def share_kept(plan: MixPlan) -> Tensor:
    """[K, B] the mean weight of each example in its mixes, found by mixing an image of ones with partners of zeros."""
    pairs = torch.eye(plan.batch)[:, :, None, None].expand(-1, -1, SIDE, SIDE)  # channel i is 1 in image i alone
    mixed = plan.apply(pairs).view(plan.k, plan.batch, plan.batch, SIDE, SIDE).double().mean((-1, -2))
    return mixed.diagonal(dim1=1, dim2=2)


@pytest.mark.parametrize("variant", MIXING_FIRST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_mixed_batch_has_the_shapes_it_promises_and_inputs_are_untouched(variant, dtype):
    x, y = batch()
    x = (x * 255).to(dtype) if dtype == torch.uint8 else x
    model = net() if KINDS[variant].needs_model else None
    before = [part.clone() for part in (x, y, *([] if model is None else model.parameters()))]
    if model is not None and dtype == torch.uint8:  # a model is not shown gray levels
        plan = Mixer(variant, k=2).plan(x, y, model=model, normalize=(0.5, 0.25), generator=seeded())
        mixed = Mixed(plan.apply(x), *plan.labels(y), plan)
    else:
        mixed = Mixer(variant, k=2)(x, y, model=model, generator=seeded())
    rows = KINDS[variant].rows(2) * BATCH
    assert (mixed.x.shape, mixed.x.dtype) == ((rows, 3, SIDE, SIDE), dtype)
    assert mixed.y_a.shape == mixed.y_b.shape == mixed.lam.shape == (rows,)
    assert torch.equal(mixed.x, mixed.plan.apply(x))
    after = (x, y, *([] if model is None else model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert (x._version, y._version, x.grad, x.requires_grad) == (0, 0, None, False)
    if model is not None:
        assert model.training
        assert all(part.grad is None for part in model.parameters())


@pytest.mark.parametrize("variant", FOLLOWING)
@pytest.mark.parametrize("shared", [False, True])
def test_lambda_is_the_mean_share_of_the_examples_own_pixels(variant, shared):
    # moved blocks keep their number, so only where the mask shows them matters: the image of ones has no places
    plan = plan_of(variant, shared_lam=shared, distinct=KINDS[variant].pairs)
    torch.testing.assert_close(share_kept(plan), plan.lam.double(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("variant", KINDS)
def test_equal_generators_give_equal_plans_and_others_do_not(variant):
    state = torch.random.get_rng_state()
    one, same, other = (plan_of(variant, seed=seed) for seed in (5, 5, 6))
    assert one.to_json() == same.to_json()
    assert (one.to_json() == other.to_json()) is not KINDS[variant].pairs
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("variant", PAIRING)
def test_each_of_k_mixes_has_a_lambda_of_its_own(variant):
    plan = plan_of(variant)
    clean = variant == "regmixup"
    for k in range(plan.k):
        assert (len(set(plan.nominal[k].tolist())) > 1) is not (clean and k == 0)
        assert not torch.equal(plan.nominal[k], plan.nominal[(k + 1) % plan.k])
        if KINDS[variant].label_follows_pixels:
            assert not torch.equal(plan.lam[k], plan.lam[(k + 1) % plan.k])


@pytest.mark.parametrize("variant", PAIRING)
def test_a_shared_lambda_is_drawn_once_for_the_batch(variant):
    plan = plan_of(variant, shared_lam=True)
    assert torch.equal(plan.nominal, plan.nominal[:, :1].expand(plan.k, BATCH))
    assert len(set(plan.nominal[:, 0].tolist())) > 1
    if plan.box is not None and not KINDS[variant].needs_model:  # who looks at images puts each box where it belongs
        assert torch.equal(plan.box, plan.box[:, :1].expand(plan.k, BATCH, 4))


@pytest.mark.parametrize("variant", KINDS)
def test_ordered_draws_the_same_and_sorts_it(variant):
    free = plan_of(variant, k=4)
    assert plan_of(variant, k=4, ordered=True).to_json() == free.ordered().to_json()
    assert torch.all(free.ordered().lam.diff(dim=0) <= 0)


@pytest.mark.parametrize("variant", [name for name in KINDS if name not in TAUGHT])
def test_a_model_changes_nothing_for_what_does_not_look_at_it(variant):
    x, y = batch()
    plan = Mixer(variant).plan(x, y, model=net(), generator=seeded())
    assert plan.to_json() == Mixer(variant).plan(x, generator=seeded()).to_json()


@pytest.mark.parametrize("variant", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_plan_is_cross_entropy_against_its_targets(variant, smoothing):
    x, y = batch()
    model, plan = net(), plan_of(variant, layers=["0"]) if variant == "manifold" else plan_of(variant)
    logits = mixed_logits(model, x, plan).double()
    assert logits.shape == (plan.k * BATCH, CLASSES)
    expected = nn.functional.cross_entropy(logits, plan.targets(y, CLASSES).double(), label_smoothing=smoothing)
    for clean_loss in (None, torch.tensor(3.0)):
        loss = mixed_loss(model, x, y, replace(plan, clean_loss=clean_loss), label_smoothing=smoothing)
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


@pytest.fixture
def halves(monkeypatch):
    monkeypatch.setitem(KINDS, "halves", Halves)


@pytest.mark.usefixtures("halves")
def test_a_new_variant_is_a_class_and_a_line():
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
