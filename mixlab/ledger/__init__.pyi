# The public names of this package, each with the file it lives in.
from .claim import Claim as Claim
from .claims import CLAIMS as CLAIMS
from .ledger import Ledger as Ledger
from .own_runs import comparable as comparable
from .verdict import Verdict as Verdict

__all__: list[str]
