"""The claims of the ledger: what papers on mixup say, as far as an experiment on two cores can contradict it."""

from mixlab.ledger.claim import Claim
from mixlab.ledger.claims_on_networks import BETWEEN, COST_AND_REACH, TROUBLE
from mixlab.ledger.claims_on_runs import GAINS, K_MIXES, REPAIRS

CLAIMS: tuple[Claim, ...] = (*GAINS, *REPAIRS, *K_MIXES, *BETWEEN, *TROUBLE, *COST_AND_REACH)
