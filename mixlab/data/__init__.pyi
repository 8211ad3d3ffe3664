# The public names of this package, each with the file it lives in.
from .cache import DataError as DataError
from .dataset import Dataset as Dataset
from .dataset import Split as Split
from .load import cache_path as cache_path
from .load import is_cached as is_cached
from .load import verify as verify
from .noise import Noisy as Noisy
from .noise import with_human_labels as with_human_labels
from .noise import with_wrong_labels as with_wrong_labels
from .parts import stratified as stratified
from .spiral_points import spirals as spirals

__all__: list[str]
