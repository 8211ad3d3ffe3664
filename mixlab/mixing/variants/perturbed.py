"""Mixup as Carratino et al. read it: every example is drawn toward the mean of the batch, and perturbed."""

import math
from dataclasses import dataclass

import torch

from mixlab import _check
from mixlab.mixing.beta import lambda_moments
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Weights


@dataclass(frozen=True)
class Perturbed(Variant):
    """Carratino et al., "On Mixup Regularization", JMLR 23, 2022: mixup is a transformation of the data and a
    random perturbation; this is either of them, or both, with a perturbation that has only mixup's second moments.

    With θ = max(λ, 1 − λ), θ̄ its mean, σ² its variance and γ² = σ² + (1 − θ̄)², mixup gives x̃ᵢ + δᵢ and ỹᵢ + εᵢ where
    x̃ᵢ = x̄ + θ̄ (xᵢ − x̄), ỹᵢ likewise, and δᵢ, εᵢ have means of zero and E δᵢδᵢᵀ = σ² (xᵢ − x̄)(xᵢ − x̄)ᵀ + γ² Σ_xx;
    E εᵢεᵢᵀ and E δᵢεᵢᵀ are the same of y and y, and of x and y. Here x̄ and Σ are those of the batch, with partners
    drawn from it uniformly, and the perturbation is Gaussian: σ aᵢ (xᵢ − x̄) + γ/√B Σⱼ gᵢⱼ (xⱼ − x̄), with the same aᵢ
    and gᵢⱼ for the labels. So all of it is one matrix of weights, whose rows sum to 1: `mixlab.mixing.ways.Weights`.
    Weights, and so soft labels, may be negative; cross entropy is linear in the label. The Mixer's partners play no
    part; λ in the plan is θ̄ + σ aᵢ, held to [0, 1], for display. With shared_lam aᵢ is one for the batch, gᵢⱼ is not.

    A mix multiplies each value of an image B times instead of twice, and takes the whole batch in float32: nothing to
    speak of for (128, 3, 32, 32), but 39 thousand million multiplications a mix for (512, 3, 224, 224).

    Args:
        transform: draws toward the mean; without it θ̄ is 1 in x̃ᵢ and ỹᵢ.
        perturb: adds δᵢ and εᵢ.

    Raises:
        TypeError, ValueError: settings that are not True or False, or both False.
    """

    transform: bool = True
    perturb: bool = True

    name = "perturbed"
    about = "drawn to the mean, plus Gaussian noise of mixup's moments (Carratino et al., 2022)"
    takes_images = False
    label_follows_pixels = False
    two_labels = False

    def __post_init__(self) -> None:
        if not (_check.flag("transform", self.transform) | _check.flag("perturb", self.perturb)):
            raise ValueError('transform and perturb must not both be False (for no mixing use Mixer("none"))')

    def draw(self, ask: Request) -> MixPlan:
        """Weights about the mean."""
        moments, batch = lambda_moments(ask.alpha), len(ask.x)
        variance = max(0.0, moments.variance - (moments.theta_bar - 0.5) ** 2)
        mean, device = moments.theta_bar if self.transform else 1.0, ask.x.device
        own = torch.full((ask.k, batch), mean, dtype=torch.float64, device=device)
        spread: float | torch.Tensor = 0.0
        if self.perturb:
            own = own + math.sqrt(variance) * ask.normal(*ask.places)
            noise = ask.normal(ask.k, batch, batch)
            gamma = math.sqrt(variance + (1 - moments.theta_bar) ** 2)
            spread = gamma / math.sqrt(batch) * (noise - noise.mean(-1, keepdim=True))
        centered = torch.eye(batch, dtype=torch.float64, device=device) - 1 / batch
        weights = (1 / batch + own[..., None] * centered + spread).float()
        lam = own.clamp(0, 1).float()
        return ask.plan(self.name, lam, lam, Weights(weights))
