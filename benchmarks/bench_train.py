"""Images a second and accuracy of the live loop, beside a bare loop and the peers' mixing in it, on real CIFAR-10.

    make bench, or: python benchmarks/bench_train.py [--quick] [--minutes 3]

--help says what takes turns with what, and what each does.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import harness
import peers
import results
import torch
from harness import rate, reading
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2
from train_runs import TARGETS, accuracy

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.training import Trainer

WANTED = " and ".join(f"{wanted['test_accuracy']:.0%} in {wanted['seconds']} s" for wanted in TARGETS.values())
METHOD = f"""A step of mx.fit and of the bare loop, forward, backward and optimizer, takes turns with every other task,
a batch at a time. "bare" repeats one fixed batch with the same model, optimizer, layout and arithmetic: what a training
loop cannot beat, so mx.fit has its share of the bare loop's rate as a target. In the bare loop every library mixes the
same batch with λ ~ U[0, 1]. Ours has its own loss of two labels; a peer's soft labels go into F.cross_entropy, and are
made first where it gives labels and λ. A peer that mixes in place is given a clone, which is in its time. keras runs on
the torch backend, and making its one-hot labels is in the call. "textbook" is a DataLoader without worker processes,
torchvision transforms for each image, float32, NCHW; its crops have 4 pixels of margin, ours 2. K = 5 takes turns by
itself; its images are those that the network sees, five for each image of the batch. Own picks: mx.fit as it picks for
itself beside dtype=torch.float32, in a process for each limit to the instructions. Accuracy: whole calls of mx.fit with
their defaults, on CIFAR-10; the targets, {WANTED}, were named for two cores with AMX."""
CLASSES, K = peers.CLASSES, 5
SHARE = 0.95  # of the bare loop's rate
LIMITS = (None, "AVX512_CORE", "AVX2")
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
        made = [peer.leave(x, y) for _ in range(times)]
        images = torch.cat([images for images, _ in made]) if times > 1 else made[0][0]
        targets = torch.cat([peer.soft(labels) for _, labels in made])
        return images, lambda logits: functional.cross_entropy(logits, targets.to(logits.dtype))

    return mix


def bare(data: Dataset, mix: Mix, repeat: int = 1) -> Callable[[], object]:
    """Mix, forward, backward, step on one batch that is ready, `repeat` times as large, as `mx.fit` would do them."""
    trainer = mx.fit(mx.models.quick(CLASSES), data, epochs=1)
    model, optimizer, device = trainer.model, trainer.optimizer, trainer.device
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
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def textbook(data: Dataset, trainer: Trainer) -> Callable[[], object]:
    """DataLoader with a transform for each image, float32, NCHW, no bfloat16."""
    mean, std = data.normalization
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
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9, nesterov=True)
    source = batches()

    def step() -> None:
        x, y = (part.to(trainer.device) for part in next(source))
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def print_rates(seconds: Mapping[str, list[float]], images: int) -> None:
    """Print the images a second of each task."""
    rates = [(name, rate(images, times)) for name, times in seconds.items() if name != harness.AGAIN]
    harness.table(f"a step of {images} images", ("", "images/s (quartiles)"), rates)


def shares(seconds: Mapping[str, list[float]], what: str) -> list[dict[str, Any]]:
    """The live loop's rate over the bare loop's: the bare loop's seconds over the live loop's, round by round."""
    return [
        reading(
            "training",
            f"{what}: rate of {name} over the bare loop's",
            "",
            harness.ratio_interval(seconds["bare loop"], times),
            least=SHARE,
            n=len(times),
        )
        for name, times in seconds.items()
        if name.startswith("mx.fit")
    ]


Found = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # comparisons, readings


def live(data: Dataset, rounds: int) -> Found:
    """Rates and comparisons of a step with K = 1, the live loop's and the bare loop's, taking turns."""
    mixers = {"none": mx.Mixer("none"), "mixup": mx.Mixer("mixup"), "cutmix": mx.Mixer("cutmix")}
    trainers = {name: mx.fit(mx.models.quick(CLASSES), data, mixer, epochs=1000) for name, mixer in mixers.items()}
    batch, dtype = trainers["none"].batch_size, str(trainers["none"].dtype).removeprefix("torch.")
    made = {f"{peer.name} {peer.call}": peer for peer in mixups()}
    mixed = bare(data, ours(mixers["mixup"]))
    tasks: dict[str, harness.Task] = {"bare loop": bare(data, unmixed), "bare loop, mixlab mixup": mixed}
    tasks |= {harness.AGAIN: mixed}
    tasks |= {f"bare loop, {name}": bare(data, theirs(peer)) for name, peer in made.items()}
    tasks |= {f"mx.fit, {name}": trainer.step for name, trainer in trainers.items()}
    tasks["textbook loop"] = textbook(data, trainers["none"])
    print(f"{rounds} rounds; {trainers['none'].picked}")
    seconds = harness.interleaved(tasks, rounds)
    mine = seconds["bare loop, mixlab mixup"]
    control = harness.ratio_interval(seconds[harness.AGAIN], mine)
    what = f"step of {batch} images, {dtype}, channels_last"
    rows = [
        harness.comparison(
            "training",
            f"{what}: mixup in the bare loop",
            peer.name,
            call=peer.call,
            ours='Mixer("mixup")',
            seconds=(mine, seconds[f"bare loop, {name}"]),
            control=control,
        )
        for name, peer in made.items()
    ]
    rows.append(
        harness.comparison(
            "training",
            f"step of {batch} images, as each is written",
            "textbook loop",
            call="DataLoader, float32, NCHW",
            ours="mx.fit, none",
            seconds=(seconds["mx.fit, none"], seconds["textbook loop"]),
            control=control,
        )
    )
    print_rates(seconds, batch)
    return rows, shares(seconds, what)


def many(data: Dataset, rounds: int) -> Found:
    """The same with K = 5: what the network sees is five times the batch, for every task."""
    trainer = mx.fit(mx.models.quick(CLASSES), data, mx.Mixer("mixup", k=K), epochs=1000)
    torchvision = next(peer for peer in mixups() if peer.name == "torchvision")
    images = K * trainer.batch_size
    mixed = bare(data, ours(mx.Mixer("mixup", k=K)))
    mine, other = f"bare loop, mixlab mixup, K = {K}", f"bare loop, torchvision v2.MixUp {K} times"
    tasks: dict[str, harness.Task] = {
        "bare loop": bare(data, unmixed, K),
        mine: mixed,
        harness.AGAIN: mixed,
        other: bare(data, theirs(torchvision, K)),
        f"mx.fit, mixup, K = {K}": trainer.step,
    }
    seconds = harness.interleaved(tasks, rounds)
    what = f"step of {images} images from {trainer.batch_size}"
    row = harness.comparison(
        "training",
        f"{what}: mixup in the bare loop",
        "torchvision",
        call=f"v2.MixUp {K} times, and cat",
        ours=f'Mixer("mixup", k={K})',
        seconds=(seconds[mine], seconds[other]),
        control=harness.ratio_interval(seconds[harness.AGAIN], seconds[mine]),
    )
    print_rates(seconds, images)
    return [row], shares(seconds, what)


def own_picks(rounds: int) -> None:
    """Time `mx.fit` by its own picks beside float32, here and now; print what `picks` reads."""
    data = mx.load("cifar10")
    kinds = {"own": None, "float32": torch.float32}
    trainers = {
        name: mx.fit(mx.models.quick(CLASSES), data, mx.Mixer("mixup"), epochs=1000, dtype=dtype)
        for name, dtype in kinds.items()
    }
    steps = {name: trainer.step for name, trainer in trainers.items()}
    seconds = harness.interleaved(steps | {harness.AGAIN: steps["own"]}, rounds)
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
                control=harness.ratio_interval(found[harness.AGAIN], found["own"]),
            )
        )
    harness.show("own picks beside float32", rows)
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = harness.parser(__doc__, METHOD, quick="few rounds, no whole runs, nothing saved")
    parser.add_argument("--minutes", type=float, default=3, help="for the whole runs; all twelve take about 13")
    parser.add_argument("--picks", type=int, help=argparse.SUPPRESS)  # what `picks` starts, with so many rounds
    arguments = parser.parse_args()
    if arguments.picks:
        own_picks(arguments.picks)
        return
    data = mx.load("cifar10")
    quick = arguments.quick
    parts = [live(data, 3 if quick else 40), many(data, 3 if quick else 20)]
    rows, readings = (list(chain(*part)) for part in zip(*parts, strict=True))
    harness.show("one step", rows)
    rows += picks(3 if quick else 30)
    if not quick:
        readings += accuracy(data, arguments.minutes)
        packages = ("mixlab", "torch", *peers.MODULES)
        results.save("train", packages, tasks=rows, readings=readings, absent=harness.absent(peers.MODULES))


if __name__ == "__main__":
    main()
