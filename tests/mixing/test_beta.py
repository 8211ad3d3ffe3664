"""λ against scipy: its law, its tails, its coupling across α, and that nothing waits for a device."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from seeding import seeded

from mixlab import lambda_moments, sample_lambda
from mixlab.mixing import lambda_pdf, lambda_quantile

ALPHAS = [1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.4, 1, 2, 8, 64, 1e4, 1e6]
POINTS = [1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6]
N = 200_000
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# One seed for every test of a law, taken as it came. The smallest of about 140 honest p-values falls below 1e-6 once in
# 7,000 seeds; a λ that is wrong by one part in a hundred falls far below it.
SEED = 0
LEVEL = 1e-6


def draws(alpha: float, n: int = N, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return sample_lambda(alpha, n, dtype=dtype, generator=seeded())


def quantiles(n: int = N) -> np.ndarray:
    """The uniform numbers behind draws(): the odd 2^-54ths, so that u and 1 − u are equally likely."""
    return (torch.rand(n, dtype=torch.float64, generator=seeded()) + 2.0**-54).numpy()


def binomial_p_value(count: int, p: float) -> float:
    """Twice the smaller tail: the chance of a count at least this far out among N draws."""
    return min(1.0, 2 * min(stats.binom.cdf(count, N, p), stats.binom.sf(count - 1, N, p)))


def feed(monkeypatch: pytest.MonkeyPatch, uniforms: torch.Tensor) -> None:
    """Let torch.rand return these numbers."""
    monkeypatch.setattr(torch, "rand", lambda shape, **options: uniforms.to(options["dtype"]).view(shape))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_P_below_each_point_agrees_with_scipy_and_cuda_is_never_waited_for(alpha, device):
    generator = torch.Generator(device).manual_seed(SEED)
    if device == "cuda":
        sample_lambda(alpha, 10, generator=generator)
        torch.cuda.set_sync_debug_mode("error")
    try:
        lam = sample_lambda(alpha, N, dtype=torch.float64, generator=generator)
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert lam.device.type == device
    for point in POINTS:
        p = stats.beta.cdf(point, alpha, alpha)
        count = int((lam < point).sum())
        assert binomial_p_value(count, p) > LEVEL, (point, p, count / N)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_each_draw_is_scipys_quantile_of_its_uniform_number(alpha):
    u, lam = quantiles(20_000), draws(alpha, 20_000).numpy()
    low = u < 0.5
    expected = special.betaincinv(alpha, alpha, u[low])
    seen = expected > 1e-290  # scipy's own inverse is rough in the subnormals
    np.testing.assert_allclose(lam[low][seen], expected[seen], rtol=2e-6)
    near_0 = alpha * special.beta(alpha, alpha) * u[low][~seen]  # this is λ^α, whatever float64 holds
    np.testing.assert_allclose(lam[low][~seen], near_0 ** (1 / alpha), rtol=2e-6, atol=1e-322)
    stream = seeded()  # one at a time, by another way through the same table
    single = [sample_lambda(alpha, (1, 1), dtype=torch.float64, generator=stream).item() for _ in range(300)]
    np.testing.assert_allclose(single, lam[:300], rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1, 8, 1e4])
def test_quantiles_are_scipys(alpha):
    shares = np.array([[1e-9, 0.001, 0.3], [0.5, 0.8, 0.999]])
    expected = special.betaincinv(alpha, alpha, shares)
    np.testing.assert_allclose(lambda_quantile(alpha, torch.from_numpy(shares)), expected, rtol=2e-6, atol=1e-290)
    lowest, highest = lambda_quantile(alpha, [0, 1]).tolist()
    assert lowest <= expected.min()
    assert highest >= expected.max()


def test_the_far_tail_is_the_quantile_too(monkeypatch):
    u = torch.tensor([0, 2**-53, 2**-50, 2**-40, 2**-20, 0.25, 0.5 - 2**-40, 0.5 - 2**-53], dtype=torch.float64)
    feed(monkeypatch, u)
    for alpha in (0.1, 0.4, 1.0, 3.0, 64.0, 1e6):
        lam = sample_lambda(alpha, len(u), dtype=torch.float64).numpy()
        expected = special.betaincinv(alpha, alpha, u.numpy() + 2.0**-54)
        np.testing.assert_allclose(lam, expected, rtol=2e-6)


@given(alpha=st.floats(math.log(1e-6), math.log(1e6)).map(math.exp), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_an_exact_mirror_of_the_uniforms_mirrors_every_lambda(alpha, seed):
    half = torch.randint(0, 2**52, (500,), generator=seeded(seed))
    half[:3] = torch.tensor([0, 1, 2**52 - 1])
    with pytest.MonkeyPatch.context() as monkeypatch:
        # cells j and 2^53 - 1 - j have centers that add up to 1
        feed(monkeypatch, torch.cat([half, 2**53 - 1 - half]).double() * 2.0**-53)
        low, high = sample_lambda(alpha, 1000, dtype=torch.float64).view(2, 500)
    assert torch.all(low <= 0.5)
    assert torch.all(high >= 0.5)
    assert torch.all(((1 - low) - high).abs() <= 2.0**-53)
    assert torch.all(((low + high) - 1).abs() <= 2.0**-52)


@given(alpha=st.floats(math.log(1e-6), math.log(1e6)).map(math.exp))
@settings(max_examples=20, deadline=None)
def test_the_map_from_quantile_to_lambda_never_falls(alpha):
    u = torch.cat([torch.logspace(-15.9, -0.31, 4000, dtype=torch.float64), torch.linspace(0.49, 0.51, 1001)])
    with pytest.MonkeyPatch.context() as monkeypatch:
        feed(monkeypatch, u.sort().values)
        lam = sample_lambda(alpha, len(u), dtype=torch.float64)
    assert torch.all(lam.diff() >= 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.05, 0.4, 8, 1e6])
def test_every_dtype_holds_the_rounded_float64_draw(alpha, dtype):
    exact, lam = draws(alpha, 50_000), draws(alpha, 50_000, dtype)
    assert lam.dtype == dtype
    assert torch.equal(lam, exact.to(dtype))
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps  # of the subnormals
    assert torch.all(lam[exact > smallest] > 0)
    assert torch.all(lam[1 - exact > torch.finfo(dtype).eps] < 1)
    assert torch.all((lam >= 0) & (lam <= 1))


def test_torchs_own_beta_piles_up_at_one_half_and_ours_does_not():
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        theirs = torch.distributions.Beta(torch.tensor(0.001), torch.tensor(0.001)).sample((20_000,))
    pile = float((theirs == 0.5).float().mean())
    assert 0.1 < pile < 0.4  # known: pytorch#15738; when this fails, torch has been mended and lesson 01 should say so
    assert int((draws(0.001) == 0.5).sum()) == 0
    assert int((draws(0.001, dtype=torch.float32) == 0.5).sum()) == 0


def test_a_generator_alone_decides_and_is_moved_on():
    generator = seeded(7)
    first, second = (sample_lambda(0.3, (4, 5), generator=generator) for _ in range(2))
    assert first.shape == (4, 5)
    assert not torch.equal(first, second)
    assert torch.equal(first, sample_lambda(0.3, (4, 5), generator=seeded(7)))
    state = torch.random.get_rng_state()
    sample_lambda(0.3, 10, generator=seeded(7))
    assert torch.equal(state, torch.random.get_rng_state())


@NEEDS_CUDA
def test_on_cuda_a_graph_draws_anew_at_each_replay():
    generator = torch.Generator("cuda").manual_seed(SEED)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        sample_lambda(0.3, 1000, generator=generator)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    generator.manual_seed(5)
    with torch.cuda.graph(graph):
        lam = sample_lambda(0.3, 1000, generator=generator)
    graph.replay()
    first = lam.clone()
    graph.replay()
    assert not torch.equal(first, lam)
    generator.manual_seed(5)
    assert torch.equal(first, sample_lambda(0.3, 1000, generator=generator))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_density_is_scipys_up_to_its_ends(alpha):
    ends, middle = [0, 1, 1e-300, 1e-9, 1 - 1e-9], 0.5 + np.linspace(-1e-3, 1e-3, 21)
    grid = np.concatenate([ends, middle, np.linspace(0, 1, 101)])
    density = lambda_pdf(alpha, torch.from_numpy(grid))
    assert density.dtype == torch.float64
    # at α = 1e6 both lose digits to log-gammas of 1e7
    np.testing.assert_allclose(density.numpy(), stats.beta.pdf(grid, alpha, alpha), rtol=1e-7 if alpha > 1e3 else 1e-10)
    assert density[0] == density[1] == (math.inf if alpha < 1 else 1 if alpha == 1 else 0)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_moments_are_scipys(alpha):
    moments = lambda_moments(alpha)
    law = stats.beta(alpha, alpha)
    assert moments.alpha == alpha
    assert moments.mean == 0.5
    assert moments.variance == pytest.approx(law.var(), rel=1e-9)
    assert moments.theta_bar == pytest.approx(1 - special.betainc(alpha + 1, alpha, 0.5), abs=1e-9)
    assert moments.mixed_mass == pytest.approx(law.cdf(0.9) - law.cdf(0.1), rel=1e-6, abs=1e-12)
