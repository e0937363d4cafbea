"""What graphprune knows about operators: one table, grouped in family files.

To find the rule of an operator, search its name here; to add one, add a line to the file of its family
and a row to tests/rules. An operator without a rule is a barrier with a reason, never transparent.
"""

from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.rule import Rule, rule
from graphprune.rules.table import RULES, find_rule

__all__ = ["RULES", "Barrier", "NodeContext", "Rule", "find_rule", "rule"]
