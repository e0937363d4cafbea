"""Turned streams: the same outputs, a width that is cut exactly, less lost than in the old basis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import graphprune
from graphprune.cli import cli
from graphprune.errors import GraphPruneError

Array = NDArray[Any]
WIDTH, HIDDEN, IDS = 16, 24, 20
FUSED = "{y} = LayerNormalization<axis=-1, epsilon=0.001>({x}, s{k}, t{k})"
WRITTEN = """{y}2 = Pow({x}, two) {y}m = ReduceMean({y}2, last) {y}e = Add({y}m, small) {y}r = Sqrt({y}e)
 {y}n = Div({x}, {y}r) {y} = Mul({y}n, s{k})"""
LAYERS = """x0 = Gather(table, ids) x = Add(x0, place)
 {first} a1 = MatMul(n1, w1) b1 = Add(a1, c1) h1 = Tanh(b1) d1 = MatMul(h1, v1) x1 = Add(x, d1)
 {second} a2 = MatMul(n2, w2) h2 = Relu(a2) d2 = MatMul(h2, v2) e2 = Add(d2, c2) x2 = Add(x1, e2)
 {third} {last}"""
HEADS = {"all": "y = MatMul(n3, out)", "one": "r = Gather<axis=1>(n3, at) y = Gemm<transB=1>(r, wide, c3)"}


def model_of(norm: str, head: str = "all") -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    norms = [norm.format(y=f"n{k}", x=x, k=k) for k, x in ((1, "x"), (2, "x1"), (3, "x2"))]
    body = LAYERS.format(first=norms[0], second=norms[1], third=norms[2], last=HEADS[head])
    out = f"float[n, t, {IDS}]" if head == "all" else f"float[n, {IDS}]"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (int64[n, t] ids) => ({out} y) {{ {body} }}'
    )
    shapes = {
        "table": (IDS, WIDTH), "place": (WIDTH,), "w1": (WIDTH, HIDDEN), "c1": (HIDDEN,), "v1": (HIDDEN, WIDTH),
        "w2": (WIDTH, HIDDEN), "v2": (HIDDEN, WIDTH), "c2": (WIDTH,), "out": (WIDTH, IDS), "wide": (IDS, WIDTH),
        "c3": (IDS,), **{f"{n}{k}": (WIDTH,) for n in "st" for k in (1, 2, 3)},
    }  # fmt: skip
    arrays: dict[str, Array] = {
        n: (draw.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for n, s in shapes.items()
    }
    few = draw.standard_normal((6, WIDTH))  # what is written lies in few directions, which no channel is
    for name in ("table", "v1", "v2"):
        arrays[name] = (draw.standard_normal((len(arrays[name]), 6)) @ few / 4).astype(np.float32)
    arrays |= {"two": np.array(2, np.float32), "small": np.array(1e-3, np.float32), "at": np.array(0)}
    arrays["last"] = np.array([-1])
    text = f"{body} "
    for name, array in arrays.items():
        if any(f"{before}{name}{after}" in text for before in "( " for after in ",)"):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    if norm is WRITTEN:  # as opset 17 has it
        for node in model.graph.node:
            if node.op_type == "ReduceMean":
                del node.input[1:]
                node.attribute.append(onnx.helper.make_attribute("axes", [-1]))
        kept = [t for t in model.graph.initializer if t.name != "last"]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    return model


def ids_of(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, IDS, (count, 5))


def run(model: onnx.ModelProto, ids: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"ids": ids})[0])


@pytest.mark.parametrize("norm", [FUSED, WRITTEN], ids=["layer norm", "root mean square"])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_outputs_are_the_same(norm: str, head: str) -> None:
    model, ids = model_of(norm, head), ids_of(8, 2)
    turned = graphprune.rotate(model, {"ids": ids_of(64, 1)})
    np.testing.assert_allclose(run(turned, ids), run(model, ids), atol=1e-4)


@pytest.mark.parametrize("norm", [FUSED, WRITTEN], ids=["layer norm", "root mean square"])
def test_width_is_cut_exactly_and_loses_little(norm: str) -> None:
    model, calib, fresh = model_of(norm), {"ids": ids_of(128, 1)}, ids_of(32, 2)
    turned = graphprune.rotate(model, calib)
    expected = run(model, fresh)
    lost = []
    for one, kinds in ((turned, ("neurons",)), (model, ("neurons", "residual"))):
        streams = [g for g in graphprune.analyse(one).groups if g.size == WIDTH]
        result = graphprune.prune(one, 0.5, calib=calib, structures=kinds, only=[streams[0].key])
        lost.append(float(np.square(run(result.model, fresh) - expected).mean()))
        if one is turned:
            assert result.report["equivalence"]["status"] == "equal"
            assert not streams[0].approximate
    assert lost[0] < 0.2 * lost[1]


def test_streams_that_something_else_reads_stay() -> None:
    model = model_of(FUSED)
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("x1", onnx.TensorProto.FLOAT, ["n", "t", WIDTH])
    )
    with pytest.raises(GraphPruneError, match="no residual stream"):
        graphprune.rotate(model, {"ids": ids_of(16, 1)})


def test_command(tmp_path: Path) -> None:
    onnx.save(model_of(FUSED), tmp_path / "model.onnx")
    np.savez(tmp_path / "calib.npz", ids=ids_of(64, 1))
    given = [str(tmp_path / n) for n in ("model.onnx", "calib.npz", "turned.onnx")]
    result = CliRunner().invoke(cli, ["rotate", given[0], "--calib", given[1], "-o", given[2]])
    assert result.exit_code == 0, result.output
    ids = ids_of(8, 2)
    np.testing.assert_allclose(run(onnx.load(given[2]), ids), run(onnx.load(given[0]), ids), atol=1e-4)
