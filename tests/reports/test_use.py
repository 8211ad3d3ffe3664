"""What users of libraries for calibration, data and training reported, and what is right: one row a report."""

import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from reported import Report, judge, refused
from seeding import seeded
from torch import Tensor, nn
from torch.nn import functional

import mixlab as mx
from mixlab.data import DataError
from mixlab.data.dataset import Split

X = torch.randn(8, 3, 6, 4, generator=seeded(1))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
Z = torch.randn(8, 3, generator=seeded(3))


def predictions(confidence: list[float], right: list[int]) -> mx.Predictions:
    probs = torch.tensor([[value, 1 - value] for value in confidence], dtype=torch.float64)
    return mx.Predictions.from_probs(probs, 1 - torch.tensor(right))


def temperature(z: Tensor, y: Tensor) -> float:
    return mx.fit_temperature(mx.Predictions.from_logits(z, y)).value


def reliability(given: mx.Predictions) -> mx.Reliability:
    return mx.Reliability().update(given.probs, given.labels)


def wilson(right: int, count: int) -> list[bool]:
    share = mx.estimate(predictions([1.0] * count, [1] * right + [0] * (count - right)), "accuracy")
    return [0 <= share.low <= share.value, share.value <= share.high <= 1]


SHARP = 4 * torch.randn(200, 3, generator=seeded(5), dtype=torch.float64)
TRUE = (SHARP / 3).softmax(1).multinomial(1, generator=seeded(6))[:, 0]
P = torch.rand(500, generator=seeded(0), dtype=torch.float64)
POSITIVE = (torch.rand(500, generator=seeded(1), dtype=torch.float64) < P).long()


def binary_ece() -> float:
    """Of the confidence max(p, 1 − p), in 15 bins of equal width."""
    confidence, right = torch.maximum(P, 1 - P), (P > 0.5).long() == POSITIVE
    bins = (confidence * 15).ceil()
    return sum(abs(float((confidence - right.double())[bins == b].sum())) for b in range(1, 16)) / 500


CALIBRATION = [
    Report(
        "EFS-OpenSource/calibration-framework#17",
        "a vector of P(class 1) was read as the confidence in what is true",
        lambda: mx.estimate(mx.Predictions.from_probs(P, POSITIVE), "ece").value,
        lambda: pytest.approx(binary_ece()),
    ),
    Report(
        "Lightning-AI/torchmetrics#3510",
        "a confidence of exactly 1 fell into a bin of its own",
        lambda: mx.estimate(predictions([0.95, 1.0], [1, 0]), "ece").value,
        pytest.approx(0.475),
    ),
    Report(
        "JonathanWenger/pycalib#4",
        "a bin's middle stood for its mean confidence, so that a perfect model had an error",
        lambda: mx.estimate(predictions([1.0] * 9, [1] * 9), "ece").value,
        0.0,
    ),
    Report(
        "EFS-OpenSource/calibration-framework#52",
        "empty bins were drawn as if there were answers",
        lambda: int((reliability(predictions([0.95, 0.97], [1, 0])).bins().count > 0).sum()),
        1,
    ),
    Report("statsmodels/statsmodels#7386", "Wilson's interval ends above 1", lambda: wilson(38, 38), [True, True]),
    Report("statsmodels/statsmodels#7386", "Wilson's interval begins below 0", lambda: wilson(0, 77), [True, True]),
    Report(
        "dirichletcal/experiments_dnn#3",
        "the temperature of a model that is always wrong turned negative",
        lambda: refused(lambda: temperature(torch.tensor([[4.0, 0.0]] * 20), torch.ones(20).long()), ValueError),
        "no best temperature",
    ),
    Report(
        "google-research/robustness_metrics#79",
        "LBFGS stops before it has converged; at the best T the slope is 0",
        lambda: slope_at(temperature(SHARP, TRUE)),
        pytest.approx(0, abs=1e-9),
    ),
]


def slope_at(t: float) -> float:
    inverse = torch.tensor(1 / t, dtype=torch.float64, requires_grad=True)
    functional.cross_entropy(SHARP * inverse, TRUE).backward()
    return float(inverse.grad)


def folder(modes: tuple[str, ...], *, damaged: bool = False) -> str:
    """A new folder of two classes with six images each, in these modes of Pillow's."""
    place = Path(tempfile.mkdtemp())
    for number in range(12):
        file = place / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new(modes[number % len(modes)], (9, 14), 20 * number if modes[0] == "L" else None).save(file)
    if damaged:
        file.write_bytes(b"not a picture")
    return str(place)


def own_data(strided: bool = False) -> mx.Dataset:
    table = torch.stack([torch.arange(40) // 20, torch.arange(40) % 2], 1)
    labels = table[:, 1] if strided else table[:, 1].contiguous()
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=seeded(2))
    return mx.Dataset("own", Split(images, labels), Split(images, labels), ("a", "b"))


def variants_of_batches(mix_until: int) -> list[str]:
    """By which variant each batch of three epochs was mixed, as far as this mixer was asked."""
    drawn: list[str] = []

    class Told(mx.Mixer):
        def plan(self, *parts, **more):
            drawn.append(self.variant)
            return super().plan(*parts, **more)

    for _ in mx.fit(mx.models.quick(2), own_data(), Told("mixup"), epochs=3, mix_until=mix_until, **PLAIN):
        pass
    return drawn


def predicted_rows(rows: int) -> int:
    """How many rows Hugging Face's Trainer predicts, told to drop last batches in training."""
    from transformers import TrainingArguments, ViTConfig, ViTForImageClassification

    from mixlab.integrations.huggingface import MixTrainer

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    net = ViTForImageClassification(ViTConfig(**small, image_size=8, patch_size=4, num_labels=3))
    given = [{"pixel_values": torch.rand(3, 8, 8), "labels": i % 3} for i in range(rows)]
    told = {"dataloader_drop_last": True, "per_device_eval_batch_size": 64, "use_cpu": True, "report_to": []}
    trainer = MixTrainer(net, TrainingArguments(tempfile.mkdtemp(), **told), mixer=mx.Mixer("mixup"))
    return len(trainer.predict(given).predictions)


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """The focal loss of each row, linear in its target."""
    logs = logits.log_softmax(1)
    return -(targets * (1 - logs.exp()).square() * logs).sum(1)


class Table(nn.Module):
    """Gives logits of its own for each row."""

    def forward(self, x: Tensor) -> Tensor:
        return Z.repeat(len(x) // 8, 1)


def focal_loss() -> tuple[Tensor, Tensor]:
    plan, y = mx.Mixer("mixup", k=2).plan(X, generator=seeded(0)), functional.one_hot(Y, 3).float()
    return mx.mixed_loss(Table(), X, y, plan, loss=focal), focal(Table()(plan.apply(X)), plan.targets(y)).mean()


PLAIN = {"batch_size": 40, "device": "cpu", "dtype": torch.float32}
NAMED = [{"one": X[i], "two": X[i, :1], "y": int(Y[i]), "id": f"image {i}"} for i in range(8)]
OWN_DATA_AND_LOOPS = [
    Report(
        "pytorch/vision#198",
        "gray pictures in class folders broke a network for color",
        lambda: (data := mx.load(folder(("L",)), image_size=8)).channels * len(data.classes),
        2,
    ),
    Report(
        "NVlabs/stylegan2-ada-pytorch#46",
        "pictures in several modes do not fit together",
        lambda: tuple(mx.load(folder(("RGBA", "L", "P", "RGB")), image_size=8).train.images.shape[1:]),
        (3, 8, 8),
    ),
    Report(
        "pytorch/vision#485",
        "a damaged file was not named",
        lambda: refused(lambda: mx.load(folder(("RGB",), damaged=True)), DataError),
        "11.png",
    ),
    Report(
        "safetensors/safetensors#469",
        "what is not contiguous could not be saved after the training",
        lambda: mx.run("quick", own_data(strided=True), epochs=1, progress=False, **PLAIN).history[-1].epoch,
        1,
    ),
    Report(
        "open-mmlab/mmdetection#7053",
        "mixing is to end after some epochs",
        lambda: variants_of_batches(2),
        ["mixup", "mixup"],
    ),
    Report("huggingface/transformers#9662", "evaluation lost its last batch", lambda: predicted_rows(100), 100),
    Report("thuml/Autoformer#104", "of 20 rows none was evaluated", lambda: predicted_rows(20), 20),
    Report(
        "itakurah/focal-loss-pytorch#2", "any loss of soft targets", lambda: focal_loss()[0], lambda: focal_loss()[1]
    ),
    Report(
        "pytorch/vision#8693",
        "labels are guessed; inputs beside the first are left unmixed",
        lambda: sorted(mx.MixCollate(mx.Mixer("mixup"), num_classes=3, labels_getter="y")(NAMED)),
        ["id", "one", "two", "y"],
    ),
    Report(
        "matplotlib/matplotlib#20266",
        "a class named $$ broke every picture of it",
        lambda: mx.plot_mixed(
            mx.Mixer("mixup")(X[:, :, :4].clamp(0, 1), Y), classes=["$$", "a$b", "\\x"]
        ).figure.canvas.draw(),
        None,
    ),
]


@pytest.mark.parametrize(
    "report", [*CALIBRATION, *OWN_DATA_AND_LOOPS], ids=lambda report: f"{report.thread}: {report.says}"
)
def test_what_was_reported_is_right(report):
    judge(report)
