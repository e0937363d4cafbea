import dataclasses
import sys
import tempfile

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError
from graphprune.runtime import open_session, ort, probe, record, storage
from graphprune.runtime.infer import infer_shapes

CNN = """g (float[batch, 3, 16, 16] x) => (float[batch, 5] y) {
    a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1)
    b = Relu(a)
    c = Conv <pads = [1, 1, 1, 1]> (b, w2)
    d = Add(b, c)
    e = GlobalAveragePool(d)
    shape = Shape(e)
    first = Gather(shape, zero)
    axes = Constant <value = int64[1] {0}> ()
    first1 = Unsqueeze(first, axes)
    rest = Constant <value = int64[1] {-1}> ()
    target = Concat <axis = 0> (first1, rest)
    f = Reshape(e, target)
    y = Gemm <transB = 1> (f, w3)
}"""


@pytest.fixture
def cnn(build, rng):
    return build(
        CNN,
        w1=rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        w2=rng.standard_normal((8, 8, 3, 3)).astype(np.float32),
        w3=rng.standard_normal((5, 8)).astype(np.float32),
        zero=np.array(0),
    )


def _main_tensors(model: ir.Model) -> set[str]:
    return {str(value.name) for node in model.graph for value in node.outputs if value.name}


def _truth(model: ir.Model, feeds) -> dict[str, tuple[int, ...]]:
    """Shapes by fetching every tensor itself."""
    proto = ir.to_proto(model)
    named = {output.name for output in proto.graph.output}
    for node in proto.graph.node:
        proto.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in node.output if name and name not in named
        )
    with open_session(ir.from_proto(proto), optimise=False) as session:
        return {name: value.shape for name, value in session.run(feeds).items()}


def test_every_tensor_is_recorded_exactly(cnn):
    found = record(cnn)
    assert (found.method, found.note) == ("run", "")
    assert _main_tensors(cnn) <= set(found.shapes)
    assert _truth(cnn, found.feeds).items() <= found.shapes.items()
    assert found.shapes["x"] == (3, 3, 16, 16)
    assert found.second["x"] == (2, 3, 16, 16)
    assert found.shapes["d"] == (3, 8, 8, 8)
    assert found.shapes["w1"] == found.second["w1"] == (8, 3, 3, 3)
    assert found.sizes == {"batch": 3}
    assert found.sizes_second == {"batch": 2}


def test_dynamic_axes_are_those_that_differ(cnn):
    found = record(cnn)
    assert found.dynamic("d") == (True, False, False, False)
    assert found.dynamic("target") == (False,)
    assert found.dynamic("first") == ()
    with pytest.raises(KeyError):
        found.dynamic("nothing")


def test_shape_arithmetic_is_recorded_by_value(cnn):
    found = record(cnn)
    assert found.values["shape"].tolist() == [3, 8, 1, 1]
    assert found.values["target"].tolist() == [3, -1]
    assert found.values_second["target"].tolist() == [2, -1]
    assert found.values["zero"] == 0
    assert {"shape", "first", "target", "axes", "rest", "zero"} <= found.shape_only
    assert not {"a", "e", "f", "y"} & found.shape_only


def test_the_model_stays_as_it_is_and_nothing_is_left(cnn, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = ir.to_proto(cnn).SerializeToString()
    record(cnn)
    assert ir.to_proto(cnn).SerializeToString() == before
    assert list(tmp_path.iterdir()) == []


def test_a_recording_cannot_be_changed(cnn):
    found = record(cnn)
    with pytest.raises(TypeError):
        found.shapes["x"] = (1,)  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.note = "other"  # type: ignore[misc]


def test_wrong_shipped_shapes_do_not_matter(cnn):
    right = record(cnn)
    wrong = cnn.clone()
    for node in wrong.graph:
        if node.outputs[0].name == "b":
            node.outputs[0].shape = ir.Shape([9, 9])
            node.outputs[0].dtype = ir.DataType.FLOAT
    assert record(wrong).shapes == right.shapes


def test_no_free_dimension(build):
    found = record(build("g (float[2, 3] x) => (float[3, 2] y) { y = Transpose(x) }"))
    assert found.shapes == found.second == {"x": (2, 3), "y": (3, 2)}
    assert found.sizes == {}
    assert (found.method, found.note) == ("run", "")
    assert found.dynamic("y") == (False, False)


def test_batch_and_sequence(build, rng):
    model = build(
        """g (int64[batch, seq] ids, int64[batch, seq] mask) => (float[batch, seq, 6] y) {
            a = Gather(table, ids)
            b = MatMul(a, w)
            m = Cast <to = 1> (mask)
            axes = Constant <value = int64[1] {2}> ()
            n = Unsqueeze(m, axes)
            y = Mul(b, n)
        }""",
        table=rng.standard_normal((11, 4)).astype(np.float32),
        w=rng.standard_normal((4, 6)).astype(np.float32),
    )
    found = record(model)
    assert found.shapes["b"] == (3, 7, 6)
    assert found.second["b"] == (2, 11, 6)
    assert found.dynamic("b") == (True, True, False)
    assert "ids" not in found.values


def test_initializers_as_inputs(build, rng):
    model = build(
        '<ir_version: 3, opset_import: ["" : 8]>'
        "g (float[n, 4] x, float[4, 3] w, int64[2] s) => (float[n, a] y)"
        "{ h = MatMul(x, w) y = Reshape(h, s) }",
        w=rng.standard_normal((4, 3)).astype(np.float32),
        s=np.array([-1, 3]),
    )
    found = record(model)
    assert found.shapes == {"x": (3, 4), "w": (4, 3), "s": (2,), "h": (3, 3), "y": (3, 3)}
    assert found.second["y"] == (2, 3)
    assert found.values["s"].tolist() == [-1, 3]
    assert list(found.feeds) == ["x"]


def test_bodies_that_use_outer_tensors(build, rng):
    model = build(
        """g (float[n, 4] x, bool pick) => (float[n, 6] y) {
            h = Relu(x)
            t = Shape(h)
            r = If(pick) <
                then_branch = yes () => (float[n, 6] a) { a = MatMul(h, w) },
                else_branch = no () => (float[n, 6] b) { c = Reshape(h, t) b = MatMul(c, w) }>
            y = Neg(r)
        }""",
        w=rng.standard_normal((4, 6)).astype(np.float32),
    )
    found = record(model)
    assert found.method == "run"
    assert set(found.shapes) == {"x", "pick", "w", "h", "t", "r", "y", "a", "b", "c"}
    assert found.shapes["a"] == found.shapes["b"] == (3, 6)
    assert found.second["c"] == (2, 4)
    assert found.shapes["r"] == (3, 6)
    assert found.values["t"].tolist() == [3, 4]
    assert "r" not in found.shape_only


def test_loop(build):
    model = build(
        """g (float[n, 4] x) => (float[n, 4] y) {
            times = Constant <value = int64 {3}> ()
            go = Constant <value = bool {1}> ()
            last, all = Loop(times, go, x) <
                body = b (int64 i, bool c, float[n, 4] v) => (bool d, float[n, 4] w, float[n, 4] s) {
                    d = Identity(c)
                    w = Relu(v)
                    s = Neg(v)
                }>
            y = Add(last, x)
        }"""
    )
    found = record(model)
    assert found.shapes["last"] == (3, 4)
    assert found.shapes["all"] == (3, 3, 4)
    assert found.dynamic("all") == (False, True, False)


SEQUENCES = """g (float[n, 2] x) => (float[n, 2] y, seq(float[a, 2]) again) {
    parts = SplitToSequence <axis = 0> (x)
    again = Identity(parts)
    y = ConcatFromSequence <axis = 0> (again)
}"""


def test_sequences_are_left_out(build):
    found = record(build(SEQUENCES))
    assert found.method == "run"
    assert set(found.shapes) == {"x", "y"}


def test_sequences_from_unknown_operators_are_found_out(build, monkeypatch):
    monkeypatch.setattr(probe, "_NOT_TENSOR", frozenset())
    model = build(SEQUENCES)
    for node in model.graph:
        node.outputs[0].type = None
    found = record(model)
    assert found.method == "run"
    assert set(found.shapes) == {"x", "y"}


def test_half_precision(build, rng):
    model = build(
        "g (float16[n, 4] x) => (float16[n, 3] y) { h = MatMul(x, w) y = Relu(h) }",
        w=rng.standard_normal((4, 3)).astype(np.float16),
    )
    found = record(model)
    assert found.method == "run"
    assert found.feeds["x"].dtype == np.float16
    assert found.shapes["h"] == (3, 3)


def test_what_depends_on_data_is_told_apart(build):
    model = build(
        """g (float[n] x, int64[1] k) => (float[m] y) {
            half = Constant <value = float {0.5}> ()
            yes = Greater(x, half)
            where = NonZero(yes)
            few, at = TopK(x, k)
            y = Compress(x, yes)
        }"""
    )
    found = record(model)
    assert found.shapes["where"][0] == 1
    assert found.values["k"].tolist() == [1]
    assert not {"where", "k", "few"} & found.shape_only


def test_values_computed_from_sizes_are_kept_even_when_real(build):
    model = build(
        """g (float[n, 16] x) => (float[n, 16] y) {
            s = Shape(x)
            one = Constant <value = int64 {1}> ()
            d = Gather(s, one)
            f = Cast <to = 1> (d)
            root = Sqrt(f)
            y = Div(x, root)
        }"""
    )
    found = record(model)
    assert found.values["root"] == 4
    assert "root" in found.shape_only


def test_only_the_baked_length_runs(build, rng):
    """An exporter declared the length free, but wrote 12 into the graph."""
    model = build(
        """g (int64[batch, seq] ids) => (float[a, b, c] y) {
            a = Gather(table, ids)
            s = Constant <value = int64[3] {-1, 12, 4}> ()
            r = Reshape(a, s)
            y = Add(r, place)
        }""",
        table=rng.standard_normal((9, 4)).astype(np.float32),
        place=rng.standard_normal((12, 4)).astype(np.float32),
    )
    found = record(model)
    assert found.sizes == {"batch": 3, "seq": 12}
    assert found.sizes_second == {"batch": 2, "seq": 12}
    assert found.note == "recorded at one size of seq"


def test_a_table_of_positions_tells_the_length(build, rng):
    """Nothing but the rows of what is added says that the declared length is not free."""
    model = build(
        """g (float[batch, seq, 4] x) => (float[a, b, c] y) {
            a = MatMul(x, m)
            y = Add(a, place)
        }""",
        m=rng.standard_normal((4, 6)).astype(np.float32),
        place=rng.standard_normal((1, 29, 6)).astype(np.float32),
    )
    found = record(model)
    assert found.method == "run"
    assert found.sizes == {"batch": 3, "seq": 29}
    assert found.sizes_second == {"batch": 2, "seq": 29}


def test_one_size_only_is_said(build, rng):
    model = build(
        """g (float[batch, 3, h, w] x) => (float[batch, 7] y) {
            c = Conv <strides = [4, 4]> (x, k)
            f = Flatten(c)
            y = MatMul(f, m)
        }""",
        k=rng.standard_normal((2, 3, 4, 4)).astype(np.float32),
        m=rng.standard_normal((2 * 8 * 8, 7)).astype(np.float32),
    )
    found = record(model)
    assert found.sizes == {"batch": 3, "h": 32, "w": 32}
    assert found.sizes_second == {"batch": 2, "h": 32, "w": 32}
    assert found.note == "recorded at one size of h, w"


def _custom(build, rng) -> ir.Model:
    return build(
        """g (float[n, 4] x) => (float[n, 3] y) {
            a = MatMul(x, w)
            s = Shape(a)
            r = Reshape(a, s)
            b = com.example.Strange(r)
            y = Relu(b)
        }""",
        w=rng.standard_normal((4, 3)).astype(np.float32),
    )


def test_unknown_operator_falls_back_to_inference(build, rng):
    found = record(_custom(build, rng))
    assert found.method == "inference"
    assert found.note.startswith("shapes are inferred, not measured: ONNX Runtime refuses the model")
    assert found.shapes["a"] == found.shapes["r"] == (3, 3)
    assert found.second["a"] == (2, 3)
    assert found.shapes["w"] == (4, 3)
    assert "b" not in found.shapes
    assert found.feeds == {}


def test_without_the_runtime(cnn, monkeypatch):
    measured = record(cnn)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ort.onnxruntime.cache_clear()
    try:
        found = record(cnn)
    finally:
        ort.onnxruntime.cache_clear()
    assert found.method == "inference"
    assert "ONNX Runtime is not installed" in found.note
    assert found.shapes == measured.shapes
    assert found.second == measured.second
    assert found.shape_only == measured.shape_only


def test_text_inputs_fall_back(build):
    found = record(build("g (string[n] x) => (string[n] y) { y = Identity(x) }"))
    assert found.method == "inference"
    assert "STRING" in found.note
    assert found.shapes == {"x": (3,), "y": (3,)}


def test_too_large_for_memory_falls_back(cnn, monkeypatch):
    monkeypatch.setattr(storage, "stored_bytes", lambda model: 10**15)
    found = record(cnn)
    assert found.method == "inference"
    assert "MiB are free" in found.note


def test_inference_reads_no_large_weight(cnn, monkeypatch):
    big = cnn.graph.initializers["w2"]
    tensor = big.const_value
    big.const_value = ir.LazyTensor(
        lambda: pytest.fail("the weight was read"), dtype=tensor.dtype, shape=tensor.shape, name="w2"
    )
    monkeypatch.setattr("graphprune.runtime.infer._SMALL", 100)
    assert infer_shapes(cnn, {"batch": 2})["d"] == (2, 8, 8, 8)


def test_hopeless_model_is_an_error(build, monkeypatch):
    model = _custom(build, np.random.default_rng(0))

    def give_up(*_, **__):
        raise RuntimeError("no way\nat all")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", give_up)
    with pytest.raises(ModelError, match="shape inference gave up: no way at all"):
        record(model)


def test_only_other_domains(rng):
    """The default domain, which the probes need, may not be imported at all."""
    node = ir.node("Scaler", [value := ir.val("x", ir.DataType.FLOAT, ["n", 2])], domain="ai.onnx.ml")
    node.attributes["offset"] = ir.AttrFloat32s("offset", [0.0, 1.0])
    node.attributes["scale"] = ir.AttrFloat32s("scale", [1.0, 2.0])
    node.outputs[0].name = "y"
    node.outputs[0].dtype = ir.DataType.FLOAT
    graph = ir.Graph([value], node.outputs, nodes=[node], opset_imports={"ai.onnx.ml": 3}, name="g")
    found = record(ir.Model(graph, ir_version=8))
    assert (found.method, found.shapes["y"], found.second["y"]) == ("run", (3, 2), (2, 2))


def test_thousands_of_nodes_are_quick(build):
    lines = [f"v{i + 1} = Relu(v{i})" for i in range(7000)]
    found = record(build(f"g (float[n, 4] v0) => (float[n, 4] v7000) {{ {' '.join(lines)} }}"))
    assert len(found.shapes) == 7001
    assert set(found.shapes.values()) == {(3, 4)}


def test_cache_sizes_follow_from_other_names(build):
    """A decoder with a cache: the mask is as long as the past and the new tokens together."""
    model = build(
        """g (int64[batch, seq] ids, int64[batch, total] attention_mask, float[batch, 2, past, 4] cache)
          => (float[batch, 2, total, 4] y) {
            e = Gather(table, ids)
            axes = Constant <value = int64[1] {1}> ()
            e4 = Unsqueeze(e, axes)
            twice = Concat <axis = 1> (e4, e4)
            all = Concat <axis = 2> (cache, twice)
            m = Cast <to = 1> (attention_mask)
            last = Constant <value = int64[2] {1, 3}> ()
            m4 = Unsqueeze(m, last)
            y = Mul(all, m4)
        }""",
        table=np.ones((5, 4), np.float32),
    )
    model.graph.inputs[1].shape = ir.Shape(["batch", "past + seq"])
    found = record(model)
    assert (found.method, found.note) == ("run", "")
    assert found.shapes["y"] == (3, 2, found.sizes["past"] + found.sizes["seq"], 4)
    assert found.dynamic("y") == (True, False, True, False)


def test_large_computed_tensors_are_not_kept_as_values(build):
    model = build(
        """g (float[n, 300] x) => (float[n, 300] y) {
            s = Shape(x)
            big = ConstantOfShape(s)
            rows = Range(zero, many, one)
            picked = Gather(table, rows)
            y = Add(x, big)
        }""",
        zero=np.array(0),
        one=np.array(1),
        many=np.array(20000),
        table=np.ones(20000, np.float32),
    )
    found = record(model)
    assert "big" in found.shape_only
    assert not {"big", "rows"} & set(found.values)
    assert found.shapes["rows"] == (20000,)


def test_nothing_but_sequences(build):
    model = build("g (float[n, 2] x) => (seq(float[1, 2]) parts) { parts = SplitToSequence <axis = 0> (x) }")
    found = record(model)
    assert found.method == "run"
    assert found.shapes == {"x": (3, 2)}
