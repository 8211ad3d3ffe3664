# The public names of this package, each with the file it lives in.
from .comparison import Comparison as Comparison
from .recommendation import Recommendation as Recommendation

__all__: list[str]
