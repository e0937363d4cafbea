"""Which groups may be cut, and the reason for each of the others."""

from __future__ import annotations

import pytest

from graphprune.analysis import Analysis
from graphprune.decide import choose_candidates
from graphprune.errors import UsageError
from graphprune.testing import analysed
from tests.rules.building import build

# Two convolutions, heads of an attention inside a norm, and an output layer.
TEXT = """net (float[n, t, 4] x) => (float[N, T, V] y)
    <float[4, 12] stem.weight, float[12] gain, float[12, 24] q.weight, float[12, 24] k.weight, float[12, 24] v.weight, float[24, 12] o.weight,
     float[12, 20] up.weight, float[20, 12] down.weight, float[12, 5] head.weight, int64[4] s = {0, 0, 3, 8}, int64[3] m = {0, 0, 24}>
    { h = MatMul(x, stem.weight)  n0 = LayerNormalization(h, gain)
      q0 = MatMul(n0, q.weight)  k0 = MatMul(n0, k.weight)  v0 = MatMul(n0, v.weight)
      q1 = Reshape(q0, s)  k1 = Reshape(k0, s)  v1 = Reshape(v0, s)
      q = Transpose <perm = [0, 2, 1, 3]> (q1)  k = Transpose <perm = [0, 2, 3, 1]> (k1)  v = Transpose <perm = [0, 2, 1, 3]> (v1)
      c = MatMul(q, k)  p = Softmax(c)  o1 = MatMul(p, v)  o2 = Transpose <perm = [0, 2, 1, 3]> (o1)  o3 = Reshape(o2, m)
      o = MatMul(o3, o.weight)  r = Add(h, o)  u = MatMul(r, up.weight)  g = Relu(u)  d = MatMul(g, down.weight)  e = Add(r, d)
      y = MatMul(e, head.weight) }""".replace(".weight", "_weight")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysed(build(TEXT))[1]


def keys(analysis: Analysis, **wish: object) -> list[str]:
    return [g.key for g in choose_candidates(analysis, **wish).groups]  # type: ignore[arg-type]


def test_by_default_everything_exact_is_cut_once_for_each_axis(analysis: Analysis) -> None:
    assert keys(analysis) == ["q_weight[1]", "up_weight[1]"]
    assert {analysis.by_key[k].kind for k in keys(analysis)} == {"heads", "neurons"}


def test_every_other_group_has_a_reason(analysis: Analysis) -> None:
    reasons = choose_candidates(analysis).reasons
    assert reasons.keys() == {g.key for g in analysis.groups} - set(keys(analysis))
    assert reasons["stem_weight[0]"] == 'frozen: an axis of graph input "x"'
    assert reasons["head_weight[1]"] == 'frozen: reaches graph output "y"'
    assert "normalised over" in reasons["stem_weight[1]"]
    assert "--structures residual" in reasons["stem_weight[1]"]
    assert reasons["q_weight[1].2"] == 'the same axes are cut by heads "q_weight[1]"'


@pytest.mark.parametrize(
    ("structures", "expected"),
    [
        (("neurons",), ["up_weight[1]"]),
        (("heads",), ["q_weight[1]"]),
        (("head-dim",), ["q_weight[1].2", "v_weight[1].2"]),
        (("residual",), ["stem_weight[1]"]),
        (("residual", "heads"), ["stem_weight[1]", "q_weight[1]"]),
        (("channels",), []),
    ],
)
def test_structures(analysis: Analysis, structures: tuple[str, ...], expected: list[str]) -> None:
    found = keys(analysis, structures=structures)
    assert [k.split(".")[0] for k in found] == [k.split(".")[0] for k in expected]


def test_what_was_not_asked_for_says_so(analysis: Analysis) -> None:
    reasons = choose_candidates(analysis, structures=("heads",)).reasons
    assert reasons["up_weight[1]"] == "neurons were not asked for (--structures)"


@pytest.mark.parametrize("pattern", ["up_weight", "up_*", "?p_weight", "down_weight"])
def test_only(analysis: Analysis, pattern: str) -> None:
    assert keys(analysis, only=[pattern]) == ["up_weight[1]"]
    assert "--only" in choose_candidates(analysis, only=[pattern]).reasons["q_weight[1]"]


def test_only_takes_names_of_nodes_and_their_outputs(analysis: Analysis) -> None:
    node = next(n for n in analysis.facts.nodes if "up_weight" in n.inputs)
    assert keys(analysis, only=[node.name]) == ["up_weight[1]"]
    assert keys(analysis, only=[node.outputs[0]]) == ["up_weight[1]"]


def test_exclude(analysis: Analysis) -> None:
    assert keys(analysis, exclude=["up_*"]) == ["q_weight[1]"]
    assert "--exclude" in choose_candidates(analysis, exclude=["up_*"]).reasons["up_weight[1]"]
    assert keys(analysis, only=["*"], exclude=["*"]) == []


def test_a_pattern_without_a_match_is_an_error(analysis: Analysis) -> None:
    with pytest.raises(UsageError, match="no weight or node of a prunable dimension matches 'conv\\*'"):
        choose_candidates(analysis, exclude=["conv*"])


def test_an_unknown_structure_is_an_error(analysis: Analysis) -> None:
    with pytest.raises(
        UsageError, match="unknown structure 'storeys': choose from experts, kv-groups, heads"
    ):
        choose_candidates(analysis, structures=("storeys",))
