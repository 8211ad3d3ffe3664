# The public names of this package, each with the file it lives in.
from .beta import LambdaMoments as LambdaMoments
from .beta import lambda_moments as lambda_moments
from .beta import lambda_pdf as lambda_pdf
from .beta import lambda_quantile as lambda_quantile
from .beta import sample_lambda as sample_lambda
from .hidden import hidden_mixing as hidden_mixing
from .losses import mixed_cross_entropy as mixed_cross_entropy
from .losses import mixed_logits as mixed_logits
from .losses import mixed_loss as mixed_loss
from .losses import target_cross_entropy as target_cross_entropy
from .mixer import PARTNERS as PARTNERS
from .mixer import Mixed as Mixed
from .mixer import Mixer as Mixer
from .near import Near as Near
from .one_of import OneOf as OneOf
from .plan import MixPlan as MixPlan
from .variants import KINDS as KINDS
from .variants import VARIANTS as VARIANTS

__all__: list[str]
