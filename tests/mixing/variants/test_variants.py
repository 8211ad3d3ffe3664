"""The laws every variant keeps, its own settings, and a new one that is a class and a line in KINDS."""

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from mixlab import Mixed, Mixer, MixPlan, mixed_logits, mixed_loss
from mixlab.mixing.variants import KINDS, VARIANTS, Request, Variant
from mixlab.mixing.ways import Mask

LEVEL = 1e-6  # of each statistical test
BATCH, SIDE, CLASSES = 6, 32, 4
TAUGHT = [name for name, kind in KINDS.items() if kind.needs_model]
IMAGES_ONLY = [name for name, kind in KINDS.items() if kind.takes_images]
OWN_LOSS = [name for name, kind in KINDS.items() if kind.decouples or not kind.two_labels]
MIXING_FIRST = [name for name, kind in KINDS.items() if not (kind.mixes_inside or name in OWN_LOSS)]
PAIRING = [name for name, kind in KINDS.items() if kind.pairs]
FOLLOWING = [name for name, kind in KINDS.items() if kind.label_follows_pixels]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("variant", KINDS)
def test_it_says_what_it_is_in_a_line(variant):
    assert KINDS[variant].name == variant
    assert VARIANTS[variant] == KINDS[variant].about
    assert 10 < len(VARIANTS[variant]) < 120
    assert "\n" not in VARIANTS[variant]
    assert type(Mixer(variant).kind) is KINDS[variant]
    assert f"Mixer({variant!r}" in repr(Mixer(variant))


@pytest.mark.parametrize("variant", KINDS)
def test_a_plan_has_the_shapes_and_ranges_it_promises(variant):
    plan = plan_of(variant)
    rows = KINDS[variant].rows(3)
    assert (plan.variant, plan.k, plan.batch) == (variant, rows, BATCH)
    for lam in (plan.lam, plan.nominal):
        assert (lam.shape, lam.dtype) == ((rows, BATCH), torch.float32)
        assert torch.all((lam >= 0) & (lam <= 1))
    assert torch.equal(plan.partner.sort().values, torch.arange(BATCH))
    assert torch.equal(plan.partner, torch.arange(BATCH)) is not KINDS[variant].pairs
    assert (plan.layer is not None) is KINDS[variant].mixes_inside


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


@pytest.mark.parametrize("variant", KINDS)
def test_json_gives_its_plans_back(variant):
    x, _ = batch()
    plan = plan_of(variant)
    again = MixPlan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert torch.equal(again.apply(x), plan.apply(x))


@pytest.mark.parametrize("variant", KINDS)
def test_rolled_partners_are_the_neighbors_before(variant):
    plan = plan_of(variant, partners="roll")
    assert plan.rolled is KINDS[variant].pairs
    if plan.rolled:
        assert torch.equal(plan.partner, torch.arange(BATCH).roll(1))


@pytest.mark.parametrize("variant", IMAGES_ONLY)
def test_what_cuts_takes_images_alone(variant):
    message = r"^x must be images \[batch, channels, height, width\], got a float32 tensor of shape \[6, 9\]$"
    with pytest.raises(ValueError, match=message):
        plan_of(variant, torch.rand(BATCH, 9))


@pytest.mark.parametrize("variant", [name for name in KINDS if name not in IMAGES_ONLY])
def test_what_does_not_cut_takes_any_floats(variant):
    assert plan_of(variant, torch.rand(BATCH, 9)).batch == BATCH


@pytest.mark.parametrize("variant", TAUGHT)
@pytest.mark.parametrize(("model", "came"), [(None, "None"), ("resnet", "'resnet'")])
def test_what_looks_at_a_model_says_so_where_there_is_none(variant, model, came):
    x, y = batch()
    generator = seeded()
    message = (
        f"model must be a torch.nn.Module that gives logits, since {variant!r} looks at its gradients, as in mixer(x, "
        f"y, model=model); got {came}"
    )
    for call in (Mixer(variant), Mixer(variant).plan):
        with pytest.raises(TypeError) as caught:
            call(x, y, model=model, generator=generator)
        assert str(caught.value) == message
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize("variant", TAUGHT)
def test_what_looks_at_a_model_points_to_the_way_for_uint8_images(variant):
    x, y = batch()
    generator, gray = seeded(), (x * 255).to(torch.uint8)
    with pytest.raises(TypeError) as caught:
        Mixer(variant)(gray, y, model=net(), generator=generator)
    assert str(caught.value) == (
        f"x must be float images as the model takes them for {variant!r}, which looks at the model, got a uint8 tensor "
        "of shape [6, 3, 32, 32]: use plan = mixer.plan(x, y, model=model, normalize=(mean, std)) and "
        "mx.mixed_logits(model, x, plan, normalize=(mean, std))"
    )
    with pytest.raises(ValueError, match=r"^normalize must be \(mean, std\) for uint8 images, got None$"):
        Mixer(variant).plan(gray, y, model=net(), generator=generator)
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize("variant", TAUGHT)
def test_what_looks_at_a_model_needs_labels(variant):
    with pytest.raises(TypeError) as caught:
        Mixer(variant).plan(batch()[0], model=net())
    assert str(caught.value) == f"y must be given for {variant!r}, which looks at the gradient of the loss, got None"


@pytest.mark.parametrize("variant", [name for name in KINDS if name not in TAUGHT])
def test_a_model_changes_nothing_for_what_does_not_look_at_it(variant):
    x, y = batch()
    plan = Mixer(variant).plan(x, y, model=net(), generator=seeded())
    assert plan.to_json() == Mixer(variant).plan(x, generator=seeded()).to_json()


@pytest.mark.parametrize("variant", OWN_LOSS)
def test_what_has_a_loss_of_its_own_points_to_the_way(variant):
    generator = seeded()
    with pytest.raises(TypeError) as caught:
        Mixer(variant)(*batch(), generator=generator)
    does = "decouples logits" if KINDS[variant].decouples else "mixes more labels than two"
    assert str(caught.value) == (
        f"variant must be one whose images and two labels are all that a loss needs, got {variant!r}, which {does}: "
        "use plan = mixer.plan(x) and mx.mixed_loss(model, x, y, plan)"
    )
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize("variant", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_plan_is_cross_entropy_against_its_targets(variant, smoothing):
    x, y = batch()
    model, plan = net(), plan_of(variant, layers=["0"]) if variant == "manifold" else plan_of(variant)
    logits = mixed_logits(model, x, plan).double()
    assert logits.shape == (plan.k * BATCH, CLASSES)
    expected = nn.functional.cross_entropy(logits, plan.targets(y, CLASSES).double(), label_smoothing=smoothing)
    loss = mixed_loss(model, x, y, replace(plan, clean_loss=None), label_smoothing=smoothing)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", [name for name, kind in KINDS.items() if kind.mixes_inside])
def test_what_mixes_inside_points_to_the_way(variant):
    with pytest.raises(TypeError) as caught:
        Mixer(variant)(*batch())
    assert str(caught.value) == (
        f"variant must be one that mixes before the model, got {variant!r}, which mixes hidden states: use plan = "
        "mixer.plan(x), logits = mx.mixed_logits(model, x, plan) and plan.labels(y)"
    )


@pytest.mark.parametrize("variant", KINDS)
def test_an_unknown_setting_is_refused_by_every_variant(variant):
    with pytest.raises(TypeError, match=rf"^settings of '{variant}' must be .+, got 'color_of_moon'$"):
        Mixer(variant, color_of_moon=1)
    with pytest.raises(TypeError, match=r", got 'alfa'; did you mean 'alpha'\?$"):
        Mixer(variant, alfa=1)
    for field in fields(KINDS[variant]):
        with pytest.raises(TypeError, match=rf", got '{field.name}z'; did you mean '{field.name}'\?$"):
            Mixer(variant, **{f"{field.name}z": 1})


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
    assert torch.equal(mixed.y_b, y[mixed.plan.partner].repeat(3))
    assert torch.equal(mixed.lam, mixed.plan.lam.flatten())
    again = MixPlan.from_json(mixed.plan.to_json())
    assert torch.equal(again.apply(x), mixed.x)
    shared = Mixer("halves", shared_lam=True).plan(x, generator=seeded())
    assert torch.equal(shared.mask, shared.mask[:, :1].expand_as(shared.mask))
    assert plan_of("halves", ordered=True).to_json() == plan_of("halves").ordered().to_json()


@pytest.mark.usefixtures("halves")
def test_error_messages_know_the_new_one():
    with pytest.raises(ValueError, match=r"'halves'.*, got 'halvs'; did you mean 'halves'\?$"):
        Mixer("halvs")
    with pytest.raises(TypeError) as caught:
        Mixer("halves", block=3)
    assert str(caught.value) == "settings of 'halves' must be one of 'blocks', got 'block'; did you mean 'blocks'?"
    with pytest.raises(ValueError, match=r"^x must be images \[batch, channels, height, width\]"):
        plan_of("halves", torch.rand(BATCH, 9))


@dataclass(frozen=True)
class InputsAlone(Variant):
    """A baseline: pixels blended as in mixup, under the example's own label."""

    name = "inputs"
    about = "pixels blended, the example's own label kept (nobody, never)"
    label_follows_pixels = False

    def draw(self, ask: Request) -> MixPlan:
        lam = ask.lambdas()
        return MixPlan(self.name, ask.partner, torch.ones_like(lam), lam, Mask(lam[..., None, None]), ask.rolled)


def test_the_label_of_a_variant_need_not_follow_its_pixels(monkeypatch):
    monkeypatch.setitem(KINDS, "inputs", InputsAlone)
    x, y = batch()
    mixed = Mixer("inputs", k=3, distinct=True)(x, y, generator=seeded())
    torch.testing.assert_close(share_kept(mixed.plan), mixed.plan.nominal.double(), rtol=0, atol=2e-6)
    assert torch.equal(mixed.targets(CLASSES), nn.functional.one_hot(y, CLASSES).float().repeat(3, 1))
    torch.testing.assert_close(mixed.x, Mixer("mixup", k=3, distinct=True)(x, y, generator=seeded()).x)
