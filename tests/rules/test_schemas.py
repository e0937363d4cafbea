"""Every operator that ONNX or ONNX Runtime knows has a rule, or a declared reason why it has none."""

from __future__ import annotations

import onnx
import pytest

from graphprune.rules import RULES, find_rule
from graphprune.rules.barriers import BARRIERS, DOMAINS, reason_without_rule

BODIES = frozenset({"If", "Loop", "Scan"})  # the analyser enters them
_ONNX = sorted({("" if s.domain == "ai.onnx" else s.domain, s.name) for s in onnx.defs.get_all_schemas()})


def _runtime() -> list[tuple[str, str]]:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    return sorted(
        {(s.domain, s.name) for s in state.get_all_operator_schema() if s.domain.startswith("com.")}
    )


def answered(domain: str, op: str) -> bool:
    """A rule, a reason of its own, or the reason of its domain: exactly one of the three."""
    known = [find_rule(domain, op) is not None, (domain, op) in BARRIERS, domain in DOMAINS]
    return sum(known) == 1 or (not domain and op in BODIES)


@pytest.mark.parametrize(("domain", "op"), _ONNX)
def test_operators_of_onnx(domain: str, op: str) -> None:
    assert answered(domain, op)


def test_operators_of_the_runtime() -> None:
    unknown = [f"{domain}.{op}" for domain, op in _runtime() if not answered(domain, op)]
    assert not unknown


def test_the_walk_sees_something() -> None:
    assert len([op for domain, op in _ONNX if not domain]) > 180
    assert len({domain for domain, _ in _ONNX}) >= 3


def test_rules_and_barriers_are_operators_that_exist() -> None:
    # ONNX Runtime registers SimplifiedLayerNormalization in the default domain too.
    there = {*_ONNX, *_runtime(), ("", "SimplifiedLayerNormalization")}
    assert not (RULES.keys() | BARRIERS.keys()) - there
    assert not RULES.keys() & BARRIERS.keys()


def test_reasons() -> None:
    assert reason_without_rule("", "Unique") == "its output depends on values"
    assert reason_without_rule("ai.onnx", "Unique") == "its output depends on values"
    assert "trees" in reason_without_rule("ai.onnx.ml", "TreeEnsemble")
    assert "before it is optimised" in reason_without_rule("com.microsoft.nchwc", "Conv")
    assert reason_without_rule("com.example", "Foo") == "no rule for operator Foo of domain com.example"
    assert reason_without_rule("", "Foo") == "no rule for operator Foo"


def test_every_reason_is_a_sentence() -> None:
    for why in (*BARRIERS.values(), *DOMAINS.values()):
        assert 20 < len(why) < 160
        assert not why.endswith(".")
