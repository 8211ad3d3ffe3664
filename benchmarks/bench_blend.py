"""Mixing a batch: mixlab beside its peers, copy_ and the textbook formula; the time, and how far from right each is.

    make bench, or: python benchmarks/bench_blend.py [--quick]

--help says what is timed against what, and what an error is.
"""

import warnings
from functools import cache
from typing import Any, NamedTuple

import harness
import peers
import results
import torch
from peer_conventions import convention
from torch import Tensor
from torch.nn import functional

import mixlab as mx
from mixlab.machine import torch_threads

METHOD = """A call takes images and class labels and gives mixed images and soft labels, or both labels and λ; λ is
uniform everywhere, which is Beta(1, 1). The textbook formula and `plan.apply` make no labels. Every peer is beside ours
with the same choice of partners, fixed or random, and one λ for the batch or one for each pair, as was found by running
it; where that is not ours by default, a second row has random partners and a λ for each pair. A fixed partner is the
neighbor in ours and in torchvision, and the batch reversed in timm. keras runs on the torch backend, and making its
one-hot labels is in the call. A peer that mixes in place is given a clone, which is in its time; rows "in place" leave
the clone out and lose the input. K = 5 is one call here, with one choice of partners, and five calls of each peer,
which has no K. torch-uncertainty and keras give float32 for other types, and keras draws the α of its CutMix.
`plan.apply(x, out=buffer)` has its plan ready and is beside a `copy_` of the batch to K places: neither allocates.
Errors: a peer mixes with its own draws, which are read from images that tell λ and partner; ours is given the same
partners and the same λ in float32. Both are held against λ x_i + (1 − λ) x_j and the same of the one-hot labels in
float64, of the images as they are in their type, from 0 to 1 or in uint8 to 255, and of λ as it was drawn, in float64
where the peer draws so: rounding λ to float32 counts as an error of either. Rounding an image once costs up to 2^-9 in
bfloat16 and half a gray level in uint8. For CutMix the label's λ is held against the share of pixels that were kept."""
CLASSES = peers.CLASSES
COPY = ("torch", "copy_")
TEXTBOOK = ("textbook formula", "λ x + (1 − λ) x[perm]")
LERP = ("textbook formula", "torch.lerp(x[perm], x, λ)")
COPIES = (1, 2, 5, 8)  # K whose memory is taken
FIRST = "mixup, random, own λ"  # what mx.Mixer() does


class Case(NamedTuple):
    """One batch to mix, K times, and in how many rounds."""

    shape: tuple[int, ...]
    k: int
    rounds: int
    dtype: torch.dtype = torch.float32
    layout: torch.memory_format = torch.contiguous_format

    def __str__(self) -> str:
        layout = ", channels_last" if self.layout == torch.channels_last else ""
        return f"{' x '.join(map(str, self.shape))}, {name_of(self.dtype)}{layout}, K = {self.k}"

    def images(self) -> Tensor:
        """Noise, to 255 in uint8."""
        noise = torch.rand(self.shape)
        images = (255 * noise).to(self.dtype) if self.dtype == torch.uint8 else noise.to(self.dtype)
        return images.contiguous(memory_format=self.layout)


SMALL, LARGE = (512, 3, 32, 32), (64, 3, 224, 224)
CASES = (
    Case(SMALL, 1, 41),
    Case(SMALL, 1, 41, torch.bfloat16, torch.channels_last),
    Case(SMALL, 1, 41, torch.uint8),
    Case(SMALL, 5, 21),
    Case(LARGE, 1, 41),
    Case((16, *LARGE[1:]), 5, 15),
)
DTYPES = (torch.float32, torch.bfloat16, torch.uint8)


def our_mixers(k: int) -> dict[str, mx.Mixer]:
    """Every kind of mixing that a peer has, by the name of its row; the default first."""
    return {
        f"{kind}, {partners}, {'one' if shared else 'own'} λ": mx.Mixer(kind, k=k, partners=partners, shared_lam=shared)
        for kind in ("mixup", "cutmix")
        for partners in ("random", "roll")
        for shared in (False, True)
    }


@cache
def alike(peer: peers.Peer) -> list[str]:
    """Our row that does what this peer does, and our default if that is another."""
    found = convention(peer)
    partners = "random" if found["partners"] == "random" else "roll"
    own = "one" if found["one_lam_for"] == "the batch" else "own"
    names = (f"{peer.kind}, {partners}, {own} λ", f"{peer.kind}, random, own λ")
    return list(dict.fromkeys(names))


def speed(case: Case, rounds: int, there: list[peers.Peer]) -> list[dict[str, Any]]:
    """Every task of one case, in turn: each peer beside ours of its kind, `plan.apply` beside `copy_`."""
    x, y, k = case.images(), torch.randint(0, CLASSES, case.shape[:1]), case.k
    wide = x.expand(k, *x.shape)
    places = torch.empty_like(wide, memory_format=torch.preserve_format)
    theirs: dict[tuple[str, str], harness.Task] = {COPY: lambda: places.copy_(wide)}
    pairs, unequal = [], {}  # the second: pairs that do not do the same, and how these are called
    for peer in there:
        name = (peer.name, peer.call)
        ways = {name: peer.leave}
        if peer.in_place and k == 1:
            ways[peer.name, f"{peer.call}, in place"] = peer.mix
        try:
            peer.leave(x, y)
        except (RuntimeError, TypeError) as fault:
            print(f"  {case}: {peer.name} {peer.call} raises {type(fault).__name__}")
            continue
        for way, mix in ways.items():
            theirs[way] = repeated(mix, x.clone(), y, k)
            mine, *default = alike(peer)
            pairs += [(mine, way), *((other, way) for other in default if way == name)]
            unequal |= {(other, way): "our default" for other in default} | (
                {} if way == name else {(mine, way): "in place"}
            )
    for way, mix in textbooks(x).items():
        theirs[way] = repeated(mix, x, y, k)
        pairs.append((FIRST, way))
    ours = {name: lambda mixer=mixer: mixer(x, y) for name, mixer in our_mixers(k).items()}
    ours = {name: task for name, task in ours.items() if name in {mine for mine, _ in pairs}}
    buffer = torch.empty(k * len(x), *x.shape[1:], dtype=x.dtype).contiguous(memory_format=case.layout)
    for name, mixer in our_mixers(k).items():
        if not mixer.shared_lam:
            plan, label = mixer.plan(x), f"{name}: apply"
            ours[label] = lambda plan=plan: plan.apply(x, out=buffer)
            pairs.append((label, COPY))
    rows = harness.compare("blend", str(case), ours, theirs, rounds, pairs=pairs)
    for row in rows:
        peer_call = (row["peer"]["name"], row["peer"]["call"])
        if (how := unequal.get((row["ours"], peer_call))) is not None:
            row["group"] = f"blend, {how}"
    harness.show(f"time, {torch.get_num_threads()} threads, {rounds} rounds", rows)
    return rows


def textbooks(x: Tensor) -> dict[tuple[str, str], Any]:
    """The formula as it is written, and where λ may have the images' type, by the one operator that there is for it."""
    kind = x.dtype if x.is_floating_point() else torch.float32

    def written(x: Tensor, _: Tensor) -> Tensor:
        lam = torch.rand(len(x), 1, 1, 1, dtype=kind)
        return lam * x + (1 - lam) * x[torch.randperm(len(x))]

    def lerp(x: Tensor, _: Tensor) -> Tensor:
        return torch.lerp(x[torch.randperm(len(x))], x, torch.rand(len(x), 1, 1, 1, dtype=kind))

    return {TEXTBOOK: written} | ({LERP: lerp} if x.is_floating_point() else {})


def repeated(mix: Any, x: Tensor, y: Tensor, k: int) -> harness.Task:
    """K calls, all of whose results are kept."""
    return lambda: [mix(x, y) for _ in range(k)]


def mixup_errors(peer: peers.Peer, dtype: torch.dtype, k: int) -> list[dict[str, Any]]:
    """Images and labels of one peer and of ours, K mixes of 512 images with the peer's λ and partners."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(512, 3, 32, 32, generator=generator)
    x = (255 * x).round().to(dtype) if dtype == torch.uint8 else x.to(dtype)
    y = torch.randint(0, CLASSES, (512,), generator=generator)
    draws = [peers.drawn(peer, len(x), seed) for seed in range(k)]
    lam, partner = torch.stack([part for part, _ in draws]).float(), draws[0][1]
    plan = mx.MixPlan("mixup", partner, lam, lam)
    result = dtype
    try:
        theirs = []
        for seed, (own, other) in enumerate(draws):
            mixed, given = peers.replayed(peer, x, y, seed)
            theirs.append(largest((mixed, peer.soft(given)), x, y, own, other))
            result = mixed.dtype
        errors: list[Any] = [max(parts) for parts in zip(*theirs, strict=True)]
    except (RuntimeError, TypeError) as fault:
        errors = [f"raises {type(fault).__name__}"] * 2
    asked = "" if result == dtype else f", dtype=torch.{name_of(result)}"  # what the peer gives unasked
    mixes = plan.apply(x, dtype=result if asked else None).view(k, *x.shape)
    labels = plan.targets(y, CLASSES).view(k, len(x), CLASSES)
    mine = [largest((mixes[i], labels[i]), x, y, draws[i][0], partner) for i in range(k)]
    return [
        harness.comparison(
            "blend, errors",
            f"mixup, {part}, {name_of(dtype)}, K = {k}",
            peer.name,
            call=peer.call,
            ours=f"plan.apply(x{asked})" if part == "images" else "plan.targets(y, classes)",
            error_ours=max(errors_of_part),
            error_peer=error,
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


def memory(shape: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """How many batches of this shape live at the most while a batch is mixed K times, itself included."""
    x, y = torch.rand(shape), torch.randint(0, CLASSES, shape[:1])
    model = mx.models.quick(CLASSES)
    held: dict[str, dict[str, float]] = {}
    for variant in mx.VARIANTS:
        for k in COPIES:
            plan = mx.Mixer(variant, k=k).plan(x, y, model=model)
            batches = round(1 + harness.peak_bytes(lambda plan=plan: plan.apply(x)) / x.nbytes, 2)
            held.setdefault(variant, {})[str(k)] = batches
    harness.table(
        f"most memory while mixing, in batches of {shape}, itself included; 3 K would be K pairs kept apart",
        ("variant", *(f"K = {k}" for k in COPIES)),
        [(variant, *batches.values()) for variant, batches in held.items()],
    )
    return held


def name_of(dtype: torch.dtype) -> str:
    """float32 for torch.float32."""
    return str(dtype).removeprefix("torch.")


def main() -> None:
    """Measure, print, save."""
    quick = harness.parser(__doc__, METHOD).parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(torch_threads()[0])
    torch.manual_seed(0)
    absent = harness.absent(peers.MODULES)
    there = peers.here(absent)
    rows = errors(there)
    for case in CASES:
        rows += speed(case, 2 if quick else case.rounds, [peer for peer in there if peer.timed])
    held = memory((128, 3, 32, 32))
    if not quick:
        packages = ("mixlab", "torch", *peers.MODULES)
        results.save("blend", packages, tasks=rows, memory=held, absent=absent)


if __name__ == "__main__":
    main()
