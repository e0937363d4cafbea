"""Recurrent operators of which only the last state is read are scored and repaired like those that give all."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.inputs import Wanted, prepare_inputs
from graphprune.statistics.layout import StateLayout
from graphprune.testing import analysed

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, WIDTH, STEPS = 12, 6, 5
ALL = "states"
FORMS = [(op, directions) for op in GATES for directions in (1, 2)]


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def recurrent(op: str, directions: int = 1, named: bool = False) -> onnx.ModelProto:
    """The last states of an operator and a product; its first output is there only if `named`."""
    way = "bidirectional" if directions == 2 else "forward"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> n (float[{STEPS}, n, {WIDTH}] x) => (float[n, 4] y)'
        f"<int64[2] flat = {{0, -1}}> {{"
        f'  {ALL}, last = {op} <hidden_size = {HIDDEN}, direction = "{way}"> (x, w, r, b)'
        "   turned = Transpose <perm = [1, 0, 2]> (last) rows = Reshape (turned, flat) y = MatMul (rows, v) }"
    )
    wide, values = GATES[op] * HIDDEN, {}
    values["w"] = draw(directions, wide, WIDTH, seed=1, scale=0.5)
    values["r"] = draw(directions, wide, HIDDEN, seed=2, scale=0.4)
    values["b"] = draw(directions, 2 * wide, seed=3, scale=0.1)
    values["v"] = draw(directions * HIDDEN, 4, seed=4)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in values.items())
    if not named:
        model.graph.node[0].output[0] = ""
    return model


def inputs() -> list[dict[str, NDArray[np.float32]]]:
    return [{"x": draw(STEPS, 16, WIDTH, seed=10 + k)} for k in range(12)]


def weights(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def pruned(model: onnx.ModelProto, **options: Any) -> Any:
    return graphprune.prune(model, 0.5, calib=inputs(), **options)


@pytest.mark.parametrize(("op", "directions"), FORMS)
def test_their_states_are_seen(op: str, directions: int) -> None:
    found = {}
    for named in (False, True):
        ready = prepare_inputs(*analysed(recurrent(op, directions, named)), Wanted(inputs()), 0)
        (item,) = (i for i in ready.statistics.linear if isinstance(i.layout, StateLayout))
        found[named] = ready.statistics.moments(item)
        assert len(ready.states) == (not named)
    for one, other in zip(found[False], found[True], strict=True):
        assert one.count == other.count > 0
        np.testing.assert_array_equal(one.covariance, other.covariance)


@pytest.mark.parametrize(("op", "directions"), [("LSTM", 1), ("GRU", 2), ("RNN", 1)])
def test_the_result_is_that_of_one_which_gives_them(op: str, directions: int) -> None:
    """Weight by weight, but that its first output is missing still."""
    last, every = (pruned(recurrent(op, directions, named), recipe="auto") for named in (False, True))
    assert last.report["equivalence"]["status"] == every.report["equivalence"]["status"] == "equal"
    assert last.plan.groups == every.plan.groups
    assert [*last.model.graph.node[0].output] == ["", "last"]
    one, other = weights(last.model), weights(every.model)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("op", GATES)
def test_their_recurrent_weights_are_fitted(op: str) -> None:
    result = pruned(recurrent(op), recipe="plain", compensation="refit")
    bare = graphprune.apply(result.plan, recurrent(op), repair=False)
    assert not np.array_equal(weights(result.model)["r"], weights(bare.model)["r"])
    errors = [r["fidelity"][0]["relative_error"] for r in (result.report, bare.report)]
    assert errors[0] < errors[1]


def test_nothing_is_left_where_nothing_is_cut() -> None:
    model = recurrent("LSTM")
    result = graphprune.prune(model, 0, calib=inputs(), recipe="auto")
    assert [*result.model.graph.node[0].output] == ["", "last"]
    for name, array in weights(result.model).items():
        assert array.tobytes() == weights(model)[name].tobytes()


def test_a_plan_and_a_proof_know_of_it() -> None:
    """Inputs are made up here, so that the plan can name them."""
    model = recurrent("GRU")
    result = graphprune.prune(model, 0.5, recipe="auto")
    again = graphprune.apply(result.plan, model)
    for name, array in weights(again.model).items():
        assert array.tobytes() == weights(result.model)[name].tobytes()
    for own in (False, True):
        found = graphprune.verify(model, result.model, plan=result.plan, own_weights=own, consumers=[])
        assert found.as_data()["equivalence"]["status"] == "equal"
