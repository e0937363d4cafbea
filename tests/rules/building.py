"""Models as ONNX text whose weights are declared by shape only, and the row of a case table.

A weight is a value that no node makes: `<float[8, 3] W>` gets seeded random numbers. The frames `flat`,
`tokens` and `image` put a layer (weight A, bias a) before and a layer (weight B) behind the operator in
question: it reads `h` and makes `z`, so that most rows need one line.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

_IR_VERSIONS = {23: 11, 24: 12, 25: 12, 26: 13, 27: 13, 28: 14}


@dataclass(frozen=True, slots=True)
class Case:
    """One row: an operator in a small model, and what must become of every dimension.

    Attributes:
        op: the operator, with its domain if it has one; with `what` it names the case.
        text: graph in ONNX text form, without header.
        cut: keys of the groups that are cut exactly, and no others, in words: "A[1] B[0]".
        approximate: keys of the groups that can only be cut approximately, with a piece of the reason.
        frozen: keys of frozen groups, with a piece of the reason; others may be frozen besides.
        runs: False if ONNX Runtime has no kernel for it; then only analysis and checker are asked.
        given: values of weights that must not be random.
    """

    op: str
    text: str
    cut: str = ""
    approximate: Mapping[str, str] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    what: str = ""
    opset: int = 18
    runs: bool = True
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Domain and operator, as the rule table has them."""
        domain, _, op = self.op.rpartition(".")
        return domain, op

    @property
    def name(self) -> str:
        """The name of the test."""
        return f"{self.op}-{self.what}" if self.what else self.op

    def model(self) -> onnx.ModelProto:
        """The model with its weights."""
        return build(self.text, opset=self.opset, **self.given)


def build(text: str, opset: int = 18, **given: Any) -> onnx.ModelProto:
    """A model from the text of its graph; `text` may bring its own header and local functions."""
    if not text.lstrip().startswith("<"):
        other = ', "com.microsoft" : 1' if "com.microsoft." in text else ""
        text = f'<ir_version: {_IR_VERSIONS.get(opset, 8)}, opset_import: ["" : {opset}{other}]>\n{text}'
    model = onnx.parser.parse_model(text)
    graph = model.graph
    made = {o for n in graph.node for o in n.output} | {o.name for o in graph.output}
    made |= {t.name for t in graph.initializer}
    declared = [v for v in graph.value_info if v.name not in made]
    for value in declared:
        graph.value_info.remove(value)
        graph.initializer.append(onnx.numpy_helper.from_array(_weight(value, given), value.name))
    return model


def _weight(value: onnx.ValueInfoProto, given: Mapping[str, Any]) -> np.ndarray:
    """Random numbers that keep activations near one; `gain…` and `var…` are positive."""
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if value.name in given:
        return np.asarray(given[value.name], dtype=dtype).reshape(shape)
    draw = np.random.default_rng(zlib.crc32(value.name.encode()))
    if np.issubdtype(dtype, np.integer):
        return draw.integers(1, 100, shape).astype(dtype)
    if value.name.startswith(("gain", "var")):
        return draw.uniform(0.5, 1.5, shape).astype(dtype)
    fan = float(np.prod(shape)) / max(shape, default=1)
    return draw.normal(0, min(1.0, 1.5 / fan**0.5), shape).astype(dtype)


def flat(body: str, weights: str = "", *, h: int = 8, z: int | None = None) -> str:
    """Rows of numbers: x (n, 4) -> h (n, `h`) -> body -> z (n, `z`) -> y (n, 3)."""
    return f"""net (float[n, 4] x) => (float[n, 3] y)
    <float[4, {h}] A, float[{h}] a, {weights}{"," if weights else ""} float[{z or h}, 3] B>
    {{ h = Gemm(x, A, a)  {body}  y = MatMul(z, B) }}"""


def tokens(
    body: str, weights: str = "", *, h: int = 12, z: int | None = None, length: str = "t", rank: int = 3
) -> str:
    """Sequences: x (n, t, 4) -> h (n, t, `h`) -> body -> z (…, `z`) -> y (…, 3) of the given rank."""
    return f"""net (float[n, {length}, 4] x) => (float[{", ".join("NTUVW"[:rank])}] y)
    <float[4, {h}] A, float[{h}] a, {weights}{"," if weights else ""} float[{z or h}, 3] B>
    {{ h0 = MatMul(x, A)  h = Add(h0, a)  {body}  y = MatMul(z, B) }}"""


def image(body: str, weights: str = "", *, h: int = 8, z: int | None = None, size: int = 6) -> str:
    """Pictures: x (n, 3, size, size) -> h (n, `h`, size, size) -> body -> z (n, `z`, …) -> y (n, 5, …)."""
    return f"""net (float[n, 3, {size}, {size}] x) => (float[N, C, H, W] y)
    <float[{h}, 3, 3, 3] A, float[{h}] a, {weights}{"," if weights else ""} float[5, {z or h}, 1, 1] B>
    {{ h = Conv <pads = [1, 1, 1, 1]> (x, A, a)  {body}  y = Conv(z, B) }}"""
