# The public names of this package, each with the file it lives in.
from .claim import Claim as Claim
from .claims import CLAIMS as CLAIMS
from .counting import changes_of_variance as changes_of_variance
from .counting import counted as counted
from .effects import differences as differences
from .effects import points as points
from .ledger import Ledger as Ledger
from .own_runs import comparable as comparable
from .probing import probed as probed
from .rows import parity as parity
from .rows import tables as tables
from .stress import under_stress as under_stress
from .verdict import Verdict as Verdict
from .verdict import mean_of as mean_of

__all__: list[str]
