"""Products of bytes that saturate on some processors: the check sees through them, and through nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from graphprune.analysis.prepare import prepare_normal
from graphprune.decide import Options, decide
from graphprune.normalise import normalise
from graphprune.rewrite import rewrite
from graphprune.validate import check_equivalence
from graphprune.validate.saturation import halved, holds_bytes

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 16] x) => (float[n, 5] y) { h = MatMul(x, a)
 q, s, z = DynamicQuantizeLinear(h)
 i = MatMulInteger(q, w, z)
 f = Cast<to=1>(i)
 y = Mul(f, s) }"""


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """Every weight of the second product is as large as a byte can be."""
    draw = np.random.default_rng(0)
    proto = onnx.parser.parse_model(TEXT)
    signs = np.where(draw.random((24, 5)) < 0.5, -127, 127).astype(np.int8)
    for name, array in {"a": draw.normal(size=(16, 24)).astype(np.float32), "w": signs}.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return normalise(ir.from_proto(proto))


def test_half_of_every_byte(model: ir.Model) -> None:
    assert holds_bytes(model)
    before = model.graph.initializers["w"].const_value
    after = halved(model).graph.initializers["w"].const_value
    assert before is not None
    assert after is not None
    assert np.array_equal(after.numpy(), before.numpy() >> 1)
    assert after.dtype == before.dtype
    assert not holds_bytes(normalise(ir.from_proto(onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    ))))  # fmt: skip


@pytest.mark.parametrize("wrong", [False, True])
def test_only_what_is_right_is_equal(model: ir.Model, wrong: bool) -> None:
    ready, analysis = prepare_normal(model, 0)
    decision = decide(analysis, Options(ratio=0.4, recipe="plain"))
    pruned = rewrite(ready, analysis, decision.keeps)
    if wrong:
        value = pruned.graph.initializers["w"]
        assert value.const_value is not None
        value.const_value = ir.Tensor(np.roll(value.const_value.numpy(), 1, axis=0), name="w")
    outcome = check_equivalence(ready, analysis, decision.keeps, pruned)
    assert outcome.status == ("different" if wrong else "equal")
