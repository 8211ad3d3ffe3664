"""Mixing in a Lightning callback, in trainings by Lightning itself."""

import copy
from dataclasses import replace

import pytest
import torch
from same_weights import differing
from seeding import seeded
from take_home import BLOCKS, CLASSES, SETTINGS, images, learnable, network, one_hot_mix
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import mixlab as mx


@pytest.fixture(scope="module")
def L():
    import lightning

    return lightning


PARTS = ("checkpointing", "progress_bar", "model_summary")


@pytest.fixture
def fit(L, tmp_path):
    """Train a module on the CPU, in silence."""

    def run(module, loader, *callbacks, epochs=1, validation=None, resume=None):
        silent = dict.fromkeys(("logger", *(f"enable_{part}" for part in PARTS)), False)
        place = {"accelerator": "cpu", "default_root_dir": tmp_path}
        trainer = L.Trainer(max_epochs=epochs, callbacks=list(callbacks), **place, **silent)
        trainer.fit(module, loader, validation, ckpt_path=resume)
        return trainer

    return run


@pytest.fixture(scope="module")
def Module(L):
    class Plain(L.LightningModule):
        """A module as anybody writes it; it also notes what it was given, and the losses."""

        def __init__(self, lr=0.1, optimizer=torch.optim.SGD):
            super().__init__()
            self.net = network()
            self.lr, self.optimizer = lr, optimizer
            self.seen, self.validated, self.losses = [], [], []

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _index):
            x, y = batch
            loss = F.cross_entropy(self(x), y)
            self.seen.append((x.detach().clone(), y.detach().clone()))
            self.losses.append(loss.detach())
            return loss

        def validation_step(self, batch, _index):
            self.validated.append(batch)

        def configure_optimizers(self):
            return self.optimizer(self.parameters(), lr=self.lr)

    return Plain


def test_readme_lightning(names, Module, MixCallback):
    names["module"] = Module()
    exec(BLOCKS["lightning"], names)
    losses = torch.stack(names["module"].losses)
    assert len(losses) == 50
    assert losses[-10:].mean() < losses[:5].mean() - 0.3
    assert all(targets.shape == (8, CLASSES) for _, targets in names["module"].seen)


def test_training_batches_are_mixed_and_validation_is_not(fit, Module, MixCallback):
    data, module = images(12), Module()
    callback = MixCallback(mx.Mixer("mixup", k=2), CLASSES, seed=5)
    loader = DataLoader(data, 6)
    fit(module, loader, callback, validation=loader)
    values = torch.arange(CLASSES).float() / CLASSES
    for x, targets in module.seen:
        assert x.shape == (12, 3, 4, 4)
        torch.testing.assert_close(x.mean((1, 2, 3)), targets @ values)  # the image says what the target says
        assert (targets.amax(1) < 1).any()
    for (x, y), batch in zip(module.validated[-2:], loader, strict=True):
        assert torch.equal(x, batch[0])
        assert torch.equal(y, batch[1])
    last_x, last_y = list(loader)[-1]
    assert torch.equal(callback.plan.apply(last_x), module.seen[-1][0])
    torch.testing.assert_close(one_hot_mix(*callback.plan.labels(last_y)).float(), module.seen[-1][1])


@pytest.mark.parametrize("settings", [{"variant": "mixup"}, {"variant": "manifold", "layers": ["net.act"]}])
def test_float_targets_are_mixed_as_class_labels_are(fit, Module, MixCallback, settings):
    x, y = images(6).tensors
    several = (torch.rand(6, 4, generator=seeded(2)) < 0.5).float()
    seen = []
    for labels, classes in ((y, CLASSES), (F.one_hot(y, CLASSES).float(), None), (several, 4)):
        module, callback = Module(), MixCallback(mx.Mixer(**settings, k=2), classes)
        if labels is several:
            module.net.head = nn.Linear(12, 4)
        fit(module, DataLoader([(x, labels)], batch_size=None), callback)
        seen.append(module.seen[0][1])
    assert torch.equal(seen[0], seen[1])
    lam, partner = callback.plan.lam.view(2, 6, 1), callback.plan.partner
    torch.testing.assert_close(seen[2], (lam * several + (1 - lam) * several[partner]).flatten(0, 1))


def test_a_batch_may_be_a_dict_and_its_last_one_example(fit, Module, MixCallback):
    class Dict(Module):
        def training_step(self, batch, index):
            return super().training_step((batch["picture"], batch["target"]), index)

    rows = [{"name": "cat", "target": y, "picture": x} for x, y in images(5)]
    for variant, settings in {"mixup": {}, "manifold": {"layers": ["net.act"]}, "puzzle": SETTINGS["puzzle"]}.items():
        module, loader = Dict(), DataLoader(rows, 4)
        callback = MixCallback(mx.Mixer(variant, k=2, **settings), CLASSES, labels_getter="target")
        fit(module, loader, callback)
        (x, targets), (lone, target) = module.seen
        assert len(targets) == 8
        assert len(x) == (4 if variant == "manifold" else 8)
        assert torch.equal(lone, images(5).tensors[0][4:])
        assert torch.equal(target, torch.eye(CLASSES)[4:5])


def test_a_seed_gives_the_same_mixes_and_another_does_not(fit, Module, MixCallback):
    def seen(seed):
        module = Module()
        same_twice = DataLoader(images(6) + images(6), 6)
        fit(module, same_twice, MixCallback(mx.Mixer("mixup"), CLASSES, seed=seed), epochs=2)
        return torch.stack([targets for _, targets in module.seen])

    first = seen(0)
    assert torch.equal(first, seen(0))
    assert not torch.equal(first, seen(1))
    assert len({tuple(batch.flatten().tolist()) for batch in first}) == 4  # each batch of each epoch its own


@pytest.mark.parametrize("layer", ["input", "net.layer1", "net.act"])
def test_manifold_mixes_inside_the_step(fit, Module, MixCallback, layer):
    loader, module, without = DataLoader(learnable(8), 8), Module(lr=0.0), Module()
    callback = MixCallback(mx.Mixer("manifold", k=2, layers=[layer]), CLASSES)
    fit(module, loader, callback)
    fit(without, loader)
    assert vars(module).keys() == vars(without).keys()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    ((x, y),) = loader
    ((_, targets),) = module.seen
    assert targets.shape == (16, CLASSES)
    net, plan = module.net, callback.plan
    parts = {"input": nn.Identity(), "net.layer1": net[:2], "net.act": net[:3]}
    hidden = parts[layer](x)
    mixed = [lam.view(-1, *[1] * (hidden.ndim - 1)) for lam in plan.lam]
    mixed = torch.cat([lam * hidden + (1 - lam) * hidden[plan.partner] for lam in mixed])
    rest = {"input": net, "net.layer1": net[2:], "net.act": net[3:]}
    log_probs = rest[layer](mixed).log_softmax(1).double()
    expected = -(one_hot_mix(*plan.labels(y)) * log_probs).sum(1).mean()
    torch.testing.assert_close(module.losses[0].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", [name for name in mx.VARIANTS if name not in ("none", "manifold", "mit")])
def test_callback_takes_every_variant(fit, Module, MixCallback, variant):
    module = Module()
    mixer = mx.Mixer(variant, k=2, **SETTINGS.get(variant, {}))
    fit(module, DataLoader(learnable(8), 8), MixCallback(mixer, CLASSES))
    ((x, targets),) = module.seen
    assert len(x) == len(targets) == mixer.kind.rows(2) * 8
    torch.testing.assert_close(targets.sum(1), torch.ones(len(x)))


def test_one_of_several_mixers_is_drawn_for_each_batch(fit, L, Module, MixCallback):
    class Watch(L.Callback):
        def on_train_batch_end(self, *_):
            seen.append((callback.plan.variant, len(module.seen[-1][1])))

    several = [mx.Mixer("manifold", k=2, layers=["net.act"]), mx.Mixer("puzzle", **SETTINGS["puzzle"])]
    callback = MixCallback(mx.OneOf([*several, mx.Mixer("cutmix", k=3, probability=0.5)]), CLASSES)
    module, seen = Module(), []
    fit(module, DataLoader(learnable(), 4), callback, Watch(), epochs=2)
    assert set(seen) == {("manifold", 8), ("puzzle", 4), ("cutmix", 12), ("none", 4)}


def test_module_is_itself_again_after_an_exception(fit, Module, MixCallback):
    class Breaks(Module):
        def training_step(self, batch, _index):
            self(batch[0])
            raise RuntimeError("broken off")

    module = Breaks()
    with pytest.raises(RuntimeError, match="broken off"):
        fit(module, DataLoader(images(6), 6), MixCallback(mx.Mixer("manifold", layers=["net.layer1"]), CLASSES))
    assert "training_step" not in vars(module)
    assert not module.net.layer1._forward_hooks


def test_resumed_training_is_the_training_that_was_not_broken_off(fit, Module, MixCallback, tmp_path):
    def callback():
        return MixCallback(mx.Mixer("cutmix", k=2), CLASSES, seed=3)

    loader, whole, half, rest = DataLoader(learnable(), 8), Module(), Module(), Module()
    fit(whole, loader, callback(), epochs=4)
    fit(half, loader, callback(), epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    fit(rest, loader, callback(), epochs=4, resume=tmp_path / "half.ckpt")
    assert len(rest.seen) == 10
    assert differing(whole, rest) == []


def test_an_optimizer_that_runs_a_step_again_sees_the_same_batch(fit, Module, MixCallback):
    module = Module(optimizer=lambda weights, lr: torch.optim.LBFGS(weights, lr=lr, max_iter=3))
    fit(module, DataLoader(images(12), 12), MixCallback(mx.Mixer("mixup"), CLASSES))
    assert len(module.seen) > 1
    assert all(torch.equal(module.seen[0][0], x) for x, _ in module.seen)


class Clean(mx.Mixer):
    """A mixer whose plans carry a clean loss of 3."""

    def plan(self, x, *args, **kwargs):
        return replace(super().plan(x, *args, **kwargs), clean_loss=torch.tensor(3.0))


def test_clean_loss_is_added_to_what_the_step_returns(fit, L, Module, MixCallback):
    class Watch(L.Callback):
        def on_before_backward(self, _trainer, _module, loss):
            self.loss = loss.item()

    class Dict(Module):
        def training_step(self, batch, index):
            return {"loss": super().training_step(batch, index), "more": 1}

    for module in (Module(), Dict()):
        fit(module, DataLoader(images(6), 6), MixCallback(Clean("mixup"), CLASSES), watch := Watch())
        assert watch.loss == pytest.approx(module.losses[0].item() + 3)


def test_wrong_batches_for_the_callback(fit, Module, MixCallback):
    x, y = images(4).tensors

    class Silent(Module):
        def training_step(self, _batch, _index):
            return None

    gray = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    wrong = [
        ({"image": x, "target": y}, mx.Mixer(), Module(), "batch must be .* got {'image': Tensor, 'target': Tensor}$"),
        ((x, y, y.clone()), mx.Mixer(), Module(), "masks of integers must be mixed by pasting"),
        ((x, y, x), mx.Mixer("manifold", layers=["net.act"]), Module(), "batch must hold one input .*'net.act', got"),
        ((x, y + CLASSES), mx.Mixer(), Module(), "labels must hold class labels from 0 to 9, .* 10 to 13$"),
        ((x, y), mx.Mixer("manifold", layers=["layer1"]), Module(), "layer must be .*; did you mean 'net.layer1'"),
        ((gray, y), mx.Mixer("saliencymix"), Module(), "x must be float images .*, got a uint8 tensor of shape"),
        ((x, y), Clean("mixup"), Silent(), "training_step must return its loss, .*, got None$"),
    ]
    for batch, mixer, module, message in wrong:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            fit(module, DataLoader([batch], batch_size=None), MixCallback(mixer, CLASSES))


def test_one_callback_mixes_a_trainer(fit, Module, MixCallback):
    module = Module()
    callbacks = [MixCallback(mx.Mixer(), CLASSES) for _ in range(2)]
    with pytest.raises(ValueError, match=r"callbacks must hold one MixCallback, .* got 2"):
        fit(module, DataLoader(learnable(8), 4), *callbacks)
    assert "training_step" not in vars(module)


@pytest.mark.parametrize("own_step", [False, True])
def test_a_copy_made_in_training_has_its_own_step(fit, L, Module, MixCallback, own_step):
    class Copying(L.Callback):
        def on_train_batch_end(self, _trainer, module, *_):
            self.twin = copy.deepcopy(module)
            self.plan = copy.deepcopy(callback.plan)

    module, copying = Module(), Copying()
    if own_step:
        module.training_step = module.training_step  # as in a compiled module, which has one of its own
    callback = MixCallback(mx.Mixer("puzzle", blocks=2, clean=1.0), CLASSES)
    fit(module, DataLoader(learnable(8), 4), callback, copying)
    assert copying.plan.clean_loss is None
    assert torch.equal(copying.plan.lam, callback.plan.lam)
    count, (x, y) = len(module.seen), learnable(4).tensors
    copying.twin.training_step((x, y), 0)
    assert len(module.seen) == count
    assert len(copying.twin.seen) == count + 1
    assert torch.equal(copying.twin.seen[-1][0], x)
    assert copying.twin.training_step.__self__ is copying.twin
