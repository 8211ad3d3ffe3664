# The public names of this package, each with the file it lives in.
from .cost import Cost as Cost
from .cost import cost_of as cost_of
from .run import opened as opened
from .run_table import RunTable as RunTable
from .store import StoreError as StoreError
from .stored_run import Run as Run
from .sweep import SweepError as SweepError

__all__: list[str]
