"""Images a second and accuracy of the live loop, beside a bare loop and a textbook loop, on real CIFAR-10.

    make bench, or: python benchmarks/train.py [--quick]

"bare" repeats forward, backward and step on one fixed batch, with the same model, optimiser, layout and arithmetic:
what a training loop cannot beat. "textbook" is a DataLoader without worker processes, torchvision transforms, float32,
NCHW. All take turns, a batch at a time. The accuracy runs are whole `mx.fit` calls with their defaults.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import harness
import torch
from torch.nn import functional
from torchvision.transforms import v2

import mixlab as mx
from mixlab.data import Dataset

MIXERS = {"none": mx.Mixer("none"), "mixup": mx.Mixer("mixup"), "cutmix": mx.Mixer("cutmix")}


def bare(trainer: mx.Trainer) -> Callable[[], object]:
    """Forward, backward, step on one batch that is ready."""
    model, optimiser = trainer.model, trainer.optimiser
    batch, device = trainer.batch_size, trainer.device
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,), device=device)
    model.train()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.dtype == torch.bfloat16):
            logits = model(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def textbook(data: Dataset, trainer: mx.Trainer) -> Callable[[], object]:
    """DataLoader with a transform for each image, float32, NCHW, no bfloat16."""
    mean, std = data.normalisation
    transform = v2.Compose(
        [
            v2.RandomCrop(32, padding=4, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )

    class Images(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(data.train)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(data.train.images[index]), int(data.train.labels[index])

    def batches() -> Iterator[Any]:
        while True:
            yield from torch.utils.data.DataLoader(Images(), trainer.batch_size, shuffle=True, drop_last=True)

    model = mx.models.quick(10).to(trainer.device)
    model.train()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9, nesterov=True)
    source = batches()

    def step() -> None:
        x, y = (part.to(trainer.device) for part in next(source))
        loss = functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def throughput(data: Dataset, rounds: int) -> list[dict[str, object]]:
    """Seconds a step, taking turns."""
    trainers = {name: mx.fit(mx.models.quick(10), data, mixer, epochs=1000) for name, mixer in MIXERS.items()}
    batch = trainers["none"].batch_size
    tasks: dict[str, Callable[[], object]] = {
        "bare loop, one fixed batch": bare(mx.fit(mx.models.quick(10), data, epochs=1))
    }
    tasks |= {f"mx.fit, {name}": trainer.step for name, trainer in trainers.items()}
    tasks["textbook loop"] = textbook(data, trainers["none"])
    seconds = harness.interleaved(tasks, rounds)
    rows: list[dict[str, object]] = []
    print(f"\nOne step of {batch} images, {rounds} rounds; {trainers['none'].picked}")
    for name, times in seconds.items():
        middle, low, high = harness.median_and_spread(times)
        rows.append(
            {
                "task": name,
                "images_per_second": round(batch / middle),
                "quartiles": [round(batch / high), round(batch / low)],
                "of_bare": round(harness.ratio(seconds["bare loop, one fixed batch"], times), 3),
                "step_over_unmixed": round(harness.ratio(times, seconds["mx.fit, none"]), 3),
            }
        )
        print("  {task:30}{images_per_second:>7} images/s {quartiles}  {of_bare:.3f} of bare".format(**rows[-1]))
    return rows


def mixing_share(data: Dataset, rounds: int) -> float:
    """Share of a step that mixup adds: plan and apply, less what they take for "none", beside a whole step."""
    trainer = mx.fit(mx.models.quick(10), data, MIXERS["none"], epochs=1000)
    images = data.train.images[: trainer.batch_size].to(trainer.device, memory_format=torch.channels_last)
    statistics = data.normalisation

    def prepare(mixer: mx.Mixer) -> Callable[[], object]:
        return lambda: mixer.plan(images).apply(images, normalise=statistics)

    tasks = {"mixup": prepare(MIXERS["mixup"]), "none": prepare(MIXERS["none"]), "step": trainer.step}
    seconds = harness.interleaved(tasks, rounds)
    extra = harness.median_and_spread(seconds["mixup"])[0] - harness.median_and_spread(seconds["none"])[0]
    share = extra / harness.median_and_spread(seconds["step"])[0]
    print(f"  mixing adds {share:.2%} to a step")
    return round(share, 4)


def accuracy(data: Dataset, epochs: int, seeds: range) -> list[dict[str, Any]]:
    """Whole runs with the defaults, without mixing and with mixup, and the mean accuracy of each with its interval."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for name in ("none", "mixup"):
            mixer = MIXERS[name]
            began = time.perf_counter()
            trainer = mx.fit(mx.models.quick(10, seed=seed), data, mixer, epochs=epochs, seed=seed)
            *_, record = trainer
            rows.append(
                {
                    "mixer": name,
                    "seed": seed,
                    "epochs": epochs,
                    "seconds": round(time.perf_counter() - began, 1),
                    "test_accuracy": record.test_accuracy,
                    "test_ece": round(record.test_ece, 4),
                    "images_per_second": round(record.images_per_second),
                }
            )
            print("  {mixer:8} seed {seed}: {test_accuracy:.4f} in {seconds} s".format(**rows[-1]), flush=True)
    for name in ("none", "mixup") if len(seeds) > 1 else ():
        print(f"  {name:8} {mx.mean_interval([row['test_accuracy'] for row in rows if row['mixer'] == name])}")
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, no whole runs, nothing saved")
    parser.add_argument("--seeds", type=int, default=3, help="whole runs of each mixer")
    arguments = parser.parse_args()
    data = mx.load("cifar10")
    rounds = 6 if arguments.quick else 40
    steps = throughput(data, rounds)
    share = mixing_share(data, rounds)
    if not arguments.quick:
        runs = accuracy(data, 3, range(arguments.seeds))
        harness.save("train", ("mixlab", "torch"), steps=steps, mixing_share=share, runs=runs)


if __name__ == "__main__":
    main()
