"""Mixing inside DistributedDataParallel: two gloo processes on the CPU, against the same batches one by one."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from ddp_rank import BATCH, CASES, WORLD, Wrapped, differentiated, share, stream
from paths import SUPPORT

import mixlab as mx

Ranks = list[dict[str, Any]]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What each rank drew, and its gradients, by case."""
    folder = tmp_path_factory.mktemp("ddp")
    script = SUPPORT / "ddp_rank.py"
    processes = [subprocess.Popen([sys.executable, script, str(rank), folder]) for rank in range(WORLD)]
    assert [process.wait(120) for process in processes] == [0] * WORLD
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_mean_of_those_of_the_ranks_own_losses(ranks: Ranks, case: str) -> None:
    plans, own = zip(*(differentiated(Wrapped(), CASES[case], rank) for rank in range(WORLD)), strict=True)
    for rank, plan in enumerate(plans):
        assert ranks[rank][case]["plan"] == plan.to_json()
        torch.testing.assert_close(ranks[rank][case]["gradient"], torch.stack(own).mean(0))
    assert not torch.allclose(*own)


def test_a_seed_for_each_rank_draws_other_partners_and_lambdas(ranks: Ranks) -> None:
    first, second = (mx.MixPlan.from_json(rank["mixup"]["plan"]) for rank in ranks)
    assert not torch.equal(first.partner, second.partner)
    assert not torch.isin(first.lam, second.lam).any()


def test_one_seed_for_all_ranks_draws_the_same_and_averages_nothing() -> None:
    """The mean λ of the whole batch then has twice the variance: that of one share."""
    mixer, x = mx.Mixer("mixup"), share(0)[0]

    def means(seeds: Any, batches: int = 1000) -> torch.Tensor:
        streams = [stream(seed, rank) for rank, seed in seeds]
        plans = [[mixer.plan(x, generator=each).lam for each in streams] for _ in range(batches)]
        return torch.stack([torch.cat(lams).mean() for lams in plans])

    apart = means([(0, 5), (1, 5)]).var()
    together = means([(0, 5), (0, 5)]).var()
    one = 1 / 12 / BATCH  # the variance of a λ that is uniform, as at α = 1
    assert float(together) == pytest.approx(one, rel=0.2)
    assert float(apart) == pytest.approx(one / WORLD, rel=0.2)


def test_each_rank_has_one_example_that_meets_itself_on_average() -> None:
    """As a random order has one fixed point, whatever its length; `distinct` has none."""
    x, g = torch.zeros(BATCH, 1), torch.Generator().manual_seed(0)
    for mixer, expected in ((mx.Mixer("mixup"), 1.0), (mx.Mixer("mixup", distinct=True), 0.0)):
        partners = torch.stack([mixer.plan(x, generator=g).partner for _ in range(2000)])
        assert float((partners == torch.arange(BATCH)).sum(1).double().mean()) == pytest.approx(expected, abs=0.1)
