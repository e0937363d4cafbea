"""Two files held against each other: is one the other with slots removed, and what is it good for?

twins.py     which initializer of the pruned file is which weight of the original
recover.py   the kept slots read from the two files, where there is no plan
adopt.py     the original network with the pruned model's own weights
proof.py     mask equivalence of the file
trials.py    what other programs make of it
verify.py    all of it
"""

from graphprune.verification.proof import Proof
from graphprune.verification.trials import ConsumerResult
from graphprune.verification.verify import Verification, verify_files

__all__ = ["ConsumerResult", "Proof", "Verification", "verify_files"]
