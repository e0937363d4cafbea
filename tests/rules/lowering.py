"""Operators that ONNX Runtime has no kernel for on a processor, written as operators it has.

A test analyses and prunes the graph as it is, and runs it with these functions in place.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

_DOMAIN = "lowered"
_HEAD = '<ir_version: 10, opset_import: ["" : 21, "lowered" : 1, "com.microsoft" : 1]> agraph (float[1] x) => (float[1] y) {{ y = Identity(x) }}\n'
_FUNCTION = '<domain: "lowered", opset_import: ["" : 21, "com.microsoft" : 1]> {name} {body}'
_NHWC = "Transpose <perm = [0, 2, 3, 1]>"
_NCHW = "Transpose <perm = [0, 3, 1, 2]>"
_FORMS = {
    "BiasAdd": "(x, b, s) => (y) { t = Add(x, b) y = Add(t, s) }",
    "BiasDropout": "(x, b, s) => (y) { t = Add(x, b) y = Add(t, s) }",
    "BiasSoftmax": "<axis>(x, b) => (y) { t = Add(x, b) y = Softmax <axis: int = @axis> (t) }",
    "BiasSplitGelu": """(x, b) => (y) { t = Add(x, b) two = Constant <value_int = 2> ()
        l, r = Split <axis = -1, num_outputs = 2> (t) g = Gelu(r) y = Mul(l, g) }""",
    "SwiGLU": "(g, u) => (y) { s = Sigmoid(g) t = Mul(g, s) y = Mul(t, u) }",
    "NhwcConv": f"<pads, group>(x, w, b) => (y) {{ t = {_NCHW} (x) c = Conv <pads: ints = @pads, group: int = @group> (t, w, b) y = {_NHWC} (c) }}",
    "NhwcFusedConv": f"""<pads, group, activation>(x, w, b, z) => (y) {{ t = {_NCHW} (x)
        c = Conv <pads: ints = @pads, group: int = @group> (t, w, b) d = {_NHWC} (c) e = Add(d, z) y = Relu(e) }}""",
    "GroupNorm": f"""<groups, activation>(x, g, b) => (y) {{ t = {_NCHW} (x)
        n = GroupNormalization <num_groups: int = @groups> (t, g, b) o = {_NHWC} (n) s = Sigmoid(o) y = Mul(o, s) }}""",
    "SkipGroupNorm": f"""<groups, activation>(x, g, b, k, c) => (y, s) {{ i = Add(x, k) s = Add(i, c) t = {_NCHW} (s)
        n = GroupNormalization <num_groups: int = @groups> (t, g, b) y = {_NHWC} (n) }}""",
    "GemmFastGelu": "(x, w, b) => (y) { t = MatMul(x, w) y = com.microsoft.FastGelu(t, b) }",
    "FusedMatMulActivation": "<activation, transB>(x, w) => (y) { t = Transpose <perm = [1, 0]> (w) m = MatMul(x, t) y = Tanh(m) }",
    "MulInteger": """(a, p, b, q) => (y) { a0 = Cast <to = 6> (a) p0 = Cast <to = 6> (p) b0 = Cast <to = 6> (b) q0 = Cast <to = 6> (q)
        a1 = Sub(a0, p0) b1 = Sub(b0, q0) y = Mul(a1, b1) }""",
    "QLinearReduceMean": """<axes, keepdims>(a, s, o, t, p) => (y) { f = DequantizeLinear(a, s, o)
        x = Constant <value_ints: ints = @axes> () m = ReduceMean <keepdims: int = @keepdims> (f, x) y = QuantizeLinear(m, t, p) }""",
    "ReduceSumInteger": """<axes, keepdims>(a) => (y) { c = Cast <to = 6> (a) x = Constant <value_ints: ints = @axes> ()
        y = ReduceSum <keepdims: int = @keepdims> (c, x) }""",
}
NAMES = frozenset(_FORMS)


def lowered(model: ir.Model) -> ir.Model:
    """A copy of `model` that runs: nodes without a kernel call a function of the same name."""
    proto = ir.to_proto(model)
    wanted = {n.op_type for n in proto.graph.node if n.op_type in _FORMS and n.domain == "com.microsoft"}
    for node in proto.graph.node:
        if node.op_type in wanted and node.domain == "com.microsoft":
            node.domain = _DOMAIN
    functions = "\n".join(_FUNCTION.format(name=name, body=_FORMS[name]) for name in sorted(wanted))
    proto.functions.extend(onnx.parser.parse_model(_HEAD.format() + functions).functions)
    proto.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    return ir.from_proto(proto)
