"""The law of λ: what each peer draws, for whom, what it calls λ, and how long a draw takes.

    make bench, or: python benchmarks/bench_lambda.py [--quick]

All of it is found by running a peer on images that tell λ and partner (see `peers.py`), float32 on the CPU.
"""

import warnings
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import peers
import results
import torch
from peer_conventions import MIXES, convention
from torch import Tensor

import mixlab as mx

ALPHAS = (1e-3, 0.01, 0.1, 0.2, 1.0, 8.0)
PAIRS, CALLS = 1 << 16, 1 << 12  # draws of a peer with a λ for each pair, and of one with a λ for each batch
DRAWS = {1: 200, 512: 20, 1 << 16: 1}  # draws at once -> calls that are timed together
ENDS = 1e-6
BITS = 16
KEPT = ("name", "call", "lam_weights", "one_lam_for", "partners")  # of a convention
HALVES = 1e-3  # no law here gives 0.5 exactly so often
METHOD = f"""Law: λ, the example's own share of its mix, at each α beside scipy's Beta(α, α), from {PAIRS:,} draws, or
from {CALLS:,} batches of two where a library has one λ for a batch. The distance is Kolmogorov and Smirnov's, the
largest difference between the share of draws below a value and the law's, at values from {ENDS:g} to 1 - {ENDS:g}, as
nearer to the ends float32 decides. A cell is "as Beta" where the distance is below a bound that all cells of the right
law keep together with a probability of 95% (Bonferroni); "folded" where that holds of the law of max(λ, 1 − λ), and
"uniform" where it holds of the uniform law; otherwise it says how many draws are exactly 0.5, or how far off the law
is. The mid mass is the share of draws between 0.4 and 0.6. Time: one call that gives so many λs, by its own random
source, on one thread; torch's Beta is made anew in every call, as loops do whose α is a number, numpy draws in float64,
and keras draws on its torch backend. Conventions: found by mixing {MIXES} batches."""
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
    """One row: how far these λs are from Beta(α, α), and from what else it may be."""
    from scipy.stats import beta, uniform

    true = beta(alpha, alpha).cdf
    folded = bool(lam.min() >= 0.5)
    return {
        "group": "λ, law",
        "by": f"{name} {call}",
        "alpha": alpha,
        "n": len(lam),
        "distance": distance(lam, true),
        "distance_of_folded": distance(lam, lambda x: np.maximum(true(x) - true(1 - x), 0)) if folded else None,
        "distance_of_uniform": distance(lam, uniform.cdf),
        "mid_mass": float(((lam > 0.4) & (lam < 0.6)).mean()),
        "mid_mass_true": float(true(0.6) - true(0.4)),
        "exactly_half": float((lam == 0.5).mean()),
    }


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the distance that chance allows, and what that makes of each, in a word or two."""
    from scipy.stats import kstwo

    found = []
    for row in rows:
        bound = float(kstwo.isf(0.05 / len(rows), row["n"]))
        if row["distance"] < bound:
            word = "as Beta"
        elif row["distance_of_folded"] is not None and row["distance_of_folded"] < bound:
            word = "folded"
        elif row["distance_of_uniform"] < bound:
            word = "uniform"
        elif row["exactly_half"] > HALVES:
            word = f"{row['exactly_half']:.1%} at ½"
        else:
            word = f"off by {row['distance']:.2g}"
        found.append(row | {"distance_of_chance": bound, "verdict": word})
    return found


def words(rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Who draws -> what the law is called -> the α for which it is called so."""
    said: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        said.setdefault(row["by"], {}).setdefault(row["verdict"], []).append(f"{row['alpha']:g}")
    return {by: {word: " ".join(alphas) for word, alphas in laws.items()} for by, laws in said.items()}


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
    rows = judged(rows)
    heads = ("by", "α", "verdict", "n", "distance", "of chance", "of folded", "P(.4 < λ < .6)", "true", "exactly 0.5")
    names = ("alpha", "verdict", "n", "distance", "distance_of_chance", "distance_of_folded")
    names += ("mid_mass", "mid_mass_true", "exactly_half")
    told = [(row["by"], *(row[name] for name in names)) for row in rows]
    harness.table("law of λ", heads, told)
    return rows


def conventions(absent: dict[str, str]) -> list[dict[str, Any]]:
    """What each peer calls λ, for whom it draws one, from what source, and whether it leaves its input as it was."""
    rows = [convention(peer) for peer in peers.here(absent)]
    heads = ("peer", "λ handed back weights", "one λ for", "λ is", "partners", "source", "input")
    names = ("lam_weights", "one_lam_for", "lam_is", "partners", "source", "input")
    told = [(f"{row['name']} {row['call']}", *(row[name] for name in names)) for row in rows]
    harness.table("conventions, found by running", heads, told)
    return rows


def speed(absent: dict[str, str], rounds: int) -> list[dict[str, Any]]:
    """Seconds of one λ, of n in one call."""
    rows = []
    for alpha in (0.2, 1.0):
        for n, calls in DRAWS.items():
            tasks = {
                by: lambda draw=draw, n=n, calls=calls: [draw(n) for _ in range(calls)]
                for by, draw in samplers(alpha, absent).items()
            }
            ours = {"sample_lambda": tasks.pop(("mixlab", "sample_lambda"))}
            several = f"{n:,} λs in one call, α = {alpha:g}; time of one λ"
            what = several if n > 1 else f"one λ in one call, α = {alpha:g}"
            rows += harness.compare("λ, time", what, ours, tasks, rounds, per=n * calls)
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
    quick = harness.parser(__doc__, METHOD, quick="few rounds and calls, nothing saved").parse_args().quick
    warnings.filterwarnings("ignore")  # peers warn of their own innards
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - timm draws from it
    absent = harness.absent(peers.MODULES)
    found = conventions(absent)
    drawn = laws(absent, 200 if quick else CALLS)
    rows = speed(absent, 5 if quick else 31)
    if not quick:
        kept = [{name: row[name] for name in KEPT} for row in found]
        packages = ("mixlab", "torch", "numpy", "scipy", *peers.MODULES)
        results.save("lambda", packages, tasks=rows, laws=words(drawn), conventions=kept, absent=absent)


if __name__ == "__main__":
    main()
