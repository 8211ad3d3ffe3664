# The public names of this package, each with the file it lives in.
from .run import opened as opened
from .store import StoreError as StoreError
from .stored import Run as Run
from .stored import RunTable as RunTable
from .sweep import SweepError as SweepError

__all__: list[str]
