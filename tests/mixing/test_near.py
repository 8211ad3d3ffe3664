"""Partners with near labels: their frequencies against the kernel of scikit-learn, which C-Mixup's code takes."""

import numpy as np
import pytest
import torch
from refusals import each_refused
from scipy import stats
from seeding import seeded
from sklearn.neighbors import KernelDensity

from mixlab import Mixer
from mixlab.mixing import Near, OneOf

LABELS = {
    "numbers": torch.tensor([0.0, 0.3, 0.4, 1.0, 2.5, -1.0]),
    "rows": torch.tensor([[0.0, 1.0], [0.5, 0.0], [0.2, 0.9], [2.0, 2.0]], dtype=torch.bfloat16),
    "equal": torch.zeros(4, dtype=torch.float64),
}


def kernel(y: np.ndarray, bandwidth: float, distinct: bool) -> np.ndarray:
    """p [B, B], a row for each example."""
    rows = y.reshape(len(y), -1)
    fits = (KernelDensity(kernel="gaussian", bandwidth=bandwidth).fit(row[None]) for row in rows)
    p = np.exp([fit.score_samples(rows) for fit in fits]) * (1 - distinct * np.eye(len(y)))
    return p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("bandwidth", [0.5, 3.0])
def test_partners_have_the_kernels_probabilities(labels, distinct, bandwidth) -> None:
    y, stream, draws = LABELS[labels], seeded(), 3000
    mixer, x = Mixer(partners=Near(bandwidth), distinct=distinct), torch.empty(len(LABELS[labels]), 1)
    p = kernel(y.double().numpy(), bandwidth, distinct)
    logs = Near(bandwidth).log_chances(y, distinct=distinct)
    np.testing.assert_allclose(logs.softmax(1), p, atol=1e-12)
    partners = torch.stack([mixer.plan(x, y, generator=stream).partner for _ in range(draws)])
    for place, expected in enumerate(p * draws):
        seen = torch.bincount(partners[:, place], minlength=len(y)).numpy()
        common = expected > 5  # chi-square holds for these; the others are counted together
        assert not seen[expected == 0].any()
        groups = [(*part[common], part[~common].sum()) for part in (seen, expected)]
        groups = np.array(groups)[:, np.array(groups[1]) > 1e-6]
        assert stats.chisquare(*groups).pvalue > 1e-5


def test_where_all_others_are_far_the_nearest_is_drawn() -> None:
    y = torch.tensor([0.0, 1e4, 1.5e4, -3e4])
    for bandwidth in (0.01, 1e-30):
        plan = Mixer(partners=Near(bandwidth), distinct=True).plan(torch.empty(4, 1), y)
        assert plan.partner.tolist() == [1, 2, 1, 0]
    assert Mixer(partners=Near(0.01)).plan(torch.empty(4, 1), y).partner.tolist() == [0, 1, 2, 3]


def test_a_plan_of_near_labels_is_as_any_other() -> None:
    x, y = torch.randn(6, 2, generator=seeded()), LABELS["numbers"]
    for mixer in (Mixer("mixup", k=3, partners=Near()), OneOf([Mixer("manifold", layers=["a"], partners=Near())])):
        one, two = (mixer.plan(x, y, generator=seeded(4)) for _ in range(2))
        assert one.to_json() == two.to_json()
    mixed = Mixer("mixup", k=2, partners=Near(0.1))(x, y, generator=seeded())
    weight = mixed.lam.double()
    expected = weight * mixed.y_a.double() + (1 - weight) * mixed.y_b.double()
    torch.testing.assert_close(mixed.targets().double(), expected, atol=1e-6, rtol=0)
    assert repr(Mixer(partners=Near(0.5))) == "Mixer('mixup', alpha=1, k=1, partners=Near(bandwidth=0.5))"


X, NAN = torch.empty(2, 1), torch.tensor([0.0, float("nan")])
test_refused = each_refused(
    (lambda: Near(0), r"bandwidth must be a number from 1e-30 to 1e\+30, got 0"),
    (lambda: Near("wide"), r"bandwidth must be a number from 1e-30 to 1e\+30, got 'wide'"),
    (
        lambda: Mixer(partners="near"),
        r"partners must be one of 'random', 'roll', 'reversed', or .*Near\(bandwidth\), got",
    ),
    (lambda: Mixer(partners=Near()).plan(X), r"y must be float labels .* by partners=Near\(bandwidth=1.0\), got None"),
    (
        lambda: Mixer(partners=Near()).plan(X, torch.tensor([0, 1])),
        r"partners must be 'random', .* where labels are classes, got Near\(bandwidth=1.0\), .* an int64 tensor",
    ),
    (lambda: Mixer(partners=Near()).plan(X, NAN), "y must be finite"),
)
