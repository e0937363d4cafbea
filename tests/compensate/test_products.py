"""Readers of every form are known to scores and repairs: what is useless goes, what is missing is made up for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import graphprune

UNITS, READ, GIVEN = 32, 12, 10
HEAD = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'
# How the second layer is written: rows of its hidden units, and its weight as it is stored.
READERS = {
    "MatMul": ("h = Relu(a) y = MatMul(h, w)", "io"),
    "Einsum": ('h = Relu(a) y = Einsum<equation="bi,io->bo">(h, w)', "io"),
    "FusedMatMul": ("h = Relu(a) y = com.microsoft.FusedMatMul<transB=1>(h, w)", "oi"),
    "FusedGemm": ('h = Relu(a) y = com.microsoft.FusedGemm<transB=1,activation="Relu">(h, w)', "oi"),
    "weight first": ("h = Relu(a) t = Transpose<perm=[1,0]>(h) z = MatMul(w, t) y = Transpose<perm=[1,0]>(z)", "oi"),
    "turned Gemm": ("h = Relu(a) t = Transpose<perm=[1,0]>(h) y = Gemm<transA=1>(t, w)", "io"),
}  # fmt: skip


def network(body: str, order: str, *, useless: bool) -> onnx.ModelProto:
    """Two layers; the second half of the hidden units is not read, or is twice the first half."""
    draw = np.random.default_rng(5)
    v, w = draw.normal(size=(GIVEN, UNITS)), draw.normal(size=(UNITS, READ))
    half = UNITS // 2
    if useless:
        v[:, half:] *= 0.1
        w[half:] = 0
    else:
        v[:, half:] = 2 * v[:, :half]
    model = onnx.parser.parse_model(
        f"{HEAD} g (float[batch, {GIVEN}] x) => (float[batch, {READ}] y) {{ a = MatMul(x, v) {body} }}"
    )
    del model.graph.value_info[:]
    for name, array in (("v", v), ("w", w if order == "io" else w.T)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return model


def lost(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """Relative error on inputs that nobody has seen."""
    x = np.random.default_rng(9).normal(size=(200, GIVEN)).astype(np.float32)
    one, two = (InferenceSession(m.SerializeToString()).run(None, {"x": x})[0] for m in (before, after))
    return float(np.linalg.norm(one - two) / np.linalg.norm(one))


def inputs() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).normal(size=(256, GIVEN)).astype(np.float32)}


@pytest.mark.parametrize("recipe", ["auto", "obspa-id"])
@pytest.mark.parametrize("name", READERS)
def test_units_that_nobody_reads_go_first(name: str, recipe: str) -> None:
    model = network(*READERS[name], useless=True)
    found = graphprune.prune(model, ratio=0.5, recipe=recipe, calib=inputs())
    (group,) = found.plan.groups
    assert list(found.plan.groups[group].kept) == list(range(UNITS // 2))
    assert lost(model, found.model) < 1e-4


@pytest.mark.parametrize("name", READERS)
def test_readers_take_over_what_was_removed(name: str) -> None:
    """Half of the units are copies, so the others can do all the work once the reader is refitted."""
    model = network(*READERS[name], useless=False)
    cut = {"ratio": 0.5, "criterion": "obs", "calib": inputs()}
    assert lost(model, graphprune.prune(model, **cut, compensation="none").model) > 0.2
    assert lost(model, graphprune.prune(model, **cut, compensation="refit").model) < 0.02


@pytest.mark.parametrize("name", ["Einsum", "FusedMatMul"])
def test_means_go_into_a_bias_that_was_not_there(name: str) -> None:
    model = network(*READERS[name], useless=False)
    plain, moved = (
        graphprune.prune(model, ratio=0.7, criterion="obs", compensation=c, calib=inputs()).model
        for c in ("none", "bias")
    )
    assert "Add" in {n.op_type for n in moved.graph.node}
    assert lost(model, moved) < lost(model, plain)


class _Feeds(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = iter([inputs()])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


@pytest.mark.parametrize("form", ["MatMulInteger", "QLinearMatMul"])
def test_products_of_bytes_are_scored_by_what_they_read(form: str, tmp_path: Path) -> None:
    """Their weights cannot be refitted, but which units they need can be told, however large these are."""
    path, small = tmp_path / "model.onnx", tmp_path / "bytes.onnx"
    plain = network(*READERS["MatMul"], useless=True)
    v = onnx.numpy_helper.to_array(plain.graph.initializer[0]).copy()
    v[:, UNITS // 2 :] *= 30  # by its weights the useless half is the more important one
    plain.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(v, "v"))
    onnx.save(plain, path)
    if form == "MatMulInteger":
        quantize_dynamic(path, small, weight_type=QuantType.QUInt8, per_channel=True)
    else:
        quantize_static(path, small, _Feeds(), QuantFormat.QOperator, per_channel=True)
    model = onnx.load(small)
    assert form in {n.op_type for n in model.graph.node}
    found = graphprune.prune(model, ratio=0.5, criterion="obs", compensation="none", calib=inputs())
    (kept,) = found.plan.groups.values()
    assert list(kept.kept) == list(range(UNITS // 2))


def test_where_no_reader_can_be_refitted_weights_decide_and_it_is_said() -> None:
    """A product of two activations, one of which is made by a weight of a form that nobody knows."""
    body = 'h = Relu(a) z = Einsum<equation="bi,ij,jo->bo">(h, one, w) y = Identity(z)'
    model = network(body, "io", useless=True)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(UNITS, dtype=np.float32), "one"))
    found = graphprune.prune(model, ratio=0.5, recipe="auto", calib=inputs())
    assert any("read by no operator whose weights can be refitted" in w for w in found.report["warnings"])
    assert lost(model, found.model) < 0.1
