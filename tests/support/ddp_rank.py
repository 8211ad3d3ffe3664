"""One of two processes that train together: python ddp_rank.py RANK FOLDER writes what it drew and its gradients.

A test imports what is here, too, to compute the same without DistributedDataParallel.
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
from take_home import network
from torch import Tensor, nn

import mixlab as mx

WORLD, BATCH = 2, 8
CASES = {
    "mixup": mx.Mixer("mixup", k=2),
    "cutmix": mx.Mixer("cutmix"),
    "manifold": mx.Mixer("manifold", layers=["input", "module.layer1"]),  # as DistributedDataParallel names it
    "puzzle": mx.Mixer("puzzle", blocks=2),
    "puzzle, clean": mx.Mixer("puzzle", blocks=2, clean=1.0),
}


class Wrapped(nn.Module):
    """The network under the name that DistributedDataParallel gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.module = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def share(rank: int) -> tuple[Tensor, Tensor]:
    """A rank's part of the batch."""
    g = torch.Generator().manual_seed(100 + rank)
    return torch.randn(BATCH, 3, 4, 4, generator=g), torch.randint(10, (BATCH,), generator=g)


def stream(seed: int, rank: int) -> torch.Generator:
    """As the docstring of Mixer has it."""
    return torch.Generator().manual_seed(seed * WORLD + rank)


def differentiated(model: nn.Module, mixer: mx.Mixer, rank: int) -> tuple[mx.MixPlan, Tensor]:
    """The plan of a rank's second batch, and the gradient of the loss there, flat; both batches see the model."""
    x, y = share(rank)
    generator = stream(3, rank)
    for _ in range(2):
        model.zero_grad()
        plan = mixer.plan(x, y, model=model, generator=generator)
        mx.mixed_loss(model, x, y, plan).backward()
    return plan, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = {"init_method": f"file://{folder / 'meeting'}", "rank": rank, "world_size": WORLD}
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60), **meeting)
    results = {}
    for name, mixer in CASES.items():
        ddp = nn.parallel.DistributedDataParallel(network())
        plan, gradient = differentiated(ddp, mixer, rank)
        results[name] = {"plan": plan.to_json(), "gradient": gradient}
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
