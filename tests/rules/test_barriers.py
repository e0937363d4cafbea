"""Operators without a rule: a reported reason, never an exception and never a guess."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from graphprune.analysis.analyser import _no_rule
from graphprune.analysis.facts import NodeFacts, read_graph
from graphprune.rules import find_rule
from graphprune.rules.table import BARRIERS, RULES
from graphprune.testing import prune_at_random
from tests.rules.building import build, flat

_SCHEMAS = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == ""})


def _node(op: str, domain: str = "") -> NodeFacts:
    model = ir.Model(
        ir.Graph([], [], nodes=[ir.node(op, [], domain=domain, name="n")], opset_imports={"": 18}),
        ir_version=8,
    )
    return read_graph(model).nodes[0]


@pytest.mark.parametrize("op", [op for op in _SCHEMAS if op not in RULES])
def test_operators_of_onnx_without_a_rule_have_a_reason(op: str) -> None:
    assert find_rule("", op) is None
    assert _no_rule(_node(op)) == BARRIERS.get(op, f"no rule for operator {op}")


def test_rules_and_barriers_are_operators_of_onnx() -> None:
    # ONNX Runtime registers this one in the default domain too.
    assert not (RULES.keys() | BARRIERS.keys()) - set(_SCHEMAS) - {"SimplifiedLayerNormalization"}
    assert not RULES.keys() & BARRIERS.keys()


def test_reasons_name_the_domain() -> None:
    assert _no_rule(_node("Foo", "com.example")) == "no rule for operator Foo of domain com.example"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "z = ReverseSequence <batch_axis = 0, time_axis = 1> (h2, lengths)",
            "no rule for operator ReverseSequence",
        ),
        ("t = Transpose(h2) q = MatMul(t, h2) d = Det(q) z = Mul(h2, d)", "no rule for operator Det"),
    ],
)
def test_a_barrier_freezes_what_it_sees(body: str, reason: str) -> None:
    before = "g = Gemm(x, G) r = Relu(g) w = MatMul(r, V) h2 = Add(h, w)"
    text = flat(f"{before} {body}", "float[4, 6] G, float[6, 8] V, int64[1] lengths = {8}")
    outcome = prune_at_random(build(text.replace("[n, ", "[1, ")))
    assert reason in outcome.analysis.by_key["A[1]"].frozen
    assert reason in "; ".join(outcome.analysis.barriers.values())
    assert outcome.size("G", 1) == 3  # what the barrier does not see is cut
    assert outcome.equivalence.status == "equal"
