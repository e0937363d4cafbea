"""Nodes that are no use of their operator are found when the model is read; whatever the runtime takes passes."""

from __future__ import annotations

import time
from typing import Any

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from graphprune.errors import ModelError
from graphprune.load import load

NODE = helper.make_node


def model(*nodes: onnx.NodeProto, opset: int = 17, **more: Any) -> onnx.ModelProto:
    """A graph that takes float `x` and whole `n`, and gives `y`."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 4, 4)),
        helper.make_tensor_value_info("n", TensorProto.INT64, ()),
        helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def body(inputs: int, outputs: int) -> onnx.GraphProto:
    """A graph with so many inputs and outputs."""
    made = [NODE("Constant", [], [f"o{k}"], value_float=1.0) for k in range(outputs)]
    infos = [helper.make_tensor_value_info(f"i{k}", TensorProto.FLOAT, None) for k in range(inputs)]
    given = [helper.make_tensor_value_info(f"o{k}", TensorProto.FLOAT, None) for k in range(outputs)]
    return helper.make_graph(made, "body", infos, given)


def reference(name: str, to: str, kind: int) -> onnx.AttributeProto:
    """An attribute that takes its value from one of the function around it."""
    return onnx.AttributeProto(name=name, ref_attr_name=to, type=kind)


INVALID = {
    "too few inputs": (
        [NODE("Conv", ["x"], ["y"], "first")],
        "Conv 'first' has 1 inputs, but Conv of opset 11 has at least 2",
    ),
    "too many inputs": (
        [NODE("Relu", ["x", "x"], ["y"])],
        "the unnamed Relu that makes 'y' has 2 inputs, but Relu of opset 14 has at most 1",
    ),
    "too many outputs": ([NODE("Relu", ["x"], ["y", "z"])], "has 2 outputs, but Relu of opset 14 has at most 1"),
    "an input left out": ([NODE("Conv", ["x", ""], ["y"])], "has no input 1, which Conv of opset 11 needs"),
    "attribute missing": ([NODE("Cast", ["x"], ["y"])], "has no attribute 'to', which Cast of opset 13 needs"),
    "attribute of another type": (
        [NODE("Softmax", ["x"], ["y"], axis="last")],
        "attribute 'axis' of the unnamed Softmax that makes 'y' is of type STRING, .* has one of type INT",
    ),
    "in a body": (
        [
            NODE(
                "If", ["c"], ["y"], then_branch=body(0, 1),
                else_branch=helper.make_graph(
                    [NODE("Add", ["x"], ["z"], "inner")], "no", [],
                    [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
                ),
            )
        ],
        "Add 'inner' has 1 inputs",
    ),
    "no body": ([NODE("Loop", ["n", "", "x"], ["y"])], "has no attribute 'body', which Loop of opset 16 needs"),
    "a number for a body": (
        [NODE("If", ["c"], ["y"], then_branch=1, else_branch=body(0, 1))],
        "attribute 'then_branch' of .* is of type INT, but If of opset 16 has one of type GRAPH",
    ),
    "If gives too little": (
        [NODE("If", ["c"], ["y", "z"], then_branch=body(0, 2), else_branch=body(0, 1))],
        "a body of the unnamed If that makes 'y' has 1 outputs, but 2 are needed",
    ),
    "Loop takes too little": (
        [NODE("Loop", ["n", "", "x"], ["y"], "loop", body=body(2, 2))],
        "a body of Loop 'loop' has 2 inputs, but is given 3",
    ),
    "Loop gives too little": ([NODE("Loop", ["n", "", "x"], ["y"], body=body(3, 1))], "1 outputs, but 2 are needed"),
    "Scan takes too little": ([NODE("Scan", ["x", "x"], ["y"], num_scan_inputs=1, body=body(1, 1))], "given 2"),
    "Scan gives too little": (
        [NODE("Scan", ["x", "x"], ["y", "z"], num_scan_inputs=1, body=body(2, 1))],
        "1 outputs, but 2 are needed",
    ),
    "Scan goes through too much": (
        [NODE("Scan", ["x"], ["y"], num_scan_inputs=9, body=body(1, 1))],
        "says that it scans 9 inputs, but has 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
@pytest.mark.parametrize("form", ["proto", "ir"])
def test_no_use_of_an_operator(case: str, form: str) -> None:
    nodes, message = INVALID[case]
    given: Any = model(*nodes)
    if form == "ir":
        given = ir.from_proto(given)
    with pytest.raises(ModelError, match=message) as caught:
        load(given)
    assert str(caught.value).count("\n") == 0
    assert "export it again" in str(caught.value)


def test_in_a_function() -> None:
    imports = [helper.make_opsetid("", 17)]
    wrong = helper.make_function("mine", "f", ["a"], ["b"], [NODE("MatMul", ["a"], ["b"], "deep")], imports)
    given = model(NODE("f", ["x"], ["y"], domain="mine"), functions=[wrong])
    given.opset_import.append(helper.make_opsetid("mine", 1))
    with pytest.raises(ModelError, match="MatMul 'deep' has 1 inputs"):
        load(given)


def test_references_to_attributes_of_a_function() -> None:
    imports = [helper.make_opsetid("", 17)]
    inner = NODE("Softmax", ["a"], ["b"])
    inner.attribute.append(reference("axis", "side", onnx.AttributeProto.INT))
    cast = NODE("Cast", ["b"], ["d"])
    cast.attribute.append(reference("to", "kind", onnx.AttributeProto.INT))
    right = helper.make_function("mine", "f", ["a"], ["d"], [inner, cast], imports, ["side", "kind"])
    given = model(NODE("f", ["x"], ["y"], domain="mine", side=1, kind=1), functions=[right])
    given.opset_import.append(helper.make_opsetid("mine", 1))
    assert load(given).model.functions


PASS = {
    "optional inputs left out at the end": [NODE("Clip", ["x"], ["y"])],
    "optional inputs left out between": [NODE("Clip", ["x", "", "x"], ["y"])],
    "optional inputs left out by an empty name": [NODE("Conv", ["x", "x", ""], ["y"])],
    "empty names beyond the last": [NODE("Relu", ["x", ""], ["y", ""])],
    "any number of inputs": [NODE("Concat", ["x"] * 9, ["y"], axis=1)],
    "an operator of a newer opset": [NODE("Gelu", ["x"], ["y"])],
    "an operator of nobody": [NODE("Frobnicate", [], ["y"], axis="last")],
    "an attribute that nobody reads": [NODE("Relu", ["x"], ["y"], note="seen")],
    "an operator that is gone": [NODE("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 2.0, 2.0])],
    "a loop without a condition": [NODE("Loop", ["n", "", "x"], ["y"], body=body(3, 2))],
}  # fmt: skip


@pytest.mark.parametrize("case", PASS)
def test_what_passes(case: str) -> None:
    assert load(model(*PASS[case])).model.graph.num_nodes() == 1


def test_a_function_in_the_place_of_an_operator() -> None:
    own = helper.make_function(
        "", "Softmax", ["a", "b"], ["c"], [NODE("Add", ["a", "b"], ["c"])], [helper.make_opsetid("", 17)]
    )
    assert load(model(NODE("Softmax", ["x", "x"], ["y"]), functions=[own])).model.functions


def test_thousands_of_nodes_take_milliseconds() -> None:
    nodes = [NODE("Softmax", ["x"], [f"t{k}"], axis=1) for k in range(5000)]
    given = model(*nodes, NODE("Relu", ["t0"], ["y"]))
    load(given)
    start = time.perf_counter()
    load(given)
    assert time.perf_counter() - start < 5  # the whole of it, on any machine
