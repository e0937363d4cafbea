"""Models that are read but not valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from graphprune.errors import ModelError
from graphprune.load import load


def parsed(
    body: str, *, opsets: str = '"" : 17', ir_version: int = 8, outputs: str = "float[N] y"
) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"<ir_version: {ir_version}, opset_import: [{opsets}]> g (float[N] x) => ({outputs}) {{ {body} }}"
    )


INVALID = {
    "cycle": (
        parsed('["one"] a = Add (x, c) ["two"] b = Relu (a) ["three"] c = Neg (b) y = Neg (c)'),
        r"the graph has a cycle: .*'one'.*'two'.*'three'.*; a graph must not depend on itself\.",
    ),
    "node that reads itself": (
        parsed("a = Add (x, a) y = Relu (a)"),
        "has a cycle: the unnamed Add that makes 'a' -> the unnamed Add that makes 'a'",
    ),
    "undefined tensor": (
        parsed('["sum"] y = Add (x, ghost)'),
        "Add 'sum' reads tensor 'ghost', which nothing in the model defines",
    ),
    "undefined output": (
        parsed("a = Relu (x)"),
        "the graph gives back tensor 'y', which nothing defines",
    ),
    "tensor made twice": (
        parsed('["one"] y = Relu (x) ["two"] y = Neg (x)'),
        "tensor 'y' is defined twice in the graph: by Neg 'two' and by Relu 'one'",
    ),
    "input made again": (
        parsed('["one"] x = Relu (x) y = Neg (x)'),
        "tensor 'x' is defined twice in the graph: by Relu 'one' and by an input or initializer",
    ),
    "old opset": (
        parsed("y = Relu (x)", opsets='"" : 6'),
        r"opset 6 of the default ONNX domain, but graphprune reads opset 7.*convert_version\(model, 13\)",
    ),
    "new opset": (
        parsed("y = Relu (x)", opsets='"" : 99'),
        r"opset 99 of the default ONNX domain, but the installed onnx \S+ knows opsets up to \d+; upgrade",
    ),
    "new opset of another domain": (
        parsed("y = ai.onnx.ml.Normalizer (x)", opsets='"" : 17, "ai.onnx.ml" : 44'),
        r"opset 44 of domain 'ai\.onnx\.ml'",
    ),
    "no opset at all": (
        parsed("y = Relu (x)", opsets=""),
        "the unnamed Relu that makes 'y' is an operator of the default ONNX domain, but the model imports",
    ),
    "no opset for a domain": (
        parsed('["mine"] y = my.ops.Swish (x)'),
        r"Swish 'mine' is an operator of domain 'my\.ops', but the model imports no opset for it; add",
    ),
    "new IR version": (
        parsed("y = Relu (x)", ir_version=99),
        r"IR version 99, but the installed onnx \S+ reads versions up to \d+; upgrade onnx",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_invalid(case: str, tmp_path: Path) -> None:
    model, text = INVALID[case]
    with pytest.raises(ModelError, match=text) as in_memory:
        load(model)
    assert "\n" not in str(in_memory.value)
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=text) as from_file:
        load(path)
    assert str(from_file.value).startswith(f"{path}: ")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.onnx"]


def test_missing_ir_version(mlp: onnx.ModelProto) -> None:
    mlp.ClearField("ir_version")
    with pytest.raises(ModelError, match="does not say its IR version"):
        load(mlp)


def test_two_initializers_of_one_name(mlp: onnx.ModelProto) -> None:
    mlp.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w1"))
    with pytest.raises(ModelError, match="two definitions of initializer 'w1'"):
        load(mlp)


def test_two_inputs_of_one_name(mlp: onnx.ModelProto) -> None:
    mlp.graph.input.append(mlp.graph.input[0])
    with pytest.raises(ModelError, match="two definitions of input 'x'"):
        load(mlp)


def test_data_that_does_not_fit_the_shape(mlp: onnx.ModelProto) -> None:
    mlp.graph.initializer[0].raw_data = mlp.graph.initializer[0].raw_data[:100]
    with pytest.raises(ModelError, match=r"'w1' of shape \(8, 64\) needs 2048 bytes of data but has 100"):
        load(mlp)


def test_typed_data_that_does_not_fit_the_shape(mlp: onnx.ModelProto) -> None:
    mlp.graph.initializer.append(helper.make_tensor("more", TensorProto.FLOAT, (2,), [1.0, 2.0]))
    mlp.graph.initializer[-1].dims[0] = 3
    with pytest.raises(ModelError, match=r"'more' of shape \(3,\) needs 3 elements of data but has 2"):
        load(mlp)


def test_unknown_data_type(mlp: onnx.ModelProto) -> None:
    mlp.graph.initializer[0].data_type = 77
    with pytest.raises(ModelError, match="initializer 'w1' has the unknown data type 77"):
        load(mlp)


def test_negative_size(mlp: onnx.ModelProto) -> None:
    mlp.graph.initializer[2].dims[0] = -4
    with pytest.raises(ModelError, match=r"'b2' has the shape \(-4,\), with a negative size"):
        load(mlp)


def test_body_reads_undefined_tensor() -> None:
    model = branches("Neg", "ghost")
    with pytest.raises(ModelError, match=r"Neg 'inner' reads tensor 'ghost'"):
        load(model)


def test_body_gives_back_outer_tensor() -> None:
    model = branches("Neg", "x")
    model.graph.node[0].attribute[0].g.output[0].name = "x"
    with pytest.raises(ModelError, match=r"gives back tensor 'x' of the graph around it, .* put an Identity"):
        load(model)


def test_cycle_through_a_body() -> None:
    model = branches("Neg", "y")
    with pytest.raises(ModelError, match="cycle: If 'choice' -> If 'choice'"):
        load(model)


def branches(op: str, reads: str) -> onnx.ModelProto:
    """Returns `y = If(c) { op(reads) } else { x + x }`."""
    result = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    yes = helper.make_graph([helper.make_node(op, [reads], ["r"], "inner")], "yes", [], result)
    no = helper.make_graph([helper.make_node("Add", ["x", "x"], ["r"])], "no", [], result)
    node = helper.make_node("If", ["c"], ["y"], "choice", then_branch=yes, else_branch=no)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N",)),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N",))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_functions_that_call_each_other() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x) => (float[N] y) { y = f.ping (x) }
        <domain: "f", opset_import: ["" : 17, "f" : 1]> ping (a) => (b) { b = f.pong (a) }
        <domain: "f", opset_import: ["" : 17, "f" : 1]> pong (a) => (b) { b = f.ping (a) }
        """
    )
    with pytest.raises(ModelError, match=r"call each other in a circle: 'p.ng' -> 'p.ng' -> 'p.ng'"):
        load(model)


def test_ir_model_out_of_order(mlp: onnx.ModelProto) -> None:
    nodes = list(mlp.graph.node)
    del mlp.graph.node[:]
    mlp.graph.node.extend(reversed(nodes))
    with pytest.raises(ModelError, match=r"not in topological order; call model\.graph\.sort\(\)"):
        load(ir.from_proto(mlp))


def test_ir_model_is_checked_too() -> None:
    model = ir.from_proto(INVALID["undefined tensor"][0])
    with pytest.raises(ModelError, match="reads tensor 'ghost'"):
        load(model)


def test_graphsurgeon_graph_that_cannot_be_exported() -> None:
    gs = pytest.importorskip("onnx_graphsurgeon")
    graph = gs.Graph(nodes=[gs.Node("Relu", attrs={"what": object()})])
    with pytest.raises(ModelError, match=r"the onnx_graphsurgeon graph cannot be exported \(.*\)\."):
        load(graph)
