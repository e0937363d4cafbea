"""Constant nodes, dead code, names, order and value_info."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from graphprune.load import load
from graphprune.normalise import STEPS, normalise

Build = Callable[..., onnx.ModelProto]
Agree = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def array(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def test_all_forms_of_constant_become_initializers(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 4] x) => (float[M, 4] y, int64[K] s, bool[N] e)
        {
          a = Constant <value = float[4] {1, 2, 3, 4}> ()
          b = Constant <value_float = 2.5> ()
          c = Constant <value_floats = [1.0, 0.5, 0.25, 0.125]> ()
          d = Constant <value_int = 1> ()
          f = Constant <value_ints = [0, 1]> ()
          xa = Add (x, a)
          xb = Mul (xa, b)
          xc = Mul (xb, c)
          xg = Gather <axis = 0> (xc, f)
          y = Concat <axis = 0> (xg, xc)
          sh = Shape (x)
          s = Add (sh, d)
          e = IsNaN (nan)
        }""",
        nan=np.array([1.0, np.nan], np.float32),
    )
    result = agree(model)
    assert "Constant" not in ops(result)
    assert array(result, "a").tolist() == [1, 2, 3, 4]
    assert (array(result, "b").dtype, array(result, "b").shape) == (np.float32, ())
    assert array(result, "c").tolist() == [1.0, 0.5, 0.25, 0.125]
    assert (array(result, "d").dtype, array(result, "d").shape) == (np.int64, ())
    assert array(result, "f").tolist() == [0, 1]
    assert result.graph.initializers["f"].dtype == ir.DataType.INT64


def test_string_constants(build: Build) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y)
        {
          one = Constant <value_string = "a"> ()
          two = Constant <value_strings = ["b", "c"]> ()
          y = my.Op (x, one, two)
        }"""
    )
    result = normalise(load(model).model)
    assert array(result, "one").tolist() == b"a"
    assert array(result, "two").tolist() == [b"b", b"c"]
    proto = ir.to_proto(result)
    assert [list(tensor.string_data) for tensor in proto.graph.initializer] == [[b"a"], [b"b", b"c"]]


def test_constant_that_is_an_output_stays(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y, float c)
        { c = Constant <value_float = 2.5> () y = Mul (x, c) }"""
    )
    assert ops(agree(model)) == ["Constant", "Mul"]


def test_constants_of_bodies_move_to_the_main_graph(agree: Agree) -> None:
    result = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]

    def body(name: str, op: str) -> onnx.GraphProto:
        constant = helper.make_node("Constant", [], [f"{name}_c"], value_float=2.0)
        return helper.make_graph(
            [constant, helper.make_node(op, ["outer", f"{name}_c"], ["r"])], name, [], result
        )

    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Constant", [], ["outer"], value_floats=[1.0, 2.0, 3.0]),
                helper.make_node(
                    "If", ["b"], ["z"], then_branch=body("t", "Add"), else_branch=body("e", "Mul")
                ),
                helper.make_node("Add", ["z", "x"], ["y"]),
            ],
            "g",
            [
                helper.make_tensor_value_info("b", TensorProto.BOOL, ()),
                helper.make_tensor_value_info("x", TensorProto.FLOAT, (3,)),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (3,))],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for choice in (True, False):
        result_model = agree(model, b=np.array(choice))
    assert [node.op_type for node in result_model.graph] == ["If", "Add"]
    assert sorted(result_model.graph.initializers) == ["e_c", "outer", "t_c"]
    assert "Constant" not in [node.op_type for node in result_model.graph.all_nodes()]


def test_dead_code_is_removed(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x, float[N] unused) => (float[N, 4] y)
        { a = MatMul (x, w) b = Relu (a) c = Neg (b) y = Relu (x) }""",
        w=(4, 4),
        nobody=(7,),
    )
    result = agree(model)
    assert ops(result) == ["Relu"]
    assert not result.graph.initializers


def test_dead_if_sets_free_what_its_bodies_read(agree: Agree, ops: Ops) -> None:
    result = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    body = helper.make_graph([helper.make_node("Neg", ["w"], ["r"])], "b", [], result)
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("If", ["b"], ["z"], then_branch=body, else_branch=body),
                helper.make_node("Relu", ["x"], ["y"]),
            ],
            "g",
            [
                helper.make_tensor_value_info("b", TensorProto.BOOL, ()),
                helper.make_tensor_value_info("x", TensorProto.FLOAT, (3,)),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (3,))],
            [onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    cleaned = agree(model, b=np.array(True))
    assert ops(cleaned) == ["Relu"]
    assert not cleaned.graph.initializers


def test_outputs_that_nobody_reads_stay_on_their_node(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 2] y)
        { y, rest = Split <axis = 1> (x) }"""
    )
    assert [value.name for value in agree(model).graph.node(0).outputs] == ["y", "rest"]


def test_every_node_gets_a_name_and_names_stay(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y)
        { a = Relu (x) ["Relu_1"] b = Relu (a) c = Relu (b) y = Neg (c) }"""
    )
    assert [node.name for node in agree(model).graph] == ["Relu", "Relu_1", "Relu_2", "Neg"]


def test_order_is_kept_and_made(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y)
        { a = Relu (x) b = Neg (x) c = Abs (b) y = Add (a, c) }"""
    )
    assert ops(agree(model)) == ["Relu", "Neg", "Abs", "Add"]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    assert ops(agree(model)) == ["Neg", "Abs", "Relu", "Add"]


def test_value_info_is_dropped(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 5] y)
        { h = MatMul (x, w) y = Relu (h) }""",
        w=(4, 5),
    )
    source = load(model).model
    model.graph.value_info.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, (9, 9, 9)))
    model.graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (5, 4)))
    result = normalise(load(model).model)
    hidden = result.graph.node(0).outputs[0]
    assert (hidden.shape, hidden.dtype) == (None, ir.DataType.FLOAT)
    assert result.graph.initializers["w"].shape == ir.Shape((4, 5))
    assert result.graph.outputs[0].shape == source.graph.outputs[0].shape
    assert result.graph.inputs[0].shape == source.graph.inputs[0].shape


def test_steps_are_named_functions() -> None:
    names = [step.__name__ for step in STEPS]
    assert names[0] == "inline_functions"
    assert names[-1] == "unshare"
    assert len(set(names)) == len(names)


def test_normalising_twice_changes_nothing_more(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 4] y)
        {
          a = Add (x, b) c = Constant <value_float = 2.0> ()
          d = Mul (a, c) e = Add (d, b) y = Mul (e, c)
        }""",
        b=(4,),
    )
    once = agree(model)
    assert ir.to_proto(normalise(once)).SerializeToString() == ir.to_proto(once).SerializeToString()
