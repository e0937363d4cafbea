"""All rules in one read-only mapping, keyed by domain and operator."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphprune.rules import attention, conv, elementwise, matmul, norm, recurrent, reduce, shaping
from graphprune.rules.microsoft import FAMILIES as MICROSOFT
from graphprune.rules.rule import Rule

FAMILIES = (attention, conv, elementwise, matmul, norm, recurrent, reduce, shaping)
BY_DOMAIN = {"": FAMILIES, "com.microsoft": MICROSOFT}


def _build() -> dict[tuple[str, str], Rule]:
    found: dict[tuple[str, str], Rule] = {}
    for domain, families in BY_DOMAIN.items():
        for family in families:
            for op, rule in family.RULES.items():
                if (domain, op) in found:
                    raise RuntimeError(f"two rules for {op} of domain {domain!r}")
                found[domain, op] = rule
    return found


RULES: Mapping[tuple[str, str], Rule] = MappingProxyType(_build())


def find_rule(domain: str, op: str) -> Rule | None:
    """The rule of an operator, or None: a barrier. The default domain has two names."""
    return RULES.get(("" if domain == "ai.onnx" else domain, op))
