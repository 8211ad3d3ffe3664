"""The loss of a mixed batch, forward and backward: two labels and λ, beside soft labels and beside two losses.

make bench, or: python benchmarks/bench_loss.py [--quick]
"""

import os
from collections.abc import Callable
from typing import Any

import harness
import results
import torch
from torch import Tensor
from torch.nn import functional

import mixlab as mx
from mixlab.machine import torch_threads

os.environ.setdefault("KERAS_BACKEND", "torch")  # before keras is imported

METHOD = """A call is a forward and a backward pass from logits to the gradient with respect to them, float32. Ours
takes logits, both labels and λ. A peer that takes soft labels is given them ready in the rows that say so, and makes
them of both labels and λ in the others, which is the work that a training step has; keras runs on its torch backend.
Error: the larger of the loss's own, relative to it, and of N times the gradient's, N the examples of the batch, against
float64 from the logits as they are in their type; in bfloat16 there are errors alone."""
SIZES = [(batch, classes) for batch in (512, 4096) for classes in (10, 100, 1000)]
MODULES = {"timm": "timm.loss", "keras": "keras.losses"}
Loss = Callable[[Tensor], Tensor]


def soft(y_a: Tensor, y_b: Tensor, lam: Tensor, classes: int) -> Tensor:
    """λ onehot(y_a) + (1 − λ) onehot(y_b), in λ's type, as a training loop makes it."""
    own, other = (functional.one_hot(y, classes).to(lam.dtype) for y in (y_a, y_b))
    return lam[:, None] * own + (1 - lam[:, None]) * other


def two_losses(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    """λ CE(y_a) + (1 − λ) CE(y_b), each a pass over the logits: mixup's official code, with a λ for each example."""
    own, other = (functional.cross_entropy(logits, y, reduction="none") for y in (y_a, y_b))
    return (lam * own + (1 - lam) * other).mean()


def peer_losses(
    y_a: Tensor, y_b: Tensor, lam: Tensor, classes: int, absent: dict[str, str]
) -> dict[tuple[str, str], Loss]:
    """(name, call) -> the mean loss of logits."""
    ready = soft(y_a, y_b, lam, classes)

    def make() -> Tensor:
        return soft(y_a, y_b, lam, classes)

    found: dict[tuple[str, str], Loss] = {
        ("torch", "F.cross_entropy, soft labels ready"): lambda z: functional.cross_entropy(z, ready),
        ("torch", "F.cross_entropy, soft labels made"): lambda z: functional.cross_entropy(z, make()),
        ("torch", "F.cross_entropy twice"): lambda z: two_losses(z, y_a, y_b, lam),
    }
    if "timm" not in absent:
        from timm.loss import SoftTargetCrossEntropy

        timm = SoftTargetCrossEntropy()
        found["timm", "SoftTargetCrossEntropy, soft labels ready"] = lambda z: timm(z, ready)
        found["timm", "SoftTargetCrossEntropy, soft labels made"] = lambda z: timm(z, make())
    if "keras" not in absent:
        from keras.losses import CategoricalCrossentropy

        keras = CategoricalCrossentropy(from_logits=True)
        found["keras", "CategoricalCrossentropy, soft labels ready"] = lambda z: keras(ready, z)
        found["keras", "CategoricalCrossentropy, soft labels made"] = lambda z: keras(make(), z)
    return found


def case(batch: int, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of this type, both labels and λ."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(batch, classes, generator=generator)).to(dtype)
    y_a, y_b = (torch.randint(0, classes, (batch,), generator=generator) for _ in range(2))
    return logits, y_a, y_b, torch.rand(batch, generator=generator)


def gradient(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and N times its gradient."""
    own = logits.detach().requires_grad_()
    value = loss(own)
    (slope,) = torch.autograd.grad(value, own)
    return value.detach(), len(logits) * slope


def error(loss: Loss, logits: Tensor, right: tuple[Tensor, Tensor]) -> float | str:
    """The largest error of both against float64."""
    try:
        value, slope = gradient(loss, logits)
    except (RuntimeError, TypeError, ValueError) as fault:
        return f"raises {type(fault).__name__}"
    of_value, of_slope = ((part.double() - true).abs().max() for part, true in zip((value, slope), right, strict=True))
    return float(torch.maximum(of_value / right[0], of_slope))


def right_one(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and N times its gradient by the formula in float64: softmax − soft label."""
    z, targets = logits.double(), soft(y_a, y_b, lam.double(), logits.shape[1])
    log_probs = z - z.logsumexp(1, keepdim=True)
    return -(targets * log_probs).sum(1).mean(), log_probs.exp() - targets


def measure(batch: int, classes: int, dtype: torch.dtype, rounds: int, absent: dict[str, str]) -> list[dict[str, Any]]:
    """One size: times and errors of all, or with no rounds errors alone."""
    logits, *labels = case(batch, classes, dtype)
    right = right_one(logits, *labels)
    losses: dict[Any, Loss] = {"mixed_cross_entropy": lambda z: mx.mixed_cross_entropy(z, *labels)}
    losses |= peer_losses(*labels, classes, absent)
    errors = {name: error(loss, logits, right) for name, loss in losses.items()}
    what = f"{batch} x {classes}, {str(dtype).removeprefix('torch.')}"
    if not rounds:
        mine = errors.pop("mixed_cross_entropy")
        return [
            harness.comparison(
                "loss", what, name, call=call, ours="mixed_cross_entropy", error_ours=mine, error_peer=theirs
            )
            for (name, call), theirs in errors.items()
        ]
    tasks = {name: lambda loss=loss: gradient(loss, logits) for name, loss in losses.items()}
    first = {"mixed_cross_entropy": tasks.pop("mixed_cross_entropy")}
    return harness.compare("loss", what, first, tasks, rounds, errors=errors)


def main() -> None:
    """Measure, print, save."""
    quick = harness.parser(__doc__, METHOD).parse_args().quick
    torch.set_num_threads(torch_threads()[0])
    absent = harness.absent(MODULES)
    rows = []
    for batch, classes in SIZES:
        large = batch * classes > 1_000_000
        rows += measure(batch, classes, torch.float32, 5 if quick else 21 if large else 41, absent)
    rows += measure(512, 100, torch.bfloat16, 0, absent)
    harness.show(f"forward and backward, {torch.get_num_threads()} threads", rows)
    if not quick:
        results.save("loss", ("mixlab", "torch", *MODULES), tasks=rows, absent=absent)


if __name__ == "__main__":
    main()
