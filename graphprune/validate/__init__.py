"""Is the result what it should be? Mask equivalence, fidelity to the original, and the contract."""

from graphprune.validate.blame import blamed_on_model
from graphprune.validate.contract import check_contract
from graphprune.validate.equivalence import Equivalence, check_equivalence
from graphprune.validate.fidelity import Fidelity, doubts, measure_fidelity
from graphprune.validate.wellformed import check_file

__all__ = [
    "Equivalence",
    "Fidelity",
    "blamed_on_model",
    "check_contract",
    "check_equivalence",
    "check_file",
    "doubts",
    "measure_fidelity",
]
