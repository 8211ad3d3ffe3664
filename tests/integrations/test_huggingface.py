"""Mixing in Hugging Face's Trainer, in trainings by the real package."""

import copy
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from refusals import refuses
from seeding import seeded
from take_home import BLOCKS, CLASSES, SETTINGS, images, learnable, network
from torch import nn
from torch.nn import functional as F

import mixlab as mx

ALWAYS = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True}
ALWAYS |= {"optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant", "max_grad_norm": 1e9}
ALWAYS |= {"num_train_epochs": 1, "remove_unused_columns": False}


@pytest.fixture
def hf(tmp_path):
    transformers = pytest.importorskip("transformers")
    import mixlab.integrations.huggingface as ours

    class HF:
        MixTrainer = ours.MixTrainer

        @staticmethod
        def arguments(**more):
            return transformers.TrainingArguments(tmp_path, **(ALWAYS | more))

        @staticmethod
        def vit(**more):
            """A transformer of 1,000 weights."""
            torch.manual_seed(0)
            more = {"image_size": 4, "patch_size": 2, "num_channels": 3, "num_labels": CLASSES} | more
            size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            return transformers.ViTForImageClassification(transformers.ViTConfig(**size, **more))

        @classmethod
        def trainer(cls, mixer, rows, model=None, func=None, **more):
            given = {"train_dataset": rows, "eval_dataset": rows, "compute_loss_func": func}
            return cls.MixTrainer(model or cls.vit(), cls.arguments(**more), mixer=mixer, **given)

    return HF


def rows_of(data, dtype=torch.float32, key="pixel_values"):
    return [{key: x.to(dtype), "labels": int(y)} for x, y in data]


class Own(nn.Module):
    """A model of the user's own, whose forward takes no further keywords."""

    def __init__(self, outputs=CLASSES, config=()):
        super().__init__()
        self.net, self.config = network(), SimpleNamespace(**dict(config))
        self.net.head = nn.Linear(12, outputs)

    def forward(self, picture, labels=None):
        logits = self.net(picture)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


class KeepsPlans:
    """A part of a mixer."""

    def plan(self, *args, **kwargs):
        vars(self).setdefault("plans", []).append(super().plan(*args, **kwargs))
        return self.plans[-1]


Recording = type("Recording", (KeepsPlans, mx.Mixer), {})
RecordingOneOf = type("RecordingOneOf", (KeepsPlans, mx.OneOf), {})


def cross_entropy(z, t, smoothing=0.0):
    return -(((1 - smoothing) * t + smoothing * t.sum(1, keepdim=True) / z.shape[1]) * z.log_softmax(1)).sum(1)


def by_hand(model, x, targets, counts, plans, batch, accumulate, loss):
    """The same training in float64, an equation at a time: the mean of all mixes of one step, by plain descent."""
    plans = iter(plans)
    for step in torch.arange(len(x)).split(batch * accumulate):
        total = 0.0
        for place in step.split(batch):
            lam, partner = torch.ones(1, 1).double(), torch.arange(1)
            if len(place) > 1:
                plan = next(plans)
                lam, partner = plan.lam.double(), plan.partner
            for weight in lam:
                w, v = weight.view(-1, 1), weight.view(-1, 1, 1, 1)
                logits = model(v * x[place] + (1 - v) * x[place][partner])["logits"]
                soft = w * targets[place] + (1 - w) * targets[place][partner]
                total = total + loss(logits, soft).sum() / len(lam)
        weights = list(model.parameters())
        gradients = torch.autograd.grad(total / counts[step].sum(), weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(0 if gradient is None else ALWAYS["learning_rate"] * gradient)


SINGLE = {"problem_type": "single_label_classification"}
KINDS = {  # the loss by its formula, the model's own config, further arguments
    "labels": (cross_entropy, {}, {}),
    "ignored": (cross_entropy, {}, {}),  # −100, as everywhere in transformers
    "smoothed": (partial(cross_entropy, smoothing=0.2), {}, {"label_smoothing_factor": 0.2}),
    "soft": (cross_entropy, SINGLE, {}),
    "many": (lambda z, t: -(t * F.logsigmoid(z) + (1 - t) * F.logsigmoid(-z)).mean(1), {}, {}),
    "number": (lambda z, t: (z - t)[:, 0] ** 2, {"num_labels": 1}, {}),
}


@pytest.mark.parametrize(("count", "batch", "accumulate"), [(11, 4, 2), (9, 4, 3)])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_is_the_one_by_hand(hf, count, batch, accumulate, own, kind):
    loss, config, more = KINDS[kind]
    x, y = learnable(count).tensors
    targets, counts = F.one_hot(y, CLASSES).double(), torch.ones(count)
    draw = torch.rand(count, config.get("num_labels", CLASSES), generator=seeded(5)).double()
    if kind in ("soft", "many", "number"):
        targets = y = {"soft": draw / draw.sum(1, keepdim=True), "many": draw.round(), "number": draw}[kind]
    elif kind == "ignored":
        for part, value in ((targets, 0), (counts, 0), (y, -100)):
            part[[1, 2, 8]] = value
    rows = [
        {"picture" if own else "pixel_values": image, "labels": label}
        for image, label in zip(x.double(), y, strict=True)
    ]
    model = (Own(draw.shape[1], config) if own else hf.vit(**config)).double()
    twin, mixer = copy.deepcopy(model), Recording("mixup", alpha=0.4, k=2)
    more = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulate} | more
    hf.trainer(mixer, rows, model, train_sampling_strategy="sequential", **more).train()
    by_hand(twin, x.double(), targets, counts, mixer.plans, batch, accumulate, loss)
    for (name, weight), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")


def test_readme_huggingface_learns_and_evaluates_unmixed_images(names, hf):
    names |= {"vit": hf.vit(), "rows": rows_of(learnable()), "mixer": mx.Mixer("mixup", alpha=0.2, k=2)}
    names["arguments"] = hf.arguments(num_train_epochs=8, optim="adamw_torch", learning_rate=0.05)
    before = hf.trainer(mx.Mixer(), names["rows"], copy.deepcopy(names["vit"])).evaluate()["eval_loss"]
    exec(BLOCKS["huggingface"], names)
    after = names["trainer"].evaluate()["eval_loss"]
    assert after < before - 0.2
    x, y = learnable().tensors
    with torch.no_grad():
        expected = F.cross_entropy(names["vit"].eval()(x).logits, y)
    assert after == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("drop", [False, True])
def test_evaluation_keeps_every_row(hf, drop):
    rows = rows_of(images(20))
    trainer = hf.trainer(mx.Mixer(), rows, dataloader_drop_last=drop, per_device_eval_batch_size=16)
    for count in (16, 20, 4):
        predicted = trainer.predict(rows[:count])
        assert len(predicted.predictions) == len(predicted.label_ids) == count
    x, y = images(20).tensors
    with torch.no_grad():
        assert trainer.evaluate()["eval_loss"] == pytest.approx(F.cross_entropy(trainer.model(x).logits, y).item())
    assert len(trainer.get_train_dataloader()) == (2 if drop else 3)  # batches of 8


@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_every_variant_trains_by_its_own_loss(hf, variant):
    """One step of plain descent moves the weights by the gradient of `mx.mixed_loss`."""
    settings = {"layers": ["net.layer1"]} if variant == "manifold" else SETTINGS.get(variant, {})
    mixer, model = Recording(variant, k=2, **settings), Own()
    twin = copy.deepcopy(model)
    more = {"per_device_train_batch_size": 10, "train_sampling_strategy": "sequential"}
    hf.trainer(mixer, rows_of(learnable(10), key="picture"), model, **more).train()
    x, y = learnable(10).tensors
    (plan,) = mixer.plans

    if variant == "puzzle":  # the graph of its clean loss is gone
        plan = replace(plan, clean_loss=F.cross_entropy(twin.net(x), y))
    mx.mixed_loss(nn.Sequential(OrderedDict(net=twin.net)), x, y, plan).backward()
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other - ALWAYS["learning_rate"] * other.grad)


@pytest.mark.parametrize(("layer", "k"), [("bert.embeddings", 2), ("bert.encoder.layer.0", 1)])
def test_a_text_is_mixed_inside_the_model(hf, layer, k):
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model, shapes = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=CLASSES, **sizes)), []
    masks = [(torch.arange(6) < 3 + place % 4).long() for place in range(9)]
    kinds = torch.zeros(6, dtype=torch.int64)
    rows = [{"input_ids": torch.randint(20, (6,)), "attention_mask": mask, "token_type_ids": kinds} for mask in masks]
    rows = [row | {"labels": place} for place, row in enumerate(rows)]
    trainer = hf.trainer(mx.Mixer("manifold", k=k, layers=[layer]), rows, model, per_device_train_batch_size=4)
    model.bert.encoder.layer[1].register_forward_hook(lambda _module, _args, output: shapes.append(len(output)))
    trainer.train()
    assert shapes == [4 * k, 4 * k, 1]
    with pytest.raises(TypeError, match="token ids are not blended"):
        hf.trainer(mx.Mixer(), rows, model).train()


def test_each_batch_is_mixed_by_one_of_several(hf):
    several = [mx.Mixer("manifold", layers=["vit.layers.0"]), mx.Mixer("mit"), mx.Mixer("cutmix", probability=0.5)]
    mixer = RecordingOneOf(several)
    hf.trainer(mixer, rows_of(learnable()), per_device_train_batch_size=2, gradient_accumulation_steps=20).train()
    assert {plan.variant for plan in mixer.plans} == {"manifold", "mit", "cutmix", "none"}


def test_a_seed_gives_the_same_mixes(hf):
    def run(seed):
        trainer, seen = hf.trainer(mx.Mixer("cutmix", k=2), rows_of(images(12)), seed=seed), []
        trainer.model.vit.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        trainer.train()
        return torch.cat(seen)

    first = run(0)
    assert first.shape == (24, 3, 4, 4)
    assert first.flatten(1).std(1).amax() > 0.01  # images of one value are no longer of one
    assert torch.equal(first, run(0))
    assert not torch.equal(first, run(1))


def test_a_loss_of_the_users_own_is_given_soft_targets_and_their_number(hf):
    def func(outputs, labels, num_items_in_batch):
        return F.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch

    models = []
    for given in (None, func):
        more = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
        trainer = hf.trainer(mx.Mixer("mixup", k=2), rows_of(learnable(9)), func=given, **more)
        trainer.train()
        models.append(trainer.model)
    for weight, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(weight, other)


class Sound(Own):
    """A model of sounds, which notes the masks that it is given."""

    main_input_name = "input_values"

    def forward(self, input_values, attention_mask=None, labels=None):
        vars(self).setdefault("masks", []).append(attention_mask)
        return super().forward(input_values * attention_mask, labels)


def test_the_mask_of_a_mixed_sound_is_that_of_both(hf):
    lengths, mixer, model = torch.tensor([9, 48, 20, 30, 7]), Recording("mixup", k=2), Sound()
    masks = (torch.arange(48) < lengths[:, None]).long()
    rows = [{"input_values": torch.rand(48), "attention_mask": mask, "labels": 1} for mask in masks]
    more = {"per_device_train_batch_size": 4, "train_sampling_strategy": "sequential"}
    hf.trainer(mixer, rows, model, **more).train()
    whole, lone = model.masks
    partners = mixer.plans[0].partner
    assert whole.sum(1).tolist() == 2 * torch.maximum(lengths[:4], lengths[:4][partners]).tolist()
    assert torch.equal(lone, masks[4:])


def test_wrong_settings_and_batches(hf):
    class Twice(Own):
        def forward(self, picture, labels=None, label_2=None):  # noqa: ARG002
            return super().forward(picture, labels)

    def train(rows, mixer=None, model=None):
        return lambda: hf.trainer(mixer or mx.Mixer(), rows, model).train()

    good = rows_of(images(4))
    more = [row | {"token_type_ids": torch.zeros(3)} for row in good]
    late = [row | {"labels": row["labels"] + CLASSES} for row in good]
    refuses(lambda: hf.trainer("mixup", good), TypeError, "mixer", "a Mixer", "got 'mixup'")
    refuses(lambda: hf.trainer(mx.Mixer(), good, Twice()), ValueError, "label_names", "one name", "'label_2'")
    refuses(lambda: hf.MixTrainer(hf.vit(), hf.arguments(), mixer=mx.Mixer(), input_key=3), TypeError, "input_key", "3")
    refuses(train([{"pixel_values": row["pixel_values"]} for row in good]), TypeError, "inputs", "'labels'", "got")
    refuses(train(rows_of(images(4), key="x")), TypeError, "input_key", "'pixel_values'")
    refuses(train(more), ValueError, "inputs", "attention_mask", "got 'token_type_ids'")
    refuses(train(late), ValueError, "y_a", "0 to 9", "10 to 13")
    layers = mx.Mixer("manifold", layers=["vit.layer.0"])
    refuses(train(good, layers), ValueError, "layer", "got 'vit.layer.0'", "did you mean 'vit.layers.0'")
