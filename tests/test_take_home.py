"""Mixing in other people's loops, each run against the real package: what README.md shows, and how it behaves."""

import copy
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import mixlab as mx

ROOT = Path(__file__).parent.parent
CLASSES = 10
SETTINGS = {"manifold": {"layers": ["input", "layer1"]}, "puzzle": {"blocks": 2, "clean": 1.0}}


@pytest.fixture(scope="module")
def v2():
    from torchvision.transforms import v2

    return v2


@pytest.fixture(scope="module")
def tv_tensors():
    from torchvision import tv_tensors

    return tv_tensors


@pytest.fixture(scope="module")
def transformers():
    import transformers

    return transformers


@pytest.fixture(scope="module")
def L():
    import lightning

    return lightning


@pytest.fixture
def fit(L, tmp_path):
    """Train a module on the CPU, in silence."""

    def run(module, loader, *callbacks, epochs=1, validation=None, resume=None):
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, loader, validation, ckpt_path=resume)
        return trainer

    return run


@pytest.fixture(scope="module")
def Module(L):
    class Plain(L.LightningModule):
        """A module as anybody writes it; it also notes what it was given, and the losses."""

        def __init__(self, lr=0.1, optimiser=torch.optim.SGD):
            super().__init__()
            self.net = network()
            self.lr, self.optimiser = lr, optimiser
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
            return self.optimiser(self.parameters(), lr=self.lr)

    return Plain


@pytest.fixture(scope="module")
def MixCallback(L):
    from mixlab.lightning import MixCallback

    return MixCallback


def network(channels=3, side=4):
    torch.manual_seed(0)
    flat = channels * side * side
    layers = {"flat": nn.Flatten(), "layer1": nn.Linear(flat, 12), "act": nn.Tanh(), "layer2": nn.Linear(12, 12)}
    return nn.Sequential(OrderedDict(layers, head=nn.Linear(12, CLASSES)))


def images(count, side=4):
    """Images of one value each, which their label gives back: what was mixed can be read off the result."""
    y = torch.arange(count) % CLASSES
    x = (y / CLASSES).view(-1, 1, 1, 1).expand(-1, 3, side, side)
    return TensorDataset(x.contiguous(), y)


def learnable(count=40):
    """Ten patterns with noise, one of each class."""
    draw = torch.Generator().manual_seed(1)
    patterns = torch.randn(CLASSES, 3, 4, 4, generator=draw)
    y = torch.arange(count) % CLASSES
    return TensorDataset(patterns[y] + 0.1 * torch.randn(count, 3, 4, 4, generator=draw), y)


def one_hot_mix(y_a, y_b, lam):
    """Soft targets by the formula, in float64."""
    a, b = F.one_hot(y_a, CLASSES).double(), F.one_hot(y_b, CLASSES).double()
    return lam.double()[:, None] * a + (1 - lam.double())[:, None] * b


# What the README shows.


def readme_blocks():
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Take it home\n")[1].split("\n## ")[0]
    names = ("plain", "general", "loader", "torchvision", "lightning", "huggingface")
    return dict(zip(names, re.findall(r"```python\n(.*?)```", section, re.DOTALL), strict=True))


BLOCKS = readme_blocks()


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the blocks take for granted: a model, its data, and what the first block made."""
    monkeypatch.chdir(tmp_path)
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(learnable(), batch_size=8, drop_last=True)
    data = TensorDataset(*(part.repeat(7, *[1] * (part.ndim - 1)) for part in learnable().tensors))
    return {
        "mx": mx,
        "mixer": mx.Mixer("mixup", alpha=0.4),
        "model": model,
        "optimiser": optimiser,
        "loader": loader,
        "data": data,
        "before": copy.deepcopy(model.state_dict()),
    }


def moved(names):
    now = names["model"].state_dict()
    return [name for name, was in names["before"].items() if not torch.equal(was, now[name])]


def test_each_block_of_the_readme_is_short():
    assert all(sum(bool(line.strip()) for line in code.splitlines()) < 10 for code in BLOCKS.values())


@pytest.mark.parametrize("block", ["plain", "general"])
def test_readme_loop_trains(names, block):
    exec(BLOCKS[block], names)
    assert moved(names) == list(names["before"])
    assert names["loss"] < 2.5


@pytest.mark.parametrize("variant", mx.VARIANTS)
@pytest.mark.parametrize("k", [1, 2])
def test_readme_general_loop_takes_every_variant(names, variant, k):
    (line,) = [line for line in BLOCKS["general"].splitlines() if line.startswith("inside = ")]
    names["settings"] = SETTINGS.get(variant, {})
    exec(BLOCKS["general"].replace(line, f"inside = mx.Mixer({variant!r}, k={k}, **settings)"), names)
    assert moved(names) == list(names["before"])


def test_readme_dataloader_mixes_in_its_workers(names):
    exec(BLOCKS["loader"], names)
    assert names["x"].shape == (128, 3, 4, 4)
    assert names["loss"].isfinite()
    assert names["lam"].unique().numel() > 100


def test_readme_torchvision_pipeline(names):
    names["loader"] = [((images(8).tensors[0] * 255).to(torch.uint8), images(8).tensors[1])]
    exec(BLOCKS["torchvision"], names)
    assert names["x"].dtype == names["targets"].dtype == torch.float32
    assert 0 < names["x"].max() <= 1
    assert names["targets"].shape == (8, CLASSES)
    assert names["loss"].isfinite()


def test_readme_lightning(names, Module, MixCallback):
    names["module"] = Module()
    exec(BLOCKS["lightning"], names)
    losses = torch.stack(names["module"].losses)
    assert len(losses) == 50
    assert losses[-10:].mean() < losses[:5].mean() - 0.3
    assert all(targets.shape == (8, CLASSES) for _, targets in names["module"].seen)


# DataLoader.


def from_workers(start, seed):
    """Six batches, made by two workers; images and labels say the same."""
    draw = torch.Generator().manual_seed(seed)
    collate = mx.MixCollate(mx.Mixer("mixup", k=2))
    loader = DataLoader(images(48), 8, num_workers=2, generator=draw, collate_fn=collate, multiprocessing_context=start)
    return list(loader)


def test_workers_draw_differently_and_a_seed_gives_the_same_again():
    first, again, spawned = from_workers("fork", 0), from_workers("fork", 0), from_workers("spawn", 0)
    for parts in zip(first, again, spawned, strict=True):
        for one, other, third in zip(*parts, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, third)
    lams = torch.stack([lam for *_, lam in first])
    assert lams.unique().numel() == lams.numel()  # no worker repeats the other, nor itself
    assert not torch.equal(torch.stack([lam for *_, lam in from_workers("fork", 1)]), lams)
    for x, y_a, y_b, lam in first:
        expected = (lam * y_a + (1 - lam) * y_b) / CLASSES
        torch.testing.assert_close(x, expected.view(-1, 1, 1, 1).expand_as(x))


def test_collate_gives_soft_targets():
    torch.manual_seed(0)
    x, y_a, y_b, lam = mx.MixCollate(mx.Mixer("cutmix", k=3))(list(images(6)))
    torch.manual_seed(0)
    again, targets = mx.MixCollate(mx.Mixer("cutmix", k=3), CLASSES)(list(images(6)))
    assert torch.equal(x, again)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets, one_hot_mix(y_a, y_b, lam).float())


def test_collate_takes_labels_that_are_python_integers():
    x, y_a, _, _ = mx.MixCollate(mx.Mixer("none"))([(torch.ones(3, 4, 4), 7), (torch.zeros(3, 4, 4), 2)])
    assert y_a.tolist() == [7, 2]
    assert x.amax((1, 2, 3)).tolist() == [1, 0]


def test_collate_travels_to_workers():
    collate = mx.MixCollate(mx.Mixer("mixup", k=2), 10)
    assert repr(pickle.loads(pickle.dumps(collate))) == repr(collate)


# torchvision.


def force(transform, **params):
    """torchvision's transform, with these parameters instead of drawn ones."""
    transform.make_params = lambda _: params
    return transform


def test_same_as_torchvision_mixup(v2):
    x, y = torch.rand(6, 3, 5, 7), torch.randint(CLASSES, (6,))
    mixer = mx.Mixer("mixup", shared_lam=True, partners="roll")
    torch.manual_seed(3)
    ours = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(3)
    theirs = force(v2.MixUp(num_classes=CLASSES), lam=float(mixer.plan(x).lam[0, 0]))(x, y)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.shape, our.dtype) == (their.shape, their.dtype)
        torch.testing.assert_close(our, their)


def test_same_as_torchvision_cutmix(v2):
    x, y = torch.rand(6, 3, 9, 7), torch.randint(CLASSES, (6,))
    mixer = mx.Mixer("cutmix", shared_lam=True, partners="roll")
    torch.manual_seed(4)
    ours = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(4)
    plan = mixer.plan(x)
    top, left, bottom, right = plan.box[0, 0].tolist()
    assert 0 < plan.lam[0, 0] < 1
    forced = {"box": (left, top, right, bottom), "lam_adjusted": float(plan.lam[0, 0])}
    theirs = force(v2.CutMix(num_classes=CLASSES), **forced)(x, y)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1].dtype == theirs[1].dtype
    torch.testing.assert_close(ours[1], theirs[1])


def test_tv_tensors_stay_what_they_are_and_masks_are_cut_alike(v2, tv_tensors):
    y = torch.arange(6)
    field = (y + 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    image, mask = tv_tensors.Image(field.float()), tv_tensors.Mask(field[:, 0].clone())
    transform = v2.Compose([v2.Identity(), mx.MixTransform(mx.Mixer("cutmix", k=3), CLASSES)])
    mixed, targets, masks = transform(image, y, mask)
    assert (type(mixed), type(masks), type(targets)) == (tv_tensors.Image, tv_tensors.Mask, torch.Tensor)
    assert mixed.shape == (18, 1, 8, 8)
    assert masks.dtype == torch.int64
    assert torch.equal(mixed[:, 0].as_subclass(torch.Tensor).long(), masks.as_subclass(torch.Tensor))
    for seen, target in zip(masks.as_subclass(torch.Tensor), targets, strict=True):
        share = torch.bincount(seen.flatten() - 1, minlength=CLASSES) / 64
        torch.testing.assert_close(target, share)


def test_transform_leaves_its_input_and_takes_one_pair(v2):
    x, y = images(6).tensors
    was = x.clone()
    torch.manual_seed(0)
    apart = mx.MixTransform(mx.Mixer("mixup"), CLASSES)(x, y)
    torch.manual_seed(0)
    together = v2.Compose([mx.MixTransform(mx.Mixer("mixup"), CLASSES)])([x, y])
    assert all(map(torch.equal, apart, together))
    assert torch.equal(x, was)
    assert apart[0].shape == x.shape


def test_transform_shows_its_settings():
    shown = "MixTransform(Mixer('cutmix', alpha=0.5, k=2), num_classes=10)"
    assert repr(mx.MixTransform(mx.Mixer("cutmix", 0.5, 2), 10)) == shown


def test_collate_and_transform_do_without_torchvision():
    code = "import sys, torch, mixlab.batches as b, mixlab; "
    code += "b.MixTransform(mixlab.Mixer('mixup'), 3)(torch.rand(3, 1, 2, 2), torch.arange(3)); "
    code += "print({'torchvision', 'lightning', 'transformers'} & {name.split('.')[0] for name in sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"


# Lightning.


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
    loader, module = DataLoader(learnable(8), 8), Module(lr=0.0)
    callback = MixCallback(mx.Mixer("manifold", k=2, layers=[layer]), CLASSES)
    fit(module, loader, callback)
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


@pytest.mark.parametrize("variant", [name for name in mx.VARIANTS if name not in ("none", "manifold")])
def test_callback_takes_every_variant(fit, Module, MixCallback, variant):
    module = Module()
    mixer = mx.Mixer(variant, k=2, **SETTINGS.get(variant, {}))
    fit(module, DataLoader(learnable(8), 8), MixCallback(mixer, CLASSES))
    ((x, targets),) = module.seen
    assert len(x) == len(targets) == 16
    torch.testing.assert_close(targets.sum(1), torch.ones(16))


def test_loss_falls_and_the_module_is_itself_again(fit, Module, MixCallback):
    module, without = Module(), Module()
    fit(without, DataLoader(learnable(), 8))
    fit(module, DataLoader(learnable(), 8), MixCallback(mx.Mixer("mixup", alpha=0.2, k=2), CLASSES), epochs=12)
    losses = torch.stack(module.losses)
    assert losses[-5:].mean() < losses[:5].mean() - 0.5
    x, y = learnable().tensors
    assert (module(x).argmax(1) == y).float().mean() > 0.9
    assert vars(module).keys() == vars(without).keys()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


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


def test_a_step_set_on_the_object_comes_back(fit, Module, MixCallback):
    module = Module()
    mine = module.training_step = module.training_step
    fit(module, DataLoader(images(6), 6), MixCallback(mx.Mixer("mixup"), CLASSES))
    assert vars(module)["training_step"] is mine


def test_resumed_training_is_the_training_that_was_not_broken_off(fit, Module, MixCallback, tmp_path):
    def callback():
        return MixCallback(mx.Mixer("cutmix", k=2), CLASSES, seed=3)

    loader = DataLoader(learnable(), 8)
    whole = Module()
    fit(whole, loader, callback(), epochs=4)
    half = Module()
    fit(half, loader, callback(), epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    rest = Module(lr=0.1)
    fit(rest, loader, callback(), epochs=4, resume=tmp_path / "half.ckpt")
    assert len(rest.seen) == 10
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, rest.state_dict()[name]), name


def test_an_optimiser_that_runs_a_step_again_sees_the_same_batch(fit, Module, MixCallback):
    module = Module(optimiser=lambda weights, lr: torch.optim.LBFGS(weights, lr=lr, max_iter=3))
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


def test_k_above_one_warns_of_batch_norm_after_the_layer(fit, Module, MixCallback):
    module = Module()
    module.net.act = nn.BatchNorm1d(12)
    callback = MixCallback(mx.Mixer("manifold", k=2, layers=["net.layer1"]), CLASSES)
    with pytest.warns(UserWarning, match=r"^plan has k=2: 1 BatchNorm module after layer 'net.layer1'"):
        fit(module, DataLoader(images(6), 6), callback)


# Hugging Face.


@pytest.fixture
def vit(transformers):
    """A transformer of 2,000 weights, and data as its Trainer takes them."""

    def make():
        torch.manual_seed(0)
        shape = {"image_size": 4, "patch_size": 2, "num_channels": 3, "num_labels": CLASSES}
        size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        return transformers.ViTForImageClassification(transformers.ViTConfig(**shape, **size))

    return make


@pytest.fixture
def trainer(transformers, names, tmp_path, vit):
    """A MixTrainer of the README's code."""
    exec(BLOCKS["huggingface"], names)

    def make(mixer, data, batch, accumulate=1, epochs=1, seed=0, optimiser="sgd"):
        names["mixer"] = mixer
        arguments = transformers.TrainingArguments(
            tmp_path,
            num_train_epochs=epochs,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            learning_rate=0.05,
            lr_scheduler_type="constant",
            optim=optimiser,
            max_grad_norm=1e9,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        rows = [{"pixel_values": x, "labels": y} for x, y in data]
        return names["MixTrainer"](vit(), arguments, train_dataset=rows, eval_dataset=rows)

    return make


def test_readme_huggingface_learns_and_evaluates_unmixed_images(trainer):
    mixing = trainer(mx.Mixer("mixup", alpha=0.2, k=2), learnable(), batch=8, epochs=8, optimiser="adamw_torch")
    before = mixing.evaluate()["eval_loss"]
    mixing.train()
    after = mixing.evaluate()["eval_loss"]
    assert after < before - 0.2
    x, y = learnable().tensors
    with torch.no_grad():
        expected = F.cross_entropy(mixing.model.eval()(x).logits, y)
    assert after == pytest.approx(expected.item(), rel=1e-4)


def test_readme_huggingface_mixes_and_replays(trainer, monkeypatch):
    def run(seed):
        mixing = trainer(mx.Mixer("cutmix", k=2), images(12), batch=6, seed=seed)
        seen = []
        mixing.model.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        mixing.train()
        return torch.stack(seen)

    first = run(0)
    assert first.shape == (2, 12, 3, 4, 4)
    assert first.flatten(2).std(2).amax() > 0.01  # images of one value are no longer of one
    assert torch.equal(first, run(0))
    assert not torch.equal(first, run(1))


def test_readme_huggingface_weighs_accumulated_batches_rightly(trainer):
    halves, whole = (trainer(mx.Mixer("none"), learnable(8), batch=size, accumulate=8 // size) for size in (4, 8))
    halves.train()
    whole.train()
    for (name, half), one in zip(halves.model.named_parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(half, one, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


# Wrong input.

MANIFOLD = "Mixer('manifold', alpha=1, k=1), which mixes inside the model"
INSTEAD = "mix in the training loop, by plan = mixer.plan(x, y, model=model) and mx.mixed_logits(model, x, plan)"


def exactly(message):
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("make", [mx.MixCollate, lambda mixer: mx.MixTransform(mixer, 10)])
def test_mixers_that_need_the_model_are_refused(make):
    message = f"mixer must mix before the model sees the batch, got {MANIFOLD}: {INSTEAD}"
    with pytest.raises(ValueError, match=exactly(message)):
        make(mx.Mixer("manifold"))
    for variant in ("puzzle", "saliencymix"):
        mixer = mx.Mixer(variant)
        message = f"mixer must mix before the model sees the batch, got {mixer!r}, which looks at the model: {INSTEAD}"
        with pytest.raises(ValueError, match=exactly(message)):
            make(mixer)


def test_wrong_settings(MixCallback):
    for make in (mx.MixCollate, mx.MixTransform, MixCallback):
        with pytest.raises(TypeError, match=exactly("mixer must be a Mixer, such as mx.Mixer(\"mixup\"), got 'mixup'")):
            make("mixup", 10)
        with pytest.raises(ValueError, match=exactly("num_classes must be an integer of at least 1, got 0")):
            make(mx.Mixer(), 0)
        with pytest.raises(TypeError, match=exactly("num_classes must be an integer of at least 1, got 2.5")):
            make(mx.Mixer(), 2.5)
    for make in (mx.MixTransform, MixCallback):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'num_classes'"):
            make(mx.Mixer())
    message = f"seed must be an integer from 0 to {2**63 - 1}, got -1"
    with pytest.raises(ValueError, match=exactly(message)):
        MixCallback(mx.Mixer(), 10, seed=-1)


@pytest.mark.parametrize("variant", ["puzzle", "saliencymix"])
def test_uint8_images_are_refused_by_what_looks_at_the_module(fit, Module, MixCallback, variant):
    class Grey(Module):
        def forward(self, x):
            return super().forward(x.float() / 255)

    message = (
        f"x must be float images as the module takes them for {variant!r}, which looks at the module's gradients, got "
        "a uint8 tensor of shape [4, 3, 32, 32]"
    )
    loader = DataLoader([(torch.zeros(3, 32, 32, dtype=torch.uint8), 0)] * 4, 4)
    with pytest.raises(TypeError, match=exactly(message)):
        fit(Grey(), loader, MixCallback(mx.Mixer(variant), CLASSES))


LABELS = "must be a tensor of int64 class labels with shape [batch], got a float32 tensor of shape [4]"
RANGE = "must hold class labels from 0 to 2, got labels from 0 to 3"
ONE = "x must hold at least two examples to mix, got a batch of one; drop a short last batch"


def test_wrong_examples_for_collate():
    collate = mx.MixCollate(mx.Mixer("mixup"), 3)
    image = torch.zeros(3, 4, 4)
    with pytest.raises(TypeError, match=exactly("labels " + LABELS)):
        collate([(image, torch.tensor(float(i))) for i in range(4)])
    with pytest.raises(ValueError, match=exactly("labels " + RANGE)):
        collate([(image, i) for i in range(4)])
    with pytest.raises(ValueError, match=exactly(ONE)):
        collate([(image, 0)])
    with pytest.raises(TypeError, match=exactly("examples must be (image, label) pairs, got {'image': 1}")):
        collate([{"image": 1}, {"image": 1}])
    wanted = "examples must be (image, label) pairs"
    with pytest.raises(TypeError, match=exactly(wanted + ", got (1, 2, 3)")):
        collate([(1, 2, 3)])
    with pytest.raises(TypeError, match=exactly(wanted + ", got (1, 2, 3)")):
        collate([(image, 0), (1, 2, 3)])
    with pytest.raises(TypeError, match=exactly(wanted + " in a list, got None")):
        collate(None)
    with pytest.raises(ValueError, match=exactly(wanted + ", at least two of them, got none")):
        collate([])
    wanted += ", images of one shape and labels integers, got what torch refuses: "
    with pytest.raises(ValueError, match="^" + re.escape(wanted) + "stack expects each tensor to be equal size"):
        collate([(image, 0), (image[:, 1:], 1)])
    with pytest.raises(TypeError, match="^" + re.escape(wanted) + "default_collate: batch must contain"):
        collate([(image, None), (image, None)])


def test_wrong_batches_for_the_transform(tv_tensors):
    transform = mx.MixTransform(mx.Mixer("mixup"), 3)
    x, y = torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 2, 2])
    with pytest.raises(TypeError, match=exactly("labels " + LABELS)):
        transform(x, y.float())
    with pytest.raises(ValueError, match=exactly("labels " + RANGE)):
        transform(x, torch.arange(4))
    with pytest.raises(
        ValueError, match=exactly("labels must hold one label for each of the 4 examples, got 3 labels")
    ):
        transform(x, y[:3])
    with pytest.raises(ValueError, match=exactly(ONE)):
        transform(x[:1], y[:1])
    wanted = "images must be a batch [batch, channels, height, width], got a float32 tensor of shape [3, 5, 5]"
    with pytest.raises(ValueError, match=exactly(wanted)):
        transform(x[0], y[:3])  # one image, whose channels would be taken for a batch
    wanted = "batch must be images and labels, then any masks, got "
    with pytest.raises(TypeError, match=exactly(wanted + "a value of type Tensor")):
        transform(x)
    with pytest.raises(TypeError, match=exactly(wanted + "a value of type dict")):
        transform({"image": x, "label": y})
    boxes = tv_tensors.BoundingBoxes(torch.rand(4, 4), format="XYXY", canvas_size=(5, 5))
    wanted = "batch must hold tensors of images, labels and masks, got "
    with pytest.raises(TypeError, match=exactly(wanted + "(Tensor, Tensor, BoundingBoxes)")):
        transform(x, y, boxes)
    with pytest.raises(TypeError, match=exactly(wanted + "(Tensor, list)")):
        transform(x, [0, 1, 2, 2])


def test_wrong_batches_for_the_callback(fit, Module, MixCallback):
    x, y = images(4).tensors

    def train(batch, mixer=None, module=None, classes=3):
        fit(module or Module(), DataLoader([batch], batch_size=None), MixCallback(mixer or mx.Mixer(), classes))

    wanted = "batch must be (x, y), images and their class labels, got "
    with pytest.raises(TypeError, match=exactly(wanted + "a value of type dict")):
        train({"image": x, "label": y})
    with pytest.raises(TypeError, match=exactly(wanted + "(Tensor, Tensor, Tensor)")):
        train((x, y, y))
    with pytest.raises(TypeError, match=exactly("y " + LABELS)):
        train((x, y.float()))
    with pytest.raises(ValueError, match=exactly("y " + RANGE)):
        train((x, y))
    with pytest.raises(ValueError, match=exactly(ONE)):
        train((x[:1], y[:1]))
    with pytest.raises(ValueError, match=r"^layer must be .*, got 'layer1'; did you mean 'net.layer1'"):
        train((x, y), mx.Mixer("manifold", layers=["layer1"]), classes=4)

    class Silent(Module):
        def training_step(self, _batch, _index):
            return None

    message = "training_step must return its loss, or a dict with it, for Puzzle Mix to add the clean loss, got None"
    with pytest.raises(TypeError, match=exactly(message)):
        train((x, y), Clean("mixup"), Silent(), classes=4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (4, 6, 6)])
def test_masks_of_integers_are_pasted_and_never_blended(tv_tensors, shape, dtype):
    x, y = torch.rand(4, 3, 6, 6), torch.arange(4) % 3
    mask = tv_tensors.Mask(torch.randint(0, 2 if dtype == torch.bool else 200, shape).to(dtype))
    settings = "which would blend class labels"
    kind = str(dtype).removeprefix("torch.")
    message = (
        f"masks of integers must be mixed by pasting, as in Mixer('cutmix'), got {'an' if kind[0] == 'i' else 'a'} "
        f"{kind} tensor of shape {list(shape)} for Mixer('mixup', alpha=1, k=2), {settings}"
    )
    with pytest.raises(TypeError, match=exactly(message)):
        mx.MixTransform(mx.Mixer("mixup", k=2), 3)(x, y, mask)

    torch.manual_seed(0)
    _, _, mixed = mx.MixTransform(mx.Mixer("cutmix", k=2), 3)(x, y, mask)
    torch.manual_seed(0)
    plan = mx.Mixer("cutmix", k=2).plan(x, y)
    assert type(mixed) is type(mask)
    assert mixed.dtype == dtype
    assert torch.equal(mixed.as_subclass(torch.Tensor).double(), plan.apply(mask.as_subclass(torch.Tensor).double()))


def test_one_callback_mixes_a_trainer(fit, Module, MixCallback):
    module = Module()
    message = "callbacks must hold one MixCallback, which mixes every batch, got 2"
    loader = DataLoader(learnable(8), 4)
    with pytest.raises(ValueError, match=exactly(message)):
        fit(module, loader, MixCallback(mx.Mixer(), CLASSES), MixCallback(mx.Mixer("cutmix"), CLASSES))
    assert "training_step" not in vars(module)
    fit(module, loader, MixCallback(mx.Mixer(), CLASSES))
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
