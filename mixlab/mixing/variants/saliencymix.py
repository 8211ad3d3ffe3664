"""SaliencyMix: CutMix's box, laid about the most salient pixel of the partner."""

from dataclasses import dataclass

import torch

from mixlab.mixing.plan import MixPlan
from mixlab.mixing.saliency import saliency
from mixlab.mixing.variants.cutmix import box_plan, clipped_boxes
from mixlab.mixing.variants.variant import Request, Variant


@dataclass(frozen=True)
class SaliencyMix(Variant):
    """Uddin et al., "SaliencyMix", ICLR 2021: so that what is pasted shows something of the label that comes with it.

    Boxes have CutMix's sides and are clipped as there; the center is the peak of each partner's own saliency. Saliency
    is here the size of the loss's gradient, `mixlab.saliency`; the paper's is a detector from OpenCV that knows nothing
    of the network. An image without any gradient peaks at its top left corner.
    """

    name = "saliencymix"
    about = "CutMix's box about the partner's most salient pixel (Uddin et al., 2021)"
    needs_model = True

    def draw(self, ask: Request) -> MixPlan:
        """Sides √(1 − λ) of the image's, about the peak of each partner's saliency."""
        model, y = ask.model_and_labels
        nominal = ask.lambdas()
        seen = saliency(model, ask.x, y, normalize=ask.normalize)
        height, width = seen.shape[1:]
        peak = seen.flatten(1).argmax(1).index_select(0, ask.partner)
        rows, columns = torch.div(peak, width, rounding_mode="floor"), peak % width
        center = torch.stack([(rows + 0.5).double() / height, (columns + 0.5).double() / width], dim=-1)
        size = tuple(ask.x.shape[2:])
        corners, left = clipped_boxes(torch.sqrt(1 - nominal.double()), center.expand(ask.k, -1, -1), size)
        return box_plan(self.name, ask, nominal, corners, left)
