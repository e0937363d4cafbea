"""All rules in one read-only mapping, and the declared barriers with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphprune.rules import attention, conv, elementwise, matmul, norm, recurrent, reduce, shaping
from graphprune.rules.rule import Rule

FAMILIES = (attention, conv, elementwise, matmul, norm, recurrent, reduce, shaping)

BARRIERS: Mapping[str, str] = MappingProxyType(
    {
        "NonZero": "its output depends on values",
        "Unique": "its output depends on values",
        "NonMaxSuppression": "its output depends on values",
        "DFT": "every slot depends on all others",
        "STFT": "every slot depends on all others",
    }
)


def _build() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for family in FAMILIES:
        for op, rule in family.RULES.items():
            if op in found:
                raise RuntimeError(f"two rules for {op}")
            found[op] = rule
    return found


RULES: Mapping[str, Rule] = MappingProxyType(_build())


def find_rule(domain: str, op: str) -> Rule | None:
    """The rule of an operator of the default domain, or None: a barrier."""
    return RULES.get(op) if domain in ("", "ai.onnx") else None
