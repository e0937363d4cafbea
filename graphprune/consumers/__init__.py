"""Programs that take a pruned model further: does each of them still open it, run it, and give the same?

tools.py     one function for each program: a file and inputs in, outputs out
table.py     the programs by name, and what each needs
trial.py     one of them tried on a file, in a process of its own with a time limit
__main__.py  that process

A crash or an endless loop in somebody else's code ends the process, never ours.
"""

from graphprune.consumers.table import CONSUMERS, Consumer, choose_consumers
from graphprune.consumers.trial import Trial, try_consumer

__all__ = ["CONSUMERS", "Consumer", "Trial", "choose_consumers", "try_consumer"]
