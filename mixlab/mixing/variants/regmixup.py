"""RegMixup: the clean batch, and mixup of it beside, in one."""

from dataclasses import dataclass

import torch

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant


@dataclass(frozen=True)
class RegMixup(Variant):
    """Pinto et al., "RegMixup: Mixup as a Regularizer Can Surprisingly Improve Accuracy and Out Distribution
    Robustness", NeurIPS 2022.

    A plan holds K + 1 mixes: the batch as it is, with λ = 1, and K by mixup. The loss is the mean over all of them, for
    K = 1 half of CE(x) + CE(mixup), as in the official code; the paper writes the sum. BatchNorm sees the clean and the
    mixed images together, as in that code. The paper takes alpha from 10 to 20, and one λ for the batch (shared_lam).
    """

    name = "regmixup"
    about = "the clean batch, and mixup of it beside (Pinto et al., 2022; α 10 to 20 there)"
    takes_images = False

    @staticmethod
    def rows(k: int) -> int:
        """The clean batch besides."""
        return k + 1

    def draw(self, ask: Request) -> MixPlan:
        """λs, after those of 1."""
        lam = ask.lambdas()
        lam = torch.cat([torch.ones_like(lam[:1]), lam])
        return ask.plan(self.name, lam, lam)
