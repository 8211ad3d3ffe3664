"""Images a second and accuracy of the live loop, beside a bare loop and the peers' mixing in it, on real CIFAR-10.

    make bench, or: python benchmarks/train.py [--quick] [--minutes 6]

"bare" repeats forward, backward and step on one fixed batch, with the same model, optimiser, layout and arithmetic:
what a training loop cannot beat. In it every library mixes the same batch with λ ~ U[0, 1] and its own labels and loss.
"textbook" is a DataLoader without worker processes, torchvision transforms, float32, NCHW. All take turns, a batch at a
time. K = 5 takes turns by itself; its images are those that the network sees, five for each image of the batch.

Own picks: `mx.fit` as it picks for itself beside `dtype=torch.float32`, in a process for each limit to the
instructions. Accuracy: whole `mx.fit` calls with their defaults; no run begins after `--minutes`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import harness
import peers
import torch
from measured import rate, reading
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

import mixlab as mx
from mixlab.data import Dataset

CLASSES, K = peers.CLASSES, 5
LIMITS = (None, "AVX512_CORE", "AVX2")
TARGET = "80% in 30 s and 85% in 120 s, on two AMX cores"
Loss = Callable[[Tensor], Tensor]
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Loss]]


def mixups() -> list[peers.Peer]:
    """The mixup of every peer that is here, with λ ~ U[0, 1]."""
    return [peer for peer in peers.here(harness.absent(peers.MODULES)) if peer.kind == "mixup" and peer.timed]


def unmixed(x: Tensor, y: Tensor) -> tuple[Tensor, Loss]:
    """The batch as it is."""
    return x, lambda logits: functional.cross_entropy(logits, y)


def ours(mixer: mx.Mixer) -> Mix:
    """What mixlab makes of a batch: images, and the loss of their logits."""

    def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Loss]:
        mixed = mixer(x, y)
        return mixed.x, lambda logits: mx.mixed_cross_entropy(logits, mixed.y_a, mixed.y_b, mixed.lam)

    return mix


def theirs(peer: peers.Peer, times: int = 1) -> Mix:
    """What a peer, called `times` times, makes of it: images, and the loss of their logits against its soft labels."""

    def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Loss]:
        made = [peer.mix(x, y) for _ in range(times)]
        images = torch.cat([images for images, _ in made]) if times > 1 else made[0][0]
        targets = torch.cat([peer.soft(labels) for _, labels in made])
        return images, lambda logits: functional.cross_entropy(logits, targets.to(logits.dtype))

    return mix


def bare(data: Dataset, mix: Mix, repeat: int = 1) -> Callable[[], object]:
    """Mix, forward, backward, step on one batch that is ready, `repeat` times as large, as `mx.fit` would do them."""
    trainer = mx.fit(mx.models.quick(CLASSES), data, epochs=1)
    model, optimiser, device = trainer.model, trainer.optimiser, trainer.device
    batch = repeat * trainer.batch_size
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (batch,), device=device)
    model.train()

    def step() -> None:
        images, loss_of = mix(x, y)
        images = images.contiguous(memory_format=torch.channels_last)  # which some peers lose
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.dtype == torch.bfloat16):
            logits = model(images)
        loss = loss_of(logits.float())
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

    model = mx.models.quick(CLASSES).to(trainer.device)
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


def rates(seconds: dict[str, list[float]], images: int, bases: dict[str, str]) -> list[dict[str, object]]:
    """Images a second of each task, and the share of each base's: a ratio of steps, round by round."""
    rows: list[dict[str, object]] = []
    for name, times in seconds.items():
        shares = {f"of_{key}": harness.ratio_interval(seconds[base], times) for key, base in bases.items()}
        rows.append({"task": name, "images": images, "images_per_second": rate(images, times), **shares})
    heads = ("", "images/s (quartiles)", *(f"of {key} (95%)" for key in bases))
    harness.table(f"a step of {images} images", heads, [[row["task"], *list(row.values())[2:]] for row in rows])
    return rows


def live(data: Dataset, rounds: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rates and comparisons of a step with K = 1, the live loop's and the bare loop's, taking turns."""
    mixers = {"none": mx.Mixer("none"), "mixup": mx.Mixer("mixup"), "cutmix": mx.Mixer("cutmix")}
    trainers = {name: mx.fit(mx.models.quick(CLASSES), data, mixer, epochs=1000) for name, mixer in mixers.items()}
    batch, dtype = trainers["none"].batch_size, str(trainers["none"].dtype).removeprefix("torch.")
    made = {f"{peer.name} {peer.call}": peer for peer in mixups()}
    tasks: dict[str, Callable[[], object]] = {"bare loop": bare(data, unmixed)}
    tasks["bare loop, mixlab mixup"] = bare(data, ours(mixers["mixup"]))
    tasks |= {f"bare loop, {name}": bare(data, theirs(peer)) for name, peer in made.items()}
    tasks |= {f"mx.fit, {name}": trainer.step for name, trainer in trainers.items()}
    tasks["textbook loop"] = textbook(data, trainers["none"])
    print(f"{rounds} rounds; {trainers['none'].picked}")
    seconds = harness.interleaved(tasks, rounds)
    what = f"step of {batch} images, {dtype}, channels_last"
    rows = [
        harness.comparison(
            "training",
            f"{what}: mixup in the bare loop",
            peer.name,
            call=peer.call,
            ours='Mixer("mixup")',
            seconds=(seconds["bare loop, mixlab mixup"], seconds[f"bare loop, {name}"]),
            note=peer.note,
        )
        for name, peer in made.items()
    ]
    rows += [
        harness.comparison(
            "training", what, "bare loop", call="one fixed batch", ours=name, seconds=(times, seconds["bare loop"])
        )
        for name, times in seconds.items()
        if name.startswith("mx.fit")
    ]
    rows.append(
        harness.comparison(
            "training",
            f"step of {batch} images, as each is written",
            "textbook loop",
            call="DataLoader, float32, NCHW",
            ours="mx.fit, none",
            seconds=(seconds["mx.fit, none"], seconds["textbook loop"]),
            note="its crops have 4 pixels of margin, ours 2",
        )
    )
    return rates(seconds, batch, {"bare": "bare loop", "none": "mx.fit, none"}), rows


def many(data: Dataset, rounds: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The same with K = 5: what the network sees is five times the batch, for every task."""
    trainer = mx.fit(mx.models.quick(CLASSES), data, mx.Mixer("mixup", k=K), epochs=1000)
    torchvision = next(peer for peer in mixups() if peer.name == "torchvision")
    images = K * trainer.batch_size
    tasks: dict[str, Callable[[], object]] = {
        "bare loop": bare(data, unmixed, K),
        f"bare loop, mixlab mixup, K = {K}": bare(data, ours(mx.Mixer("mixup", k=K))),
        f"bare loop, torchvision v2.MixUp {K} times": bare(data, theirs(torchvision, K)),
        f"mx.fit, mixup, K = {K}": trainer.step,
    }
    seconds = harness.interleaved(tasks, rounds)
    _, mine, other, loop = seconds.values()
    what = f"step of {images} images from {trainer.batch_size}"
    rows = [
        harness.comparison(
            "training",
            f"{what}: mixup in the bare loop",
            "torchvision",
            call=f"v2.MixUp {K} times, and cat",
            ours=f'Mixer("mixup", k={K})',
            seconds=(mine, other),
        ),
        harness.comparison(
            "training",
            what,
            "bare loop",
            call="one fixed batch",
            ours=f"mx.fit, mixup, K = {K}",
            seconds=(loop, seconds["bare loop"]),
        ),
    ]
    return rates(seconds, images, {"bare": "bare loop"}), rows


def own_picks(rounds: int) -> None:
    """Time `mx.fit` by its own picks beside float32, here and now; print what `picks` reads."""
    data = mx.load("cifar10")
    kinds = {"own": None, "float32": torch.float32}
    trainers = {
        name: mx.fit(mx.models.quick(CLASSES), data, mx.Mixer("mixup"), epochs=1000, dtype=dtype)
        for name, dtype in kinds.items()
    }
    seconds = harness.interleaved({name: trainer.step for name, trainer in trainers.items()}, rounds)
    print(json.dumps({"picked": trainers["own"].picked, **seconds}))


def picks(rounds: int) -> list[dict[str, object]]:
    """Own picks over float32 for each limit to the instructions, one process after the other."""
    rows: list[dict[str, object]] = []
    for limit in LIMITS:
        environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
        if limit is not None:
            environment["ONEDNN_MAX_CPU_ISA"] = limit
        command = [sys.executable, __file__, "--picks", str(rounds)]
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        rows.append(
            harness.comparison(
                "own picks",
                f"ONEDNN_MAX_CPU_ISA={limit}" if limit else "all that the CPU has",
                "float32",
                call="mx.fit(..., dtype=torch.float32)",
                ours="mx.fit(...)",
                seconds=(found["own"], found["float32"]),
                note=found["picked"],
            )
        )
    harness.show("own picks beside float32", rows)
    return rows


def accuracy(data: Dataset, minutes: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Whole runs with the defaults, and for each number of epochs the accuracy and the seconds with their intervals."""
    runs: list[dict[str, Any]] = []
    began = time.perf_counter()
    for epochs, seed in [(epochs, seed) for pair in ((1, 4), (2, 3)) for seed in range(3) for epochs in pair]:
        if time.perf_counter() - began > 60 * minutes:
            break
        start = time.perf_counter()
        trainer = mx.fit(mx.models.quick(CLASSES, seed=seed), data, epochs=epochs, seed=seed)
        *_, record = trainer
        seconds = round(time.perf_counter() - start, 2)
        runs.append(
            {
                "epochs": epochs,
                "seed": seed,
                "images_seen": trainer.steps * trainer.batch_size,
                "seconds": seconds,
                "test_accuracy": record.test_accuracy,
                "images_per_second": round(record.images_per_second),
            }
        )
        print("  {epochs} epochs, seed {seed}: {test_accuracy:.4f} in {seconds} s".format(**runs[-1]), flush=True)
    rows = []
    for epochs in sorted({run["epochs"] for run in runs}):
        mine = [run for run in runs if run["epochs"] == epochs]
        what = f"{epochs} epoch{'s' * (epochs > 1)}, {mine[0]['images_seen']:,} images seen"
        for part, unit in (("test_accuracy", ""), ("seconds", "s")):
            rows.append(
                reading(
                    "accuracy",
                    f"{what}: {part.replace('_', ' ')}",
                    unit,
                    mean_with_interval([run[part] for run in mine]),
                    target=TARGET,
                    note=f"mean of {len(mine)} seeds",
                )
            )
    return runs, rows


def mean_with_interval(values: list[float]) -> dict[str, float]:
    """Student's 95% interval; the value alone where there is one."""
    if len(values) == 1:
        return {"mean": values[0], "low": values[0], "high": values[0]}
    found = mx.mean_interval(values)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, no whole runs, nothing saved")
    parser.add_argument("--minutes", type=float, default=6, help="for the whole runs; all twelve take about 13")
    parser.add_argument("--picks", type=int, help=argparse.SUPPRESS)  # what `picks` starts, with so many rounds
    arguments = parser.parse_args()
    if arguments.picks:
        own_picks(arguments.picks)
        return
    data = mx.load("cifar10")
    quick = arguments.quick
    step_rates, rows = live(data, 3 if quick else 40)
    more_rates, more_rows = many(data, 3 if quick else 20)
    rows += more_rows
    harness.show("one step", rows)
    rows += picks(3 if quick else 30)
    if not quick:
        runs, readings = accuracy(data, arguments.minutes)
        packages = ("mixlab", "torch", *peers.MODULES)
        found = {"rates": step_rates + more_rates, "readings": readings, "runs": runs}
        harness.save("train", packages, rows=rows, absent=harness.absent(peers.MODULES), **found)


if __name__ == "__main__":
    main()
