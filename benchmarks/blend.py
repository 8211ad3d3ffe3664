"""Time of mixing a batch: mixlab beside copy_, torchvision, timm, kornia and the textbook formula, in one run.

    make bench, or: python benchmarks/blend.py [--quick]

The measure is `copy_` of the batch into a buffer that exists. `plan.apply(x, out=buffer)` is like it: nothing is
allocated. The rows "mixer(x, y)" and all peers but timm allocate their result; these and timm, which changes its input
in place, draw λ and, the textbook formula apart, make labels. λ is uniform everywhere, which is Beta(1, 1): mixlab,
kornia and the textbook draw one for each pair, torchvision and timm one for the batch. K = 5 is one call here and five
calls of each peer.
"""

import argparse
from collections.abc import Callable

import harness
import torch
from torch import Tensor

import mixlab as mx
from mixlab.machine import torch_threads

SHAPES = {(512, 3, 32, 32): 60, (256, 3, 224, 224): 9}
CLASSES = 10


def mixlab_tasks(x: Tensor, y: Tensor, k: int) -> dict[str, Callable[[], object]]:
    """mixlab in every way of pairing, into a buffer and allocating."""
    buffer = torch.empty(k * len(x), *x.shape[1:])
    tasks: dict[str, Callable[[], object]] = {}
    for variant in ("mixup", "cutmix"):
        for partners in ("roll", "random"):
            mixer = mx.Mixer(variant, k=k, partners=partners)
            plan = mixer.plan(x)
            tasks[f"mixlab {variant}, {partners}: plan.apply(x, out=)"] = lambda plan=plan: plan.apply(x, out=buffer)
            tasks[f"mixlab {variant}, {partners}: mixer(x, y)"] = lambda mixer=mixer: mixer(x, y)
    return tasks


def peer_tasks(x: Tensor, y: Tensor, k: int) -> dict[str, Callable[[], object]]:
    """Each peer called k times."""
    from kornia.augmentation import RandomMixUpV2
    from timm.data import Mixup
    from torchvision.transforms import v2

    def textbook() -> Tensor:
        lam = torch.rand(len(x), 1, 1, 1)
        return lam * x + (1 - lam) * x[torch.randperm(len(x))]

    own = x.clone()  # timm mixes in place
    mixup, cutmix = v2.MixUp(num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)
    timm = Mixup(num_classes=CLASSES, label_smoothing=0.0)
    kornia = RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    peers: dict[str, Callable[[], object]] = {
        "torchvision MixUp": lambda: mixup(x, y),
        "torchvision CutMix": lambda: cutmix(x, y),
        "timm Mixup, in place": lambda: timm(own, y),
        "kornia RandomMixUpV2": lambda: kornia(x, y),
        "textbook formula": textbook,
    }
    return {name: (lambda task=task: [task() for _ in range(k)]) for name, task in peers.items()}


def measure(shape: tuple[int, ...], k: int, repeats: int) -> list[dict[str, object]]:
    """One table: every task at one shape and one k."""
    x, y = torch.rand(shape), torch.randint(0, CLASSES, shape[:1])
    one, many = torch.empty_like(x), torch.empty(k, *shape)
    tasks: dict[str, Callable[[], object]] = {"copy_ of the batch": lambda: one.copy_(x)}
    if k > 1:
        tasks[f"copy_ of the batch, to {k} places"] = lambda: many.copy_(x.expand(k, *shape))
    tasks |= mixlab_tasks(x, y, k) | peer_tasks(x, y, k)
    seconds = harness.interleaved(tasks, repeats)
    rows: list[dict[str, object]] = []
    print(f"\n{shape}, K = {k}, {repeats} rounds, {torch.get_num_threads()} threads")
    print(f"{'':48}{'median ms':>10}{'quartiles':>18}{'/ copy_':>9}{'torchvision / it':>18}")
    for name, times in seconds.items():
        middle, low, high = harness.median_and_spread(times)
        peer = "torchvision CutMix" if "cutmix" in name.lower() else "torchvision MixUp"
        row = {
            "task": name,
            "shape": shape,
            "k": k,
            "median_ms": round(1e3 * middle, 4),
            "quartiles_ms": [round(1e3 * low, 4), round(1e3 * high, 4)],
            "over_copy": round(harness.ratio(times, seconds["copy_ of the batch"]), 2),
            "torchvision_over_it": round(harness.ratio(seconds[peer], times), 2),
        }
        rows.append(row)
        span = f"{1e3 * low:.2f} to {1e3 * high:.2f}"
        print(f"{name:48}{1e3 * middle:10.2f}{span:>18}{row['over_copy']:9.2f}{row['torchvision_over_it']:18.2f}")
    return rows


def memory(shape: tuple[int, ...]) -> list[dict[str, object]]:
    """How many batches of this shape live at the most while a batch is mixed K times, itself included."""
    x, y = torch.rand(shape), torch.randint(0, CLASSES, shape[:1])
    model = mx.models.quick(CLASSES)
    rows: list[dict[str, object]] = []
    print(
        f"\nmost memory while mixing, in batches of {shape}, the batch itself included; 3 K would be K pairs kept apart"
    )
    for variant in mx.VARIANTS:
        for k in (1, 2, 5, 8):
            plan = mx.Mixer(variant, k=k).plan(x, y, model=model)
            batches = round(1 + harness.peak_bytes(lambda plan=plan: plan.apply(x)) / x.nbytes, 2)
            rows.append({"variant": variant, "shape": shape, "k": k, "batches": batches})
            print(f"{variant:12} K = {k}: {batches:6.2f}   rows of the plan + 2 = {plan.k + 2}")
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing saved")
    quick = parser.parse_args().quick
    torch.set_num_threads(torch_threads()[0])
    torch.manual_seed(0)
    rows = []
    for shape, repeats in SHAPES.items():
        for k in (1, 5):
            rows += measure(shape, k, 5 if quick else repeats)
    held = memory((128, 3, 32, 32))
    if not quick:
        harness.save("blend", ("mixlab", "torch", "torchvision", "timm", "kornia"), rows=rows, memory=held)


if __name__ == "__main__":
    main()
