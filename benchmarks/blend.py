"""Mixing a batch: mixlab beside its peers, copy_ and the textbook formula; the time, and how far from right each is.

    make bench, or: python benchmarks/blend.py [--quick]

Time: λ is uniform everywhere, which is Beta(1, 1), and labels are made in every row but those of the textbook formula
and of `plan.apply`. `plan.apply(x, out=buffer)` is beside `copy_` of the batch: neither allocates. K = 5 is one call
here and five calls of each peer, which have no K.

Errors: each peer mixes with its own draws, which are repeated on images that tell λ and partner; ours is given the same
λ and partners. The errors are the largest absolute ones against λ x_i + (1 − λ) x_j in float64 of the images as they
are in their type, 0 to 1, uint8 from 0 to 255; those of labels against λ onehot(y_i) + (1 − λ) onehot(y_j). Rounding
once costs up to 2^-9 in bfloat16 and half a grey level in uint8. For CutMix the label's λ is compared with the share of
pixels that were kept.
"""

import argparse
import warnings
from typing import Any

import harness
import peers
import torch
from torch import Tensor
from torch.nn import functional

import mixlab as mx
from mixlab.machine import torch_threads

ROUNDS = {  # shape, K -> rounds
    ((512, 3, 32, 32), 1): 60,
    ((512, 3, 32, 32), 5): 30,
    ((64, 3, 224, 224), 1): 11,
    ((64, 3, 224, 224), 5): 7,
}
DTYPES = (torch.float32, torch.bfloat16, torch.uint8)
CLASSES = peers.CLASSES
COPY = ("torch", "copy_")
TEXTBOOK = ("textbook formula", "λ x + (1 − λ) x[perm]")


def our_tasks(x: Tensor, y: Tensor, k: int) -> dict[str, harness.Task]:
    """mixlab in every way of pairing, into a buffer and allocating; the first of each kind is what peers are beside."""
    buffer = torch.empty(k * len(x), *x.shape[1:])
    tasks: dict[str, harness.Task] = {}
    for kind in ("mixup", "cutmix"):
        for partners in ("random", "roll"):
            mixer = mx.Mixer(kind, k=k, partners=partners)
            plan = mixer.plan(x)
            tasks[f"{kind}, {partners} partners: mixer(x, y)"] = lambda mixer=mixer: mixer(x, y)
            tasks[f"{kind}, {partners} partners: plan.apply(x, out=)"] = lambda plan=plan: plan.apply(x, out=buffer)
    return tasks


def peer_tasks(x: Tensor, y: Tensor, k: int, there: list[peers.Peer]) -> dict[tuple[str, str], harness.Task]:
    """Each peer, and the formula, k times on images of its own, as some mix in place."""

    def textbook(x: Tensor, _: Tensor) -> Tensor:
        lam = torch.rand(len(x), 1, 1, 1)
        return lam * x + (1 - lam) * x[torch.randperm(len(x))]

    def times(mix: Any) -> harness.Task:
        own = x.clone()
        return lambda: [mix(own, y) for _ in range(k)]

    return {(peer.name, peer.call): times(peer.mix) for peer in there} | {TEXTBOOK: times(textbook)}


def speed(shape: tuple[int, ...], k: int, rounds: int, there: list[peers.Peer]) -> list[dict[str, Any]]:
    """Every task at one shape and one K, in turn: ours beside copy_, each peer beside ours of its kind."""
    x, y = torch.rand(shape), torch.randint(0, CLASSES, shape[:1])
    one = torch.empty_like(x)
    ours, theirs = our_tasks(x, y, k), peer_tasks(x, y, k, there)
    seconds = harness.interleaved({COPY: lambda: one.copy_(x), **ours, **theirs}, rounds)
    what = f"{' x '.join(map(str, shape))}, float32, K = {k}"
    notes = {(peer.name, peer.call): peer.note for peer in there}
    kinds = {(peer.name, peer.call): peer.kind for peer in there}
    pairs = [(next(name for name in ours if name.startswith(kinds.get(peer, "mixup"))), peer) for peer in theirs]
    pairs += [(name, COPY) for name in ours]
    rows = [
        harness.comparison(
            "blend",
            what,
            peer[0],
            call=peer[1],
            ours=mine,
            seconds=(seconds[mine], seconds[peer]),
            note="one copy of the batch" if peer == COPY else notes.get(peer, "no labels are made"),
        )
        for mine, peer in pairs
    ]
    harness.show(f"time, {torch.get_num_threads()} threads, {rounds} rounds", rows)
    return rows


def mixup_errors(peer: peers.Peer, dtype: torch.dtype, k: int) -> list[dict[str, Any]]:
    """Images and labels of one peer and of ours, K mixes of 512 images with the peer's λ and partners."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(512, 3, 32, 32, generator=generator)
    x = (255 * x).round().to(dtype) if dtype == torch.uint8 else x.to(dtype)
    y = torch.randint(0, CLASSES, (512,), generator=generator)
    draws = [peers.drawn(peer, len(x), seed) for seed in range(k)]
    lam, partner = torch.stack([part for part, _ in draws]).float(), draws[0][1]
    plan = mx.MixPlan("mixup", partner, lam, lam)
    note, result = "", dtype
    try:
        theirs = []
        for seed, (own, other) in enumerate(draws):
            mixed, given = peers.replayed(peer, x, y, seed)
            theirs.append(largest((mixed, peer.soft(given)), x, y, own, other))
            result = mixed.dtype
        errors: list[Any] = [max(parts) for parts in zip(*theirs, strict=True)]
    except (RuntimeError, TypeError) as fault:
        errors = [f"raises {type(fault).__name__}"] * 2
        note = str(fault).splitlines()[0]
    asked = "" if result == dtype else f", dtype=torch.{name_of(result)}"  # what the peer gives unasked
    mixes = plan.apply(x, dtype=result if asked else None).view(k, *x.shape)
    labels = plan.targets(y, CLASSES).view(k, len(x), CLASSES)
    mine = [largest((mixes[i], labels[i]), x, y, lam[i].double(), partner) for i in range(k)]
    note = f"gives {name_of(result)} unasked" if asked else note
    return [
        harness.comparison(
            "blend, errors",
            f"mixup, {part}, {name_of(dtype)}, K = {k}",
            peer.name,
            call=peer.call,
            ours=f"plan.apply(x{asked})" if part == "images" else "plan.targets(y, classes)",
            error_ours=max(errors_of_part),
            error_peer=error,
            note=note,
        )
        for part, errors_of_part, error in zip(("images", "labels"), zip(*mine, strict=True), errors, strict=True)
    ]


def largest(got: tuple[Tensor, Tensor], x: Tensor, y: Tensor, lam: Tensor, partner: Tensor) -> tuple[float, float]:
    """The largest errors of mixed images and soft labels, against the formula in float64."""
    hot, weight = functional.one_hot(y, CLASSES).double(), lam[:, None]
    source = x.double().flatten(1)
    wanted = (weight * part + (1 - weight) * part[partner] for part in (source, hot))
    images, labels = (
        float((part.double().flatten(1) - right).abs().max()) for part, right in zip(got, wanted, strict=True)
    )
    return images, labels


def cutmix_error(peer: peers.Peer) -> dict[str, Any]:
    """How far the label's λ lies from the share of its own pixels that an image kept, the largest of 512."""
    x = peers.coded(512, 32)
    y = torch.arange(len(x)) % CLASSES
    hot = functional.one_hot(y, CLASSES).double()
    plan = mx.Mixer("cutmix").plan(x, generator=torch.Generator().manual_seed(0))

    def off(mixed: Tensor, labels: Tensor) -> float:
        share, partner = peers.pasted(mixed)
        wanted = share[:, None] * hot + (1 - share[:, None]) * hot[partner]
        return float((labels.double() - wanted).abs().max())

    mixed, given = peers.replayed(peer, x, y, 0)
    return harness.comparison(
        "blend, errors",
        "cutmix, labels against pixels, float32, K = 1",
        peer.name,
        call=peer.call,
        ours="plan.targets(y, classes)",
        error_ours=off(plan.apply(x), plan.targets(y, CLASSES)),
        error_peer=off(mixed, peer.soft(given)),
        note=peer.note,
    )


def errors(there: list[peers.Peer]) -> list[dict[str, Any]]:
    """Every peer, type and K."""
    rows = []
    for peer in there:
        if peer.kind == "mixup":
            rows += [row for dtype in DTYPES for k in (1, 5) for row in mixup_errors(peer, dtype, k)]
        else:
            rows.append(cutmix_error(peer))
    harness.show("largest errors", rows)
    return rows


def memory(shape: tuple[int, ...]) -> list[dict[str, object]]:
    """How many batches of this shape live at the most while a batch is mixed K times, itself included."""
    x, y = torch.rand(shape), torch.randint(0, CLASSES, shape[:1])
    model = mx.models.quick(CLASSES)
    rows: list[dict[str, object]] = []
    for variant in mx.VARIANTS:
        for k in (1, 2, 5, 8):
            plan = mx.Mixer(variant, k=k).plan(x, y, model=model)
            batches = round(1 + harness.peak_bytes(lambda plan=plan: plan.apply(x)) / x.nbytes, 2)
            rows.append({"variant": variant, "shape": shape, "k": k, "batches": batches, "rows_and_two": plan.k + 2})
    harness.table(
        f"most memory while mixing, in batches of {shape}, itself included; 3 K would be K pairs kept apart",
        ("variant", "K", "batches", "rows of the plan + 2"),
        [(row["variant"], row["k"], row["batches"], row["rows_and_two"]) for row in rows],
    )
    return rows


def name_of(dtype: torch.dtype) -> str:
    """float32 for torch.float32."""
    return str(dtype).removeprefix("torch.")


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing saved")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(torch_threads()[0])
    torch.manual_seed(0)
    absent = harness.absent(peers.MODULES)
    there = peers.here(absent)
    rows = errors(there)
    for (shape, k), rounds in ROUNDS.items():
        rows += speed(shape, k, 2 if quick else rounds, [peer for peer in there if peer.timed])
    held = memory((128, 3, 32, 32))
    if not quick:
        harness.save("blend", ("mixlab", "torch", *peers.MODULES), rows=rows, memory=held, absent=absent)


if __name__ == "__main__":
    main()
