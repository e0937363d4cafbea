"""Operators without a rule: a reported reason, never an exception and never a guess."""

from __future__ import annotations

import pytest

from graphprune.testing import prune_at_random
from tests.rules.building import build, flat, tokens


def test_what_goes_into_the_unknown_is_frozen() -> None:
    """No kernel, no shapes: the dimension must not get lost on its way to the output."""
    text = tokens("s = com.microsoft.BiasAdd(h, b, h) z = Relu(s)", "float[12] b")
    outcome = prune_at_random(build(text))
    assert "unknown" in outcome.analysis.by_key["A[1]"].frozen
    assert not outcome.decision.keeps


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("s = SequenceConstruct(h2) z = ConcatFromSequence <axis = 1> (s)", "works on sequences"),
        (
            "q = Unsqueeze(h2, two) d = STFT(q, four, , four) s = ReduceSum <keepdims = 0> (d) z = Mul(h2, s)",
            "depends on all others",
        ),
    ],
)
def test_a_barrier_freezes_what_it_sees(body: str, reason: str) -> None:
    before = "g = Gemm(x, G) r = Relu(g) w = MatMul(r, V) h2 = Add(h, w)"
    text = flat(f"{before} {body}", "float[4, 6] G, float[6, 8] V, int64[1] two = {2}, int64 four = {4}")
    outcome = prune_at_random(build(text.replace("[n, ", "[1, ")))
    assert reason in outcome.analysis.by_key["A[1]"].frozen
    assert reason in "; ".join(outcome.analysis.barriers.values())
    assert outcome.size("G", 1) == 3  # what the barrier does not see is cut
    assert outcome.equivalence.status == "equal"
