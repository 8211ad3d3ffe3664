"""The variance of the stochastic gradient on CIFAR-10: none, mixup, K interpolations, K pairings, a larger batch.

    make bench, or: python benchmarks/bench_gradient_variance.py [--quick]

What is asked: proposition III.1 of "Multi-mix" (arXiv 2406.01417), that the variance falls with K, and III.2, that K
interpolations have less of it than mixup with a K times larger batch, in three readings: one λ for each pair, one λ for
the batch, and one λ for a batch so large that little but λ is left. For the last there is a direct test with batches of
512, and the floor F: V(K, B) = F/K + R(K)/B crosses V(1, 5B) where B = (R(5) − R(1)/5) / (F − F/5).
"""

import math
import time
from dataclasses import replace

import harness
import results
import torch

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.machine import torch_threads
from mixlab.training import Trainer
from mixlab.training.gradient_variance import Scheme, gradient_variance

K = (2, 3, 5, 8)
SHARED = mx.Mixer(shared_lam=True)
LARGER = {"shared, batch x 5": Scheme(SHARED, batches=5)}
SCHEMES = {
    "none": Scheme(mx.Mixer("none")),
    "mixup": Scheme(mx.Mixer()),
    **{f"K = {k}": Scheme(mx.Mixer(k=k)) for k in K},
    "5 permutations": Scheme(mx.Mixer(), permutations=5),
    "batch x 5": Scheme(mx.Mixer(), batches=5),
    "shared": Scheme(SHARED),
    **{f"shared, K = {k}": Scheme(mx.Mixer(k=k, shared_lam=True)) for k in K},
    **LARGER,
}
LARGE = {name: SCHEMES[name] for name in ("shared", "shared, K = 5")} | LARGER
BATCH, LARGE_BATCH = 32, 512
STATES = ((0, 8), (30, 18), (390, 20))  # steps taken, draws
LARGE_DRAWS, FLOOR_DRAWS = 7, 40
COMPARED = ("mixup", "shared", "batch x 5", "shared, batch x 5")
METHOD = f"""The trace of the covariance of the mini-batch gradient of the quick net on CIFAR-10, over batches, partners
and λ, with α = 1: before training, and after {" and ".join(str(step) for step, _ in STATES[1:])} steps of mixup, an
epoch at the end. Every gradient comes from a fresh batch; n draws are n independent pairs of gradients, and ratios have
the 95% intervals of mixlab.training.GradientVariance. "K = 5" mixes each pair with 5 λs, "5 permutations" the batch
with 5 choices of partners, and "batch x 5" takes a batch five times larger: all three cost five times the forward
passes. "shared": one λ for all pairs of the batch, as in the papers' code. "plateau": the share of mixup's variance
that no K removes, that of the choice of images and partners. "floor": with one shared λ, the variance of the mean
gradient over λ alone, which no batch, however large, removes; K divides it, so from some batch size on K = 5 has less
variance than a batch five times larger."""


def measure(
    model: torch.nn.Module, data: Dataset, schemes: dict[str, Scheme], *, step: int, batch_size: int, draws: int
) -> tuple[dict[str, object], list[dict[str, object]], dict[str, float]]:
    """The ratios of the schemes with one λ for each pair, and of those that share it; the plateaus; and the traces."""
    began = time.perf_counter()
    found = gradient_variance(model, data, schemes, batch_size=batch_size, draws=draws)
    seconds = time.perf_counter() - began
    bases = [name for name in COMPARED if name in found]
    print(f"\nafter {step} steps, batch {batch_size}, n = {draws}, {seconds:.0f} s; ratios to: {', '.join(bases)}")
    over: dict[str, dict[str, list[float]]] = {}
    limits: list[dict[str, object]] = []
    for name, one in found.items():
        ratios = {base: numbers(one.ratio(found[base])) for base in bases if base != name}
        over[name] = {base: ratio for base, ratio in ratios.items() if ("shared" in base) == ("shared" in name)}
        told = "".join(
            f"{'1':>22}" if base == name else "{:8.3f} [{:.3f}, {:.3f}]".format(*ratios[base]) for base in bases
        )
        print(f"  {name:18} {one.pairs:5} pairs {one.forwards:5} forwards {one.trace.value:9.4f}  {told}")
    for one, eight in (("mixup", "K = 8"), ("shared", "shared, K = 8")):
        if eight in found:
            ends = [round((8 * edge - 1) / 7, 3) for edge in numbers(found[eight].ratio(found[one]))]
            limits.append({"step": step, "plateau_of_K_over": one, "ratio": ends, "n": draws})
            print("  V_pairs / (V_pairs + V_λ) of {}: {:.3f} [{:.3f}, {:.3f}]".format(one, *ends))
    traces = {name: one.trace.value for name, one in found.items()}
    return {"step": step, "batch": batch_size, "n": draws, "over": over}, limits, traces


def numbers(interval: mx.Interval) -> list[float]:
    """Mean, low and high end."""
    return [float(f"{part:.4g}") for part in (interval.value, interval.low, interval.high)]


def floor(model: torch.nn.Module, data: Dataset, *, draws: int, batch_size: int = 128) -> mx.Interval:
    """The trace of the covariance, over a λ shared by all, of the mean gradient: what no batch, however large, removes.

    Two λs, and two independent batches A and B that are both mixed by both: ½ (g_A(λ) − g_A(λ′)) · (g_B(λ) − g_B(λ′))
    has no part of the batches' own noise in its mean.
    """
    mixer, generator = mx.Mixer(k=2, shared_lam=True, distinct=True), torch.Generator().manual_seed(1)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    values = []
    for _ in range(draws):
        lam, moves = None, []
        for _ in range(2):
            batch = data.train.subset(torch.randperm(len(data.train), generator=generator)[:batch_size])
            plan = mixer.plan(batch.images, generator=generator)
            lam = plan.lam if lam is None else lam
            plan = replace(plan, lam=lam, nominal=lam)
            logits = model(plan.apply(batch.images, normalize=data.normalization))
            one, other = (
                mx.mixed_cross_entropy(logits, *plan.labels(batch.labels), reduction="none").view(2, -1).mean(1)
            )
            moves.append(torch.cat([part.flatten() for part in torch.autograd.grad(one - other, weights)]))
        values.append(float(moves[0] @ moves[1]) / 2)
    return mx.mean_interval(values)


def crossing(floor: float, one: float, five: float, batch_size: int) -> float:
    """The batch size from which K = 5 has less variance than a 5 times larger batch, λ shared: see the top."""
    if floor <= 0:
        return math.inf
    return max(0.0, batch_size * ((five - floor / 5) - (one - floor) / 5) / (0.8 * floor))


def large_batch_limit(model: torch.nn.Module, data: Dataset, traces: dict[str, float]) -> dict[str, object]:
    """The floor after training, and where K = 5 and a 5 times larger batch meet, at both ends of its interval."""
    of_lam = floor(model, data, draws=FLOOR_DRAWS)
    one, five = traces["shared"], traces["shared, K = 5"]
    ends = [crossing(part, one, five, BATCH) for part in (of_lam.value, of_lam.high, of_lam.low)]
    meet = [round(end) if math.isfinite(end) else None for end in ends]
    print(f"\nfloor of one shared λ: {of_lam}; K = 5 and a 5 times larger batch meet at batch (mean, low, high) {meet}")
    return {"step": STATES[-1][0], "floor": numbers(of_lam), "n": of_lam.n, "meet_at_batch": meet}


def main() -> None:
    """Train, measure on the way, print, save."""
    quick = harness.parser(__doc__, METHOD, quick="before training alone, few draws, nothing saved").parse_args().quick
    torch.set_num_threads(torch_threads()[0])
    data = mx.load("cifar10")
    model = mx.models.quick(len(data.classes))
    trainer = Trainer(model, data, mx.Mixer("mixup"), epochs=1)
    if quick:
        measure(model, data, SCHEMES, step=0, batch_size=BATCH, draws=2)
        return
    accuracy, traces, limits = {}, [], []
    for step, draws in STATES:
        while trainer.step_count < step:
            trainer.step()
        accuracy[step] = trainer.evaluate().test_accuracy
        row, plateaus, last = measure(model, data, SCHEMES, step=step, batch_size=BATCH, draws=draws)
        traces.append(row)
        limits += plateaus
    row, *_ = measure(model, data, LARGE, step=trainer.step_count, batch_size=LARGE_BATCH, draws=LARGE_DRAWS)
    traces.append(row)
    limits.append(large_batch_limit(model, data, last))
    print("\ntest accuracy after so many steps:", accuracy)
    results.save("gradient_variance", ("mixlab", "torch"), test_accuracy=accuracy, traces=traces, limits=limits)


if __name__ == "__main__":
    main()
