"""The law of λ: what each peer draws, for whom, what it calls λ, and how long a draw takes.

    make bench, or: python benchmarks/laws.py [--quick]

All of it is found by running a peer on images that tell λ and partner (see `peers.py`), float32 on the CPU.

Law: λ, the example's own share of its mix, at each α beside scipy's Beta(α, α): the Kolmogorov-Smirnov distance where
1e-6 <= λ <= 1 - 1e-6, as nearer to the ends float32 decides; P(0.4 < λ < 0.6); the share that is 0.5 exactly. A sample
of the right law has a distance below 1.36 / √n nineteen times in twenty. Where no λ is below 0.5 the peer folds it, and
the distance from the law of max(λ, 1 − λ) is given besides.
"""

import argparse
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import harness
import numpy as np
import peers
import torch
from torch import Tensor

import mixlab as mx

ALPHAS = (1e-3, 0.01, 0.1, 0.2, 1.0, 8.0)
PAIRS, CALLS = 1 << 16, 1 << 12  # draws of a peer with a λ for each pair, and of one with a λ for each batch
DRAWS = {1: 200, 512: 20, 1 << 16: 1}  # draws at once -> calls that are timed together
MIXES = 24  # what is seen of a convention; that so many λs lie above 0.5 by chance is 1 in 2^24
ENDS = 1e-6
BITS = 16
Sampler = Callable[[int], Any]


def samplers(alpha: float, absent: dict[str, str]) -> dict[tuple[str, str], Sampler]:
    """What draws n λs at once, ours first, each as its users call it."""
    generator = np.random.default_rng(0)
    found: dict[tuple[str, str], Sampler] = {
        ("mixlab", "sample_lambda"): lambda n: mx.sample_lambda(alpha, n),
        ("torch", "distributions.Beta.sample"): lambda n: torch.distributions.Beta(alpha, alpha).sample((n,)),
        ("numpy", "Generator.beta"): lambda n: generator.beta(alpha, alpha, n),
    }
    if "keras" not in absent:
        import keras

        seed = keras.random.SeedGenerator(0)
        found["keras", "random.beta"] = lambda n: keras.random.beta((n,), alpha, alpha, seed=seed)
    return found


def own_share(peer: peers.Peer, count: int) -> Tensor:
    """λ of `count` examples that one call mixes, each of a code of 16 bits and their complements.

    Where an example has a one and its partner none, the mix is λ, and elsewhere that the example has a one it is 1. So
    λ is the least of these; an example that is its own partner, one in a batch on average, counts as 1.
    """
    bits = (torch.arange(count)[:, None] >> torch.arange(BITS)) & 1
    code = torch.cat([bits, 1 - bits], 1)
    mixed, _ = peer.mix(code.float().view(count, 2 * BITS, 1, 1), torch.zeros(count, dtype=torch.long))
    return torch.where(code == 1, mixed.view(count, -1), 2.0).amin(1)


def peer_lambdas(peer: peers.Peer, calls: int) -> np.ndarray:
    """Many λs of a peer: of one large batch, or where that has one λ only, of many batches of two."""
    lam = own_share(peer, PAIRS)
    if lam.unique().numel() == 1:
        lam = torch.stack([own_share(peer, 2)[0] for _ in range(calls)])
    return lam.double().numpy()


def law(name: str, call: str, alpha: float, lam: np.ndarray) -> dict[str, Any]:
    """One row: how far these λs are from Beta(α, α)."""
    from scipy.stats import beta

    true = beta(alpha, alpha).cdf
    folded = bool(lam.min() >= 0.5)
    return {
        "group": "λ, law",
        "by": {"name": name, "version": harness.version_of(name), "call": call},
        "alpha": alpha,
        "n": len(lam),
        "distance": distance(lam, true),
        "distance_of_chance": 1.36 / len(lam) ** 0.5,
        "folded": folded,
        "distance_of_folded": distance(lam, lambda x: np.maximum(true(x) - true(1 - x), 0)) if folded else None,
        "mid_mass": float(((lam > 0.4) & (lam < 0.6)).mean()),
        "mid_mass_true": float(true(0.6) - true(0.4)),
        "exactly_half": float((lam == 0.5).mean()),
    }


def distance(lam: np.ndarray, law: Callable[[Any], Any]) -> float:
    """sup |F_n − F| over ENDS <= x <= 1 − ENDS."""
    ordered, n = np.sort(lam), len(lam)
    inside = np.unique(ordered[(ordered >= ENDS) & (ordered <= 1 - ENDS)])
    places = np.concatenate([[ENDS], inside, [1 - ENDS]])
    true = law(places)
    upto, below = (np.searchsorted(ordered, places, side) / n for side in ("right", "left"))
    return float(max(np.abs(upto - true).max(), np.abs(below - true)[1:-1].max(initial=0.0)))


def laws(absent: dict[str, str], calls: int) -> list[dict[str, Any]]:
    """Every sampler and every peer's mixup, at every α."""
    rows = []
    for alpha in ALPHAS:
        for (name, call), sampler in samplers(alpha, absent).items():
            rows.append(law(name, call, alpha, np.asarray(sampler(PAIRS), dtype=float)))
        rows += [
            law(peer.name, peer.call, alpha, peer_lambdas(peer, calls))
            for peer in peers.here(absent, alpha)
            if peer.kind == "mixup"
        ]
    heads = ("by", "α", "n", "distance", "of chance", "folded", "P(.4 < λ < .6)", "true", "exactly 0.5")
    names = ("alpha", "n", "distance", "distance_of_chance", "distance_of_folded")
    names += ("mid_mass", "mid_mass_true", "exactly_half")
    told = [(f"{row['by']['name']} {row['by']['call']}", *(row[name] for name in names)) for row in rows]
    harness.table("law of λ", heads, told)
    return rows


def conventions(absent: dict[str, str]) -> list[dict[str, Any]]:
    """What each peer calls λ, for whom it draws one, from what source, and whether it leaves its input as it was."""
    rows = [convention(peer) for peer in peers.here(absent)]
    heads = ("peer", "λ handed back weights", "one λ for", "λ is", "partners", "source", "input")
    names = ("lam_weights", "one_lam_for", "lam_is", "partners", "source", "input")
    told = [(f"{row['peer']['name']} {row['peer']['call']}", *(row[name] for name in names)) for row in rows]
    harness.table("conventions, found by running", heads, told)
    return rows


def convention(peer: peers.Peer, count: int = 64) -> dict[str, Any]:
    """One row, from some mixes of images that tell."""
    y = torch.arange(count) % peers.CLASSES
    shares, partners, changed = [], [], False
    numpy_state, torch_state = np.random.get_state()[1:3], torch.get_rng_state()  # noqa: NPY002 - whether it is drawn from
    for _ in range(MIXES):
        images = peers.probe(count, torch.float32) if peer.kind == "mixup" else peers.coded(count, 32)
        before = images.clone()
        mixed, given = peer.mix(images, y)
        share, partner = peers.read(mixed) if peer.kind == "mixup" else peers.pasted(mixed)
        shares.append(share)
        partners.append(partner)
        changed |= not torch.equal(images, before)
    sources = {
        "NumPy, global": not _same(numpy_state, np.random.get_state()[1:3]),  # noqa: NPY002
        "torch, global": not torch.equal(torch_state, torch.get_rng_state()),
    }
    weights = "none is handed back"
    if peer.given is not None:
        lam = peer.given(given).double()
        others = partner != torch.arange(count)  # with oneself any λ is right
        own, other = (float((lam - part).abs()[others].max()) for part in (share, 1 - share))
        weights = "the example" if own < 1e-3 else "the partner" if other < 1e-3 else "neither"
    apart = partners[0] != torch.arange(count)
    return {
        "group": "λ, convention",
        "peer": {"name": peer.name, "version": harness.version_of(peer.name), "call": peer.call},
        "kind": peer.kind,
        "lam_weights": weights,
        "one_lam_for": "each pair" if len({round(float(part), 4) for part in shares[0][apart]}) > 1 else "the batch",
        "lam_is": "max(λ, 1 − λ)" if float(torch.cat(shares).min()) >= 0.5 and peer.kind == "mixup" else "as drawn",
        "partners": _pairing(partners),
        "source": " and ".join(name for name, used in sources.items() if used) or "its own",
        "input": "changed" if changed else "left as it was",
    }


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _pairing(partners: list[Tensor]) -> str:
    """How the partners of two calls lie."""
    own = torch.arange(len(partners[0]))
    for name, fixed in (("the one before", own.roll(1)), ("the batch reversed", own.flip(0))):
        if all(bool(((part == fixed) | (part == own)).all()) for part in partners):
            return name
    return "random"


def speed(absent: dict[str, str], rounds: int) -> list[dict[str, Any]]:
    """Seconds of a draw, of n at once."""
    rows = []
    for alpha in (0.2, 1.0):
        for n, calls in DRAWS.items():
            tasks = {
                by: lambda draw=draw, n=n, calls=calls: [draw(n) for _ in range(calls)]
                for by, draw in samplers(alpha, absent).items()
            }
            ours = {"sample_lambda": tasks.pop(("mixlab", "sample_lambda"))}
            what = f"one draw of {n:,} at once, α = {alpha:g}"
            rows += harness.compare("λ, time", what, ours, tasks, rounds, per=n * calls)
    for row in rows:
        row["note"] = "float64" if row["peer"]["name"] == "numpy" else ""
    heads = ("what", "peer", "ns, ours", "ns, peer", "peer / ours")
    told = [
        (row["what"], row["peer"]["name"], _ns(row["seconds_ours"]), _ns(row["seconds_peer"]), row["ratio"])
        for row in rows
    ]
    harness.table(f"time of a draw, {torch.get_num_threads()} threads", heads, told)
    return rows


def _ns(seconds: dict[str, float]) -> dict[str, float]:
    return {name: 1e9 * value for name, value in seconds.items()}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and calls, nothing saved")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - timm draws from it
    absent = harness.absent(peers.MODULES)
    found = conventions(absent)
    drawn = laws(absent, 200 if quick else CALLS)
    rows = speed(absent, 5 if quick else 31)
    if not quick:
        packages = ("mixlab", "torch", "numpy", "scipy", *peers.MODULES)
        harness.save("laws", packages, rows=rows, laws=drawn, conventions=found, absent=absent)


if __name__ == "__main__":
    main()
