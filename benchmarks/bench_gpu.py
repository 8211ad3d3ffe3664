"""What mixlab does on one GPU: blending beside a device copy, λ, launches, Puzzle Mix, training, and the recipes.

    make bench-gpu, or: python benchmarks/bench_gpu.py [--parts blend train] [--minutes 9] [--reproduce HOURS]
    [--rehearse]

The parts go one after the other, and the file is saved after each: a part that fails, or for which no time was left,
is named in it and costs the others nothing, and parts that are not asked for keep what was measured before. The recipes
need CIFAR, in its cache or within reach; no peer is needed, those that are here take part.

`--reproduce` trains the papers' table for so many hours after the parts: ResNet-18 on CIFAR-10 and CIFAR-100, 200
epochs by `recipes.standard()`, in the store `--root`. A training that the time cuts off goes on from its last epoch
when it is asked for again. `--rehearse` runs everything on tiny sizes, also without a GPU, and saves nothing.
"""

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import harness
import peers
import results
import torch
from gpu_recipes import reproduce, speedrun
from gpu_scene import Row, Scene
from harness import Task, rate, reading
from torch import Tensor
from torch.nn import functional

import mixlab as mx

METHOD = """Tasks of one table take turns. Times of blending and λ are those between two events on the device, of many
calls in a row, so launches are in them; where the row says "graph" the same calls are replayed from a CUDA graph,
without launches. `plan.apply` writes into a buffer and is beside a `copy_` of the batch to as many places: neither
allocates. In "mixup on a GPU" λ, partners and labels are drawn in the call; a peer that mixes in place is given a
clone. The throughput parts train on noise of CIFAR-10's size, beside a bare loop on one batch that is ready."""
STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
SHAPES = ((512, 3, 32, 32), (4096, 3, 32, 32), (256, 3, 224, 224))
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "uint8": torch.uint8}


def images(shape: tuple[int, ...], kind: str, device: torch.device) -> Tensor:
    """Noise of this type."""
    if kind == "uint8":
        return torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    return torch.rand(shape, device=device).to(TYPES[kind])


def blend(scene: Scene) -> list[Row]:
    """`plan.apply` into a buffer beside `copy_` to as many places, for each shape, type and K; and the peers' mixup."""
    rows: list[Row] = []
    rounds, calls = scene.pick((15, 20), (2, 1))
    for shape in scene.pick(SHAPES, ((8, 3, 32, 32),)):
        for kind in TYPES:
            for k in (1, 5):
                rows += _beside_copy(scene, shape, kind, k, rounds, calls)
    return rows + _beside_peers(scene, scene.pick(SHAPES[0], (8, 3, 32, 32)), rounds, calls)


def _beside_copy(scene: Scene, shape: tuple[int, ...], kind: str, k: int, rounds: int, calls: int) -> list[Row]:
    x = images(shape, kind, scene.device)
    many = torch.empty(k, *shape, dtype=x.dtype, device=scene.device)
    half = torch.empty(k * len(x), *shape[1:], dtype=torch.bfloat16, device=scene.device)
    tasks: dict[str, Task] = {}
    for variant in ("mixup", "cutmix"):
        for partners in ("roll", "random"):
            plan = mx.Mixer(variant, k=k, partners=partners).plan(x)
            out = many.view(k * len(x), *shape[1:])
            tasks[f"{variant}, {partners}: plan.apply(x, out=)"] = lambda plan=plan, out=out: plan.apply(x, out=out)
        if kind == "uint8":
            tasks[f"{variant}, random: plan.apply(x, normalize=, out=), to bfloat16"] = lambda plan=plan: plan.apply(
                x, normalize=STATISTICS, dtype=torch.bfloat16, out=half
            )
    tasks |= scene.graphed(tasks)
    seconds = scene.timed({"copy_": lambda: many.copy_(x.expand(k, *shape)), **tasks}, rounds, calls)
    what = f"{' x '.join(map(str, shape))}, {kind}, K = {k}"
    rows = []
    for name in tasks:
        written = half.nbytes if "bfloat16" in name else many.nbytes
        speed = (x.nbytes + written) / sorted(seconds[name])[rounds // 2] / 1e9
        print(f"  {what}, {name}: {speed:.0f} GB/s of the batch read once and its mixes written once")
        pair = (seconds[name], seconds["copy_"])
        group = "blend on a GPU"
        rows.append(harness.comparison(group, what, "torch", call="copy_", ours=name, seconds=pair))
    harness.show(what, rows)
    return rows


def _beside_peers(scene: Scene, shape: tuple[int, ...], rounds: int, calls: int) -> list[Row]:
    x, y = images(shape, "float32", scene.device), torch.arange(shape[0], device=scene.device) % peers.CLASSES
    mixer = mx.Mixer()
    tasks: dict[Any, Task] = {"mixer(x, y)": lambda: mixer(x, y)}
    for peer in peers.here(harness.absent(peers.MODULES)):
        if peer.kind == "mixup" and peer.timed:
            try:
                peer.leave(x, y)
            except Exception as fault:  # noqa: BLE001 - a peer that cannot mix on a GPU is left out, and said to be
                print(f"  {peer.name} {peer.call} does not run here: {fault!r}")
            else:
                tasks[peer] = lambda peer=peer: peer.leave(x, y)
    seconds = scene.timed(tasks, rounds, calls)
    ours, what = seconds.pop("mixer(x, y)"), f"{' x '.join(map(str, shape))}, float32, K = 1"
    rows = [
        harness.comparison("mixup on a GPU", what, peer.name, call=peer.call, ours="mixer(x, y)", seconds=(ours, times))
        for peer, times in seconds.items()
    ]
    if rows:
        harness.show("mixup beside peers, λ and labels drawn in the call", rows)
    return rows


def lam(scene: Scene) -> list[Row]:
    """`sample_lambda` beside torch.distributions.Beta."""
    rows = []
    for alpha in (0.2, 1.0):
        for size in scene.pick((128, 512, 4096, 65536), (128,)):
            rows += _lambdas(scene, alpha, size)
    harness.show("λ", rows)
    return rows


def _lambdas(scene: Scene, alpha: float, size: int) -> list[Row]:
    shape = torch.tensor(alpha, device=scene.device)
    ready = torch.distributions.Beta(shape, shape, validate_args=False)
    ours: dict[str, Task] = {"sample_lambda": lambda: mx.sample_lambda(alpha, size, device=scene.device)}
    ours |= scene.graphed(ours)
    theirs: dict[str, Task] = {
        "Beta.sample, made before": lambda: ready.sample((size,)),
        "Beta(α, α).sample": lambda: torch.distributions.Beta(shape, shape).sample((size,)),
    }
    seconds = scene.timed(ours | theirs, *scene.pick((15, 50), (2, 1)))
    what = f"{size} λ at α = {alpha:g}, float32"
    return [
        harness.comparison("λ on a GPU", what, "torch", call=call, ours=name, seconds=(seconds[name], seconds[call]))
        for name in ours
        for call in theirs
    ]


def launches(scene: Scene) -> list[Row]:
    """Kernels a training step of `quick` launches, and how often the host waits or copies, for each variant."""
    from torch.profiler import ProfilerActivity, profile

    rows: list[Row] = []
    data, steps = scene.noise, scene.pick(20, 1)
    for variant in mx.VARIANTS:
        trainer = mx.fit(mx.models.quick(10), data, mx.Mixer(variant), epochs=1000, batch_size=scene.pick(512, 8))
        for _ in range(scene.pick(60, 1)):  # until each layer and number of blocks has been met
            trainer.step()
        scene.wait()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            for _ in range(steps):
                trainer.step()
        counts = {event.key: event.count for event in seen.key_averages()}

        def count(*words: str, counts: dict[str, int] = counts) -> int:
            return sum(number for key, number in counts.items() if any(word in key for word in words))

        row = {
            "group": "launches of a training step on a GPU",
            "variant": variant,
            "launches": round(count("LaunchKernel") / steps, 1),
            "synchronizations": count("StreamSynchronize", "EventSynchronize"),  # the profiler waits for the device
            "copies": count("Memcpy HtoD", "Memcpy DtoH"),
            "steps": steps,
        }
        rows.append(row)
        print("  {variant:12} {launches:7.1f} launches a step; {synchronizations} waits, {copies} copies".format(**row))
    return rows


def _steppers(scene: Scene, model: str, mixers: dict[str, mx.Mixer], batch: int) -> dict[str, Task]:
    """A training step with each mixer."""
    data = scene.noise
    return {
        name: mx.fit(getattr(mx.models, model)(10), data, mixer, epochs=10_000, batch_size=batch).step
        for name, mixer in mixers.items()
    }


def puzzle(scene: Scene) -> list[Row]:
    """A step with Puzzle Mix over a plain one."""
    rows: list[Row] = []
    rounds, calls = scene.pick((7, 8), (1, 1))
    for model in ("quick", "resnet18"):
        for batch in scene.pick((128, 512), (4,)):
            tasks = _steppers(scene, model, {"none": mx.Mixer("none"), "puzzle": mx.Mixer("puzzle")}, batch)
            seconds = scene.timed(tasks, rounds + 1, calls)
            ratio = harness.ratio_interval(seconds["puzzle"], seconds["none"])
            what = f"{model}, batches of {batch}: a step over a plain one"
            rows.append(reading("Puzzle Mix on a GPU", what, "", ratio, n=len(seconds["none"]), most=1.7))
    return rows


def train(scene: Scene) -> list[Row]:
    """Images a second of `mx.fit` with each mixer, beside a bare loop on one batch that is ready."""
    rows: list[Row] = []
    batch = scene.pick(512, 4)
    rounds = scene.pick(6, 2)  # fewer than six have no 95% interval
    for model, calls in (("quick", scene.pick(20, 1)), ("resnet18", scene.pick(6, 1))):
        mixers = {variant: mx.Mixer(variant) for variant in mx.VARIANTS}
        tasks = {"bare loop": bare(scene, model, batch), **_steppers(scene, model, mixers, batch)}
        seconds = scene.timed(tasks, rounds, calls)
        for name in mixers:
            row = harness.comparison(
                "training on a GPU",
                f"{model}, a step of {batch} images",
                "bare loop",
                call="one fixed batch",
                ours=f"mx.fit, {name}",
                seconds=(seconds[name], seconds["bare loop"]),
            )
            over = harness.ratio_interval(seconds[name], seconds["none"])["median"]
            speed = rate(batch, seconds[name])["median"]
            rows.append(row)
            print(f"  {model}, {name}: {speed:.0f} images/s; {over:.3f} of the time of a step without mixing")
        harness.show(f"{model}, {batch} images a step", rows[-len(mixers) :])
    return rows


def bare(scene: Scene, model: str, batch: int) -> Task:
    """Forward, backward and step on one batch that is ready, as `mx.fit` does them."""
    trainer = mx.fit(getattr(mx.models, model)(10), scene.noise, epochs=1, batch_size=batch)
    network, optimizer = trainer.model, trainer.optimizer
    x = torch.randn(batch, 3, 32, 32, device=scene.device).contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch, device=scene.device) % 10
    network.train()
    optimizer.learning_rate = 1e-3

    def step() -> None:
        with torch.autocast(scene.device.type, torch.bfloat16, enabled=trainer.dtype == torch.bfloat16):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


PARTS: dict[str, Callable[[Scene], list[Row]]] = {
    "speedrun": speedrun,
    "blend": blend,
    "lam": lam,
    "launches": launches,
    "puzzle": puzzle,
    "train": train,
}


def attempt(part: str, measure: Callable[[], list[Row]], content: dict[str, Any], *, left: float, save: bool) -> bool:
    """Measure a part if time is left, and save all that there is, with why there is nothing new of it if so."""
    print(f"\n=== {part}", flush=True)
    reason = "no time was left" if left < 0 else _failure(part, measure, content)
    content["failed"].pop(part, None)
    if reason:
        print(f"  {reason}", flush=True)
        content["failed"][part] = reason
    if save:
        results.save("gpu", ("mixlab", "torch", *peers.MODULES), **content)
    return not reason


def _failure(part: str, measure: Callable[[], list[Row]], content: dict[str, Any]) -> str:
    """Measure a part; why it failed, or nothing. What was measured before stands where it fails, as does when."""
    began = time.monotonic()
    try:
        content[part] = measure()
    except Exception as fault:  # noqa: BLE001 - the other parts are not to be lost for it
        traceback.print_exc()
        return f"{type(fault).__name__}: {fault}"
    content["taken"][part] = {"seconds": round(time.monotonic() - began), **results.machine()}
    return ""


def kept() -> dict[str, Any]:
    """What an earlier session has saved, but for what every file says of itself."""
    path = results.FOLDER / "gpu.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    parts = {name: part for name, part in content.items() if name not in results.ABOUT}
    return {"failed": {}, "taken": {}} | parts


def main() -> None:
    """Measure, print, save; the exit status is 1 if a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=METHOD, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="which, in this order")
    parser.add_argument("--minutes", type=float, default=9, help="no part begins after these")
    parser.add_argument("--reproduce", type=float, metavar="HOURS", default=0, help="train the papers' table, too")
    parser.add_argument("--root", help="the store of the table's runs")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, with or without a GPU; nothing saved")
    arguments = parser.parse_args()
    if not arguments.rehearse and not torch.cuda.is_available():
        parser.error("no GPU here; --rehearse runs without one")
    scene = Scene(arguments.minutes, rehearsed=arguments.rehearse)
    content = {"failed": {}, "taken": {}} if arguments.rehearse else kept()
    fine, save = True, not arguments.rehearse
    for part in arguments.parts:
        fine &= attempt(part, lambda measure=PARTS[part]: measure(scene), content, left=scene.left, save=save)
    if hours := arguments.reproduce:
        with tempfile.TemporaryDirectory() as folder:
            root = folder if arguments.rehearse else arguments.root
            fine &= attempt("table", lambda: reproduce(scene, hours, root), content, left=3600 * hours, save=save)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
