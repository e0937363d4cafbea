"""Inlining model-local functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.load import load
from graphprune.normalise import normalise

Build = Callable[..., onnx.ModelProto]
Agree = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def test_calls_are_inlined_and_functions_removed(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N, 4] x) => (float[N, 4] y) { a = f.block (x, w) b = f.block (a, w) y = Neg (b) }
        <domain: "f", opset_import: ["" : 17, "f" : 1]>
        block (a, m) => (c) { b = MatMul (a, m) c = f.act (b) }
        <domain: "f", opset_import: ["" : 17]>
        act (a) => (b) { c = Constant <value_float = 0.5> () d = Mul (a, c) b = Relu (d) }
        <domain: "f", opset_import: ["" : 17]>
        never_called (a) => (b) { b = Relu (a) }""",
        w=(4, 4),
    )
    result = agree(model)
    assert ops(result) == ["MatMul", "Mul", "Relu", "MatMul", "Mul", "Relu", "Neg"]
    assert not result.functions
    names = [output.name for node in result.graph for output in node.outputs]
    assert len(set(names)) == len(names)
    assert len({node.name for node in result.graph}) == 7


def test_overloads(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
        g (float[N] x) => (float[N] y) { a = f.act:one (x) y = f.act:two (a) }
        <domain: "f", overload: "one", opset_import: ["" : 21]> act (a) => (b) { b = Relu (a) }
        <domain: "f", overload: "two", opset_import: ["" : 21]> act (a) => (b) { b = Neg (a) }"""
    )
    result = normalise(load(model).model)
    assert ops(result) == ["Relu", "Neg"]


def test_attributes_defaults_and_omitted_inputs(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        """<ir_version: 9, opset_import: ["" : 17, "f" : 1]>
        g (float[N, 4] x) => (float[N, 4] y)
        { a = f.leaky <alpha = 0.3> (x) b = f.leaky (a) y = f.clipped (b) }
        <domain: "f", opset_import: ["" : 17]>
        leaky <alpha: float = 0.1> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }
        <domain: "f", opset_import: ["" : 17]>
        clipped (a, low, high) => (b) { b = Clip (a, low, high) }"""
    )
    result = agree(model)
    assert ops(result) == ["LeakyRelu", "LeakyRelu", "Clip"]
    alphas = [node.attributes["alpha"].as_float() for node in result.graph if "alpha" in node.attributes]
    np.testing.assert_allclose(alphas, [0.3, 0.1], rtol=1e-6)


def test_function_that_passes_its_input_through(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x) => (float[N] y, float[N] z, float[N] v)
        { y, z = f.both (x) a = Relu (x) u, w = f.both (a) v = Add (u, w) }
        <domain: "f", opset_import: ["" : 17]> both (a) => (a, b) { b = Neg (a) }"""
    )
    result = agree(model, reference=True)  # ONNX Runtime refuses such functions
    assert result.graph.inputs[0].name == "x"


def test_function_that_gives_one_value_twice(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x) => (float[N] y, float[N] z) { y, z = f.twice (x) }
        <domain: "f", opset_import: ["" : 17]> twice (a) => (b, b) { b = Neg (a) }"""
    )
    agree(model, reference=True)


def test_function_of_another_opset_stays_a_call(build: Build, ops: Ops) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x) => (float[N] y) { a = f.old (x) y = f.new (a) }
        <domain: "f", opset_import: ["" : 13]> old (a) => (b) { b = Relu (a) }
        <domain: "f", opset_import: ["" : 17]> new (a) => (b) { b = Neg (a) }"""
    )
    result = normalise(load(model).model)
    assert ops(result) == ["old", "Neg"]
    assert [function.name for function in result.functions.values()] == ["old"]


def test_names_in_bodies_do_not_hide_inlined_ones(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x, bool c) => (float[N] y)
        {
          a = f.act (x)
          b = If (c) <
            then_branch = yes () => (float[N] t) { h = Neg (a) t = Relu (h) },
            else_branch = no () => (float[N] e) { h = Abs (a) e = Relu (h) }
          >
          y = Add (a, b)
        }
        <domain: "f", opset_import: ["" : 17]> act (p) => (q) { h = Exp (p) q = Sqrt (h) }"""
    )
    for choice in (True, False):
        result = agree(model, c=np.array(choice))
    outer = {output.name for node in result.graph for output in node.outputs}
    inner = {o.name for body in result.graph.subgraphs() for node in body for o in node.outputs}
    assert not outer & inner


def test_call_inside_a_body(build: Build, agree: Agree) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[N] x, bool c) => (float[N] y)
        {
          y = If (c) <
            then_branch = yes () => (float[N] t) { t = f.act (x) },
            else_branch = no () => (float[N] e) { e = Abs (x) }
          >
        }
        <domain: "f", opset_import: ["" : 17]> act (p) => (q) { h = Exp (p) q = Sqrt (h) }"""
    )
    for choice in (True, False):
        result = agree(model, c=np.array(choice))
    assert not result.functions
