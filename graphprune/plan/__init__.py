"""A plan: which slots every group keeps and why, as a small file to read, edit and apply again."""

from graphprune.plan.fingerprint import fingerprint
from graphprune.plan.plan import Plan, PlannedGroup, keeps_of, make_plan, read_plan

__all__ = ["Plan", "PlannedGroup", "fingerprint", "keeps_of", "make_plan", "read_plan"]
