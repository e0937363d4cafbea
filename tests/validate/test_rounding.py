"""What is excused as rounding, and what never is."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.testing import Outcome, prune_at_random
from graphprune.validate import Equivalence, check_equivalence
from graphprune.validate.rounding import jittered

# A detector that is silent on noise: a sigmoid far down has steps of 3e-8, coarse beside a value of 1e-4.
SILENT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 24] x) => (float[n, 128] y, float[n, 24] all) {
    a = MatMul(x, w1)
    b = Relu(a)
    c = Gemm(b, w2, low)
    y = Sigmoid(c)
    all = MatMul(b, w3)
}"""


def silent(seed: int, low: float = -9.0) -> onnx.ModelProto:
    random = np.random.default_rng(seed)
    model = onnx.parser.parse_model(SILENT)
    weights = {
        "w1": random.standard_normal((24, 1024)) / 5,
        "w2": random.standard_normal((1024, 128)) / 30,
        "w3": random.standard_normal((1024, 24)) / 32,
        "low": np.full(128, low),
    }
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return model


def again(outcome: Outcome, pruned: ir.Model) -> Equivalence:
    return check_equivalence(outcome.model, outcome.analysis, outcome.decision.keeps, pruned)


def with_error(outcome: Outcome, weight: str, share: float) -> ir.Model:
    """The pruned model with one weight off by a share of its values."""
    copy = outcome.pruned.clone()
    value = copy.graph.initializers[weight]
    assert value.const_value is not None
    value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1 + share), name=weight)
    return copy


def test_steps_of_a_silent_sigmoid_are_rounding() -> None:
    found = [prune_at_random(silent(seed)).equivalence for seed in range(6)]
    assert any(e.error > 1e-4 for e in found), "nothing here needs an excuse"
    assert {e.status for e in found} == {"equal"}


def test_a_fault_is_not_rounding() -> None:
    outcome = prune_at_random(silent(0))
    assert again(outcome, with_error(outcome, "low", 0.002)).status == "different"
    assert again(outcome, with_error(outcome, "w2", 0.03)).status == "different"


def test_each_output_is_judged_by_its_own_rounding() -> None:
    """The coarse output does not excuse the fine one, though its error is larger."""
    for seed in range(6):
        outcome = prune_at_random(silent(seed))
        if outcome.equivalence.error > 1e-4:
            found = again(outcome, with_error(outcome, "w3", 2e-4))
            assert (found.status, found.output) == ("different", "all")
            assert found.tolerance < 2e-4
            return
    pytest.fail("nothing here needs an excuse")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_last_bits(dtype: type) -> None:
    values = np.array([0.3, -0.7, 5.25e-3, 0.0, 1.0, -2.0, np.inf, np.nan], dtype)
    moved = jittered(values, np.random.default_rng(0))
    assert moved.dtype == values.dtype
    step = np.abs(
        (moved[:3].astype(np.float64) - values[:3].astype(np.float64)) / values[:3].astype(np.float64)
    )
    unit = float(ml_dtypes.finfo(dtype).eps)
    assert (step > 0.4 * unit).all()
    assert (step <= unit).all()
    assert moved[3:].tobytes() == values[3:].tobytes()


def test_whole_numbers_stay() -> None:
    ids = np.arange(5)
    assert jittered(ids, np.random.default_rng(0)) is ids
