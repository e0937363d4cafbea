"""Queries and keys in the basis of their scores: where it is the same function, and what few directions tell."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.compensate import basis as checked
from graphprune.compensate.trial import with_weights
from graphprune.errors import UsageError
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import ScoringProblem, find_pass
from graphprune.testing import analysed
from graphprune_passes.bases import keys, values
from tests.hard_cases.test_handmade import HANDMADE
from tests.passes.nets import net, samples, weights

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float32]]

TURNED = {
    "runtime_attention_scale": {"W_3", "B_4", "W_6", "B_7"},  # projections of their own, with biases
    "gqa_attention": {"W_3", "B_4", "W_6", "B_7"},  # two heads of queries for each of keys
    "fused_qkv": {"W_3", "B_4"},  # an axis of three, gathered
    "fused_qkv_split": {"W_3", "B_4"},  # three parts of an axis
    "einsum_attention": {"W_3", "B_4", "W_6", "B_7"},
}
PICTURE = """
<ir_version: 8, opset_import: ["" : 18]>
picture (float[batch, 12, 4, 4] x) => (float[batch, 12, 16] y)
<int64[3] flat = {0, 0, -1}>
{
  q0 = Conv <kernel_shape = [1, 1]> (x, wq, bq)
  q1 = Reshape (q0, flat)
  q = Transpose <perm = [0, 2, 1]> (q1)
  k0 = Conv <kernel_shape = [1, 1]> (x, wk, bk)
  k = Reshape (k0, flat)
  s = MatMul (q, k)
  p = Softmax <axis = -1> (s)
  t = Transpose <perm = [0, 2, 1]> (p)
  v0 = Conv <kernel_shape = [1, 1]> (x, wv)
  v = Reshape (v0, flat)
  y = MatMul (v, t)
}
"""
ROWS = """
<ir_version: 8, opset_import: ["" : 18]>
rows (float[12, 12] x) => (float[12, 12] y)
<int64[3] split = {-1, 3, 4}>
{
  both = Gemm <transB = 1, alpha = 0.5> (x, wqk, bqk)
  q0, k0 = Split <axis = 1, num_outputs = 2> (both)
  q1 = Reshape (q0, split)
  q = Transpose <perm = [1, 0, 2]> (q1)
  k1 = Reshape (k0, split)
  k = Transpose <perm = [1, 2, 0]> (k1)
  s = MatMul (q, k)
  p = Softmax <axis = -1> (s)
  m = ReduceMean <keepdims = 0> (p, first)
  y = MatMul (m, x)
}
"""

FUSED = """
<ir_version: 10, opset_import: ["" : 23, "com.microsoft" : 1]>
fused (float[batch, 6, 12] x) => (float[batch, 6, 12] y)
{
  q = MatMul (x, wq)
  k0 = MatMul (x, wk)
  k = Add (k0, bk)
  v = MatMul (x, wv)
  y = OPERATOR
}
"""
OPERATORS = {  # what a model may say in one word, and whether queries and keys are turned there
    "Attention <q_num_heads = 6, kv_num_heads = 3> (q, k, v)": True,
    "Attention <q_num_heads = 6, kv_num_heads = 3, is_causal = 1> (q, k, v)": True,
    "Attention <q_num_heads = 6, kv_num_heads = 3> (q, k, k)": False,  # keys are values too
    "com.microsoft.MultiHeadAttention <num_heads = 3> (k, k1, v)": True,
    "com.microsoft.MultiHeadAttention <num_heads = 3> (k, k1, v, shift)": False,  # a bias of its own
}


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def written(text: str, **arrays: NDArray[Any]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in arrays.items())
    return model


def picture() -> onnx.ModelProto:
    """Attention over the places of a picture, by convolutions of one place, in one head."""
    made = {f"w{c}": draw(8 if c != "v" else 12, 12, 1, 1, seed=k) / 3 for k, c in enumerate("qkv")}
    return written(PICTURE, **made, bq=draw(8, seed=8), bk=draw(8, seed=9))


def rows() -> onnx.ModelProto:
    """One Gemm that makes queries and keys of three heads, the product scaled."""
    first = np.zeros(1, np.int64)
    return written(ROWS, wqk=draw(24, 12), bqk=draw(24, seed=1), first=first)


def inputs_of(model: onnx.ModelProto, x: NDArray[np.float32], basis: str = "") -> Inputs:
    normal, analysis = analysed(model)
    return prepare_inputs(normal, analysis, Wanted({"x": x}, basis=basis), 0)


def found(inputs: Inputs, name: str) -> Arrays:
    groups = tuple(g for g in inputs.analysis.groups if not g.frozen)
    problem = ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    return dict(find_pass("basis", name).run(problem))


def moved_by(inputs: Inputs, new: Arrays, x: NDArray[np.float32]) -> float:
    """Largest change of an output in ONNX Runtime, over its largest magnitude."""
    outputs = []
    for model in (inputs.model, with_weights(inputs.model, new)):
        session = ort.InferenceSession(
            ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        outputs.append(session.run(None, {"x": x}))
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*outputs, strict=True))


@pytest.mark.parametrize("basis", ["keys", "attention"])
@pytest.mark.parametrize("name", TURNED)
def test_the_function_stays_the_same(name: str, basis: str) -> None:
    inputs = inputs_of(HANDMADE[name](), draw(32, 6, 6))
    new = found(inputs, basis)
    assert set(new) == TURNED[name] if basis == "keys" else set(new) >= TURNED[name]
    for key in TURNED[name]:
        assert np.abs(new[key] - inputs.analysis.facts.weights[key].numpy()).max() > 0.01
    assert moved_by(inputs, new, draw(8, 6, 6, seed=5)) < 2e-6


def test_convolutions_of_one_place_and_scaled_products_are_turned_too() -> None:
    for model, x, shape in ((picture(), draw(24, 12, 4, 4), (5, 12, 4, 4)), (rows(), draw(12, 12), (12, 12))):
        inputs = inputs_of(model, x)
        new = found(inputs, "keys")
        assert set(new) in ({"wq", "wk", "bq", "bk"}, {"wqk", "bqk"})
        assert moved_by(inputs, new, draw(*shape, seed=5)) < 5e-6


@pytest.mark.parametrize("name", ["rotary", "rotary_interleaved", "rotary_reshaped", "linear_attention"])
def test_rotary_embeddings_and_other_functions_of_channels_keep_them(name: str) -> None:
    inputs = inputs_of(HANDMADE[name](), draw(32, 6, 6))
    weights, note = checked.in_basis(inputs.statistics, "keys", 0)
    assert not weights
    assert "nothing was found that a change of basis (keys) can be made of" in note


def fused(operator: str) -> onnx.ModelProto:
    """Attention by one operator, six heads of queries or three, of eight directions each."""
    text = FUSED.replace("OPERATOR", operator)
    if "k1" in operator:
        text = text.replace("  q = MatMul (x, wq)\n", "  k1 = MatMul (x, wq)\n")
    wide = 24 if "k1" in operator else 48
    made = {"wq": draw(12, wide) / 3, "wk": draw(12, 24, seed=1) / 3, "wv": draw(12, 24, seed=2) / 3}
    if "shift" in operator:
        made["shift"] = draw(72)
    return written(text.replace("batch, 6, 12] y", f"batch, 6, {wide}] y"), **made, bk=draw(24, seed=3))


@pytest.mark.parametrize("operator", OPERATORS)
def test_attention_in_one_operator(operator: str) -> None:
    inputs = inputs_of(fused(operator), draw(32, 6, 12))
    new = found(inputs, "keys")
    assert bool(new) == OPERATORS[operator]
    assert not new or (set(new) >= {"wq", "wk"} and moved_by(inputs, new, draw(8, 6, 12, seed=5)) < 5e-6)


def with_queries(*nodes: onnx.NodeProto, **arrays: NDArray[Any]) -> onnx.ModelProto:
    """The attention net with something done to queries on their way from "q" to "q_done"."""
    model = net("attention")
    (at,) = (k for k, n in enumerate(model.graph.node) if n.output[0] == "s0")
    model.graph.node[at].input[0] = "q_done"
    for k, node in enumerate(nodes):
        model.graph.node.insert(at + k, node)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in arrays.items())
    return model


make = onnx.helper.make_node
DONE = {
    "layer norm": with_queries(make("LayerNormalization", ["q", "gain"], ["q_done"]), gain=1 + draw(6) / 9),
    "norm": with_queries(
        make("ReduceL2", ["q"], ["size"], axes=[-1]), make("Div", ["q", "size"], ["q_done"])
    ),
    "scale": with_queries(make("Mul", ["q", "gain"], ["q_done"]), gain=1 + draw(6) / 9),
    "shift": with_queries(make("Add", ["q", "gain"], ["q_done"]), gain=draw(6)),
    "nonlinear": with_queries(make("Tanh", ["q"], ["q_done"])),
    "halves": with_queries(
        make("Split", ["q"], ["one", "two"], axis=3),
        make("Mul", ["one", "scale"], ["small"]),
        make("Concat", ["small", "two"], ["q_done"], axis=3),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_what_tells_directions_of_queries_apart_keeps_them(name: str) -> None:
    assert not found(inputs_of(DONE[name], samples("attention")), "keys")


def test_what_treats_directions_alike_does_not() -> None:
    """The nets above are refused for what is done, not for where: a scalar there is fine."""
    model = with_queries(make("Mul", ["q", "scale"], ["q_done"]))
    inputs = inputs_of(model, samples("attention"))
    new = found(inputs, "keys")
    assert {"wq", "wk"} < set(new)
    assert moved_by(inputs, new, samples("attention", 8, 9)) < 2e-6


def test_keys_that_somebody_else_reads_stay() -> None:
    """They are the values too: half of the function would be turned."""
    model = net("attention")
    (mix,) = (n for n in model.graph.node if n.output[0] == "m0")
    place = list(model.graph.node).index(mix)
    model.graph.node.insert(place, make("Transpose", ["k"], ["same"], perm=[0, 1, 3, 2]))
    mix.input[1] = "same"
    assert not found(inputs_of(model, samples("attention")), "keys")
    assert not found(inputs_of(model, samples("attention")), "attention")


def moments(x: Floats) -> Floats:
    """Second moments over all positions: `(heads, width, width)` of `(samples, heads, positions, width)`."""
    return np.einsum("bhtd,bhte->hde", x, x) / (x.shape[0] * x.shape[2])


def test_queries_and_keys_are_uncorrelated_and_of_one_size_that_falls() -> None:
    """As measured at the product: biases are in it, and so are all heads of queries that share keys."""
    inputs = inputs_of(HANDMADE["gqa_attention"](), draw(64, 6, 6), basis="keys")
    shapes = inputs.analysis.recording.shapes
    (meet,) = (n for n in inputs.analysis.facts.nodes if shapes.get(n.inputs[-1], ())[1:3] == (6, 8))
    read = list(inputs.statistics.tensors(meet.inputs))
    q, k = (np.concatenate([r[n] for r in read]).astype(np.float64) for n in meet.inputs)
    queries = moments(q).reshape(3, 2, 8, 8).sum(axis=1)
    given = moments(k.transpose(0, 1, 3, 2))[::2]
    for one, other in zip(queries, given, strict=True):
        sizes = np.diag(one)
        assert (np.diff(sizes) < 0).all()
        np.testing.assert_allclose(one, np.diag(sizes), atol=1e-3 * sizes[0])
        np.testing.assert_allclose(other, np.diag(sizes), atol=1e-3 * sizes[0])


def test_few_directions_are_the_best_approximation_of_scores_of_their_rank() -> None:
    random = np.random.default_rng(1)
    q = random.normal(size=(300, 6)) @ random.normal(size=(6, 6)) + 1
    k = random.normal(size=(200, 6)) @ random.normal(size=(6, 6)) - 1
    a, b = keys.bases(q.T @ q / len(q), k.T @ k / len(k))
    np.testing.assert_allclose(a @ b.T, np.eye(6), atol=1e-9)
    best = np.linalg.svd(q @ k.T, compute_uv=False)
    for rank in range(1, 6):
        few = (q @ a[:, :rank]) @ (k @ b[:, :rank]).T
        np.testing.assert_allclose(np.square(q @ k.T - few).sum(), np.square(best[rank:]).sum(), rtol=1e-6)


def test_a_direction_that_is_never_there_is_no_division_by_zero() -> None:
    flat = np.diag([1.0, 1.0, 0.0])
    for q, k in itertools.product((flat, np.eye(3), np.zeros((3, 3))), repeat=2):
        a, b = keys.bases(q, k)
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a @ b.T, np.eye(3), atol=1e-6)
        assert np.abs(a).max() * values.SMALLEST <= 2 or not q.any() or not k.any()


def tilted() -> onnx.ModelProto:
    """The attention net, what queries and keys say in directions that are no channels."""
    model = net("attention")
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0]
    for tensor in model.graph.initializer:
        if tensor.name in ("wq", "wk"):
            heads = weights("attention")[tensor.name].reshape(12, 4, 6) @ turn
            made = heads.reshape(12, 24).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(made, tensor.name))
    return model


def projected(inputs: Inputs, name: str, x: NDArray[np.float32]) -> Floats:
    """Queries or keys of the net: `(samples, heads, positions, width)`."""
    given = [inputs.analysis.facts.weights[n].numpy().astype(np.float64) for n in (name, f"{name}_bias")]
    made = x.astype(np.float64) @ given[0] + given[1]
    return np.asarray(made.reshape(len(x), -1, 4, 6).transpose(0, 2, 1, 3))


def lost(inputs: Inputs, x: NDArray[np.float32], rank: int) -> float:
    """Of the scores, where each head keeps the channels that `query-key` finds best."""
    group = inputs.analysis.by_key["wq[1].2"]
    problem = ScoringProblem(inputs.analysis, (group,), 0, inputs.statistics)
    (member,) = find_pass("criterion", "query-key").run(problem)[group.atom]
    kept = np.argsort(-np.asarray(member.values), axis=1)[:, :rank]
    q, k = (projected(inputs, name, x) for name in ("wq", "wk"))
    whole = q @ k.transpose(0, 1, 3, 2)
    few = [q[:, h][..., kept[h]] @ k[:, h][..., kept[h]].transpose(0, 2, 1) for h in range(4)]
    return float(np.square(whole - np.stack(few, axis=1)).sum() / np.square(whole).sum())


@pytest.mark.parametrize("model", [net("attention"), tilted()], ids=["channels", "tilted"])
def test_directions_lose_less_of_the_scores_than_channels(model: onnx.ModelProto) -> None:
    """At every rank, on inputs that the basis was not made on."""
    plain, turned = (inputs_of(model, samples("attention"), basis) for basis in ("", "keys"))
    mixing = samples("attention", 192)[96:]
    for rank in range(1, 6):
        assert lost(turned, mixing, rank) < lost(plain, mixing, rank)


def pruned(model: onnx.ModelProto, x: NDArray[np.float32], **options: Any) -> graphprune.Result:
    given = {"structures": ("head-dim",), "calib": {"x": x}, "benchmark": False, "compensation": "none"}
    result = graphprune.prune(model, 0.5, **{**given, **options})
    assert result.report["equivalence"]["status"] == "equal"
    return result


def error(*given: Any, **options: Any) -> float:
    return float(pruned(*given, **options).report["fidelity"][0]["relative_error"])


@pytest.mark.parametrize(
    ("model", "x", "only"),
    [
        (tilted(), samples("attention"), "wq"),
        (HANDMADE["gqa_attention"](), draw(96, 6, 6), "W_3"),
        (HANDMADE["runtime_attention_scale"](), draw(96, 6, 6), "W_3"),
    ],
    ids=["tilted", "grouped", "separate"],
)
def test_the_network_keeps_more_where_half_of_every_head_goes(
    model: onnx.ModelProto, x: NDArray[np.float32], only: str
) -> None:
    given: dict[str, Any] = {"criterion": "query-key", "only": [only]}
    assert error(model, x, basis="keys", **given) < 0.6 * error(model, x, **given)


def test_values_that_share_a_width_with_queries_and_keys_are_turned_with_them() -> None:
    model, x = HANDMADE["fused_qkv"](), draw(96, 6, 6)
    assert not found(inputs_of(model, x), "values")
    assert set(found(inputs_of(model, x), "attention")) == {"W_3", "B_4", "W_11"}
    errors = {b: error(model, x, criterion="query-key", basis=b) for b in ("", "attention")}
    assert errors["attention"] < 0.9 * errors[""]


def test_a_basis_that_is_named_goes_before_the_recipes_and_a_plan_repeats_it(tmp_path: Path) -> None:
    calib = tmp_path / "x.npz"
    np.savez(calib, x=samples("attention"))
    model = net("attention")
    result = graphprune.prune(model, 0.5, recipe="uniql", calib=str(calib), basis="attention")
    assert result.plan.repair["basis"] == "attention"
    assert result.report["method"]["parts"]["basis"] == "attention"
    again = graphprune.apply(result.plan, model, benchmark=False)
    assert again.model.SerializeToString() == result.model.SerializeToString()


def test_a_basis_without_a_recipe_leaves_the_default_as_it_is() -> None:
    plain, turned = (
        pruned(net("attention"), samples("attention"), compensation="", basis=basis) for basis in ("", "keys")
    )
    parts = [r.report["method"]["parts"] for r in (plain, turned)]
    assert parts[1] == {**parts[0], "basis": "keys"}


def test_a_basis_on_the_command_line(cli: Any, tmp_path: Path) -> None:
    onnx.save(net("attention"), tmp_path / "a.onnx")
    np.savez(tmp_path / "x.npz", x=samples("attention"))
    given = (tmp_path / "a.onnx", "--calib", tmp_path / "x.npz", "--compensation", "none", "--no-benchmark")
    done = cli(*given, "--basis", "attention", "-o", tmp_path / "b.onnx")
    assert done.code == 0, done.err
    assert ", attention)" in done.out
    assert "verified: equals the masked original" in done.out
    assert cli(*given, "--basis", "keis").code == 2
    with pytest.raises(UsageError, match="choose from attention, keys, values"):
        graphprune.prune(net("attention"), 0.5, basis="keis")
