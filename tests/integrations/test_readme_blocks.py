"""Mixing in other people's loops, each run against the real package: what README.md shows, and how it behaves."""

import re

import pytest
import torch
from take_home import BLOCKS, CLASSES, SETTINGS, images, learnable
from torch.nn import functional as F

import mixlab as mx


def moved(names):
    now = names["model"].state_dict()
    return [name for name, was in names["before"].items() if not torch.equal(was, now[name])]


@pytest.mark.parametrize("block", ["plain", "general"])
def test_readme_loop_trains(names, block):
    exec(BLOCKS[block], names)
    assert moved(names) == list(names["before"])
    assert names["loss"] < 2.5


@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_readme_general_loop_takes_every_variant(names, variant):
    (line,) = [line for line in BLOCKS["general"].splitlines() if line.startswith("inside = ")]
    names["settings"] = SETTINGS.get(variant, {})
    exec(BLOCKS["general"].replace(line, f"inside = mx.Mixer({variant!r}, k=2, **settings)"), names)
    assert moved(names) == list(names["before"])


def test_readme_dataloader_mixes_in_its_workers(names):
    exec(BLOCKS["loader"], names)
    assert names["x"].shape == (128, 3, 4, 4)
    assert names["loss"].isfinite()
    assert names["lam"].unique().numel() > 100


def test_readme_calibration(names, capsys):
    draw = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(400, CLASSES, generator=draw)
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=draw)[:, 0]
    exec(BLOCKS["calibration"], names | {"logits": logits, "labels": labels})
    said = capsys.readouterr().out
    accuracy = float((logits.argmax(1) == labels).double().mean())
    assert f"accuracy     {accuracy:.4f}" in said
    raw, repaired = float(re.search(r"^ece +(\S+)", said, re.MULTILINE)[1]), float(said.splitlines()[-1].split()[0])
    assert repaired < raw / 2


def test_the_runs_of_the_readme_are_kept(names, capsys):
    exec(BLOCKS["runs"], names)
    kept = mx.runs()
    assert kept[-1].id == names["one"].id  # the newest is first
    variants = [run.settings["variant"] for run in kept if run.finished]
    assert variants.count("mixup") == 1 + 4
    assert variants.count("none") == 2  # without mixing, alpha is nothing
    _, swept = capsys.readouterr().out.split("\n", 1)
    assert swept.count("mixup") == 4


def test_readme_torchvision_pipeline(names):
    names["loader"] = [((images(8).tensors[0] * 255).to(torch.uint8), images(8).tensors[1])]
    exec(BLOCKS["torchvision"], names)
    assert names["x"].dtype == names["targets"].dtype == torch.float32
    assert 0 < names["x"].max() <= 1
    assert names["targets"].shape == (8, CLASSES)
    assert names["loss"].isfinite()


ALWAYS = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True}
ALWAYS |= {"learning_rate": 0.05, "lr_scheduler_type": "constant", "max_grad_norm": 1e9}


@pytest.fixture
def trainer(names, tmp_path):
    """A MixTrainer of the README's code for a transformer of 2,000 weights."""
    import transformers

    exec(BLOCKS["huggingface"], names)
    shape = {"image_size": 4, "patch_size": 2, "num_channels": 3, "num_labels": CLASSES}
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}

    def make(mixer, data, batch, accumulate=1, epochs=1, seed=0, optimizer="sgd"):
        names["mixer"] = mixer
        given = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulate, "optim": optimizer}
        arguments = transformers.TrainingArguments(tmp_path, num_train_epochs=epochs, seed=seed, **given, **ALWAYS)
        rows = [{"pixel_values": x, "labels": y} for x, y in data]
        torch.manual_seed(0)
        vit = transformers.ViTForImageClassification(transformers.ViTConfig(**shape, **size))
        return names["MixTrainer"](vit, arguments, train_dataset=rows, eval_dataset=rows)

    return make


def test_readme_huggingface_learns_and_evaluates_unmixed_images(trainer):
    mixing = trainer(mx.Mixer("mixup", alpha=0.2, k=2), learnable(), batch=8, epochs=8, optimizer="adamw_torch")
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


@pytest.mark.parametrize(
    ("count", "args", "message"),
    [
        (3, (mx.Mixer("mit"), 10), r"mixer must be .*'mit'.* mx\.mixed_loss\(model, x, y, plan\)"),
        (3, ("mixup", 10), "mixer must be a Mixer, .* got 'mixup'"),
        (3, (mx.Mixer(), 0), "num_classes .* at least 1, got 0"),
        (2, (mx.Mixer("manifold"), 10), "mixer must mix before the model .* inside the model"),
        (2, (mx.Mixer("puzzle"), 10), "mixer must mix before the model .* looks at the model"),
        (1, (mx.Mixer("perturbed"),), "num_classes must be given for .*, got None"),
    ],
)
def test_wrong_settings(MixCallback, count, args, message):
    for make in (mx.MixCollate, mx.MixTransform, MixCallback)[:count]:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            make(*args)
