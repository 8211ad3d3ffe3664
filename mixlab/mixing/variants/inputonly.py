"""Input-only mixup: the images are blended, their labels are not."""

from dataclasses import dataclass

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Mask


@dataclass(frozen=True)
class InputOnly(Variant):
    """The baseline of Thulasidasan et al., "On Mixup Training: Improved Calibration and Predictive Uncertainty for Deep
    Neural Networks", NeurIPS 2019, that asks what the mixing of labels is for.

    Pixels are mixup's, by the nominal λ. The label is that of whoever weighs more: λ of the label is 1 where the
    nominal λ is at least ½, otherwise 0; it is what ordered sorts by.
    """

    name = "inputonly"
    about = "mixup of the pixels alone, under the label of the heavier image (Thulasidasan et al., 2019)"
    label_follows_pixels = False

    def draw(self, ask: Request) -> MixPlan:
        """λs, as masks of one block."""
        nominal = ask.lambdas()
        label = (nominal >= 0.5).to(nominal.dtype)
        return ask.plan(self.name, label, nominal, Mask(nominal[..., None, None]))
