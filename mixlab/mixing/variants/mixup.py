"""Input mixup: x̃ = λ x + (1 − λ) x′."""

from dataclasses import dataclass

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant


@dataclass(frozen=True)
class Mixup(Variant):
    """Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 2."""

    name = "mixup"
    about = "all pixels blended: λ of the example, 1 − λ of its partner (Zhang et al., 2018)"
    takes_images = False

    def draw(self, ask: Request) -> MixPlan:
        """λs alone."""
        lam = ask.lambdas()
        return ask.plan(self.name, lam, lam)
