"""Small networks with weights like trained ones: some slots matter, some hardly."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

MLP = """
<ir_version: 8, opset_import: ["" : 17]>
mlp (float[batch, 12] x) => (float[batch, 5] y)
{
  h = Gemm <transB = 1> (x, w1, b1)
  a = Relu (h)
  k = Gemm <transB = 1> (a, w2, b2)
  b = Relu (k)
  y = Gemm <transB = 1> (b, w3, b3)
}
"""
GATED = """
<ir_version: 8, opset_import: ["" : 17]>
gated (float[batch, 12] x) => (float[batch, 12] y)
{
  g = MatMul (x, gate)
  s = Sigmoid (g)
  u = MatMul (x, up)
  h = Mul (s, u)
  d = MatMul (h, down)
  r = Add (x, d)
  g2 = MatMul (r, gate2)
  s2 = Sigmoid (g2)
  u2 = MatMul (r, up2)
  h2 = Mul (s2, u2)
  d2 = MatMul (h2, down2)
  y = Add (r, d2)
}
"""
CNN = """
<ir_version: 8, opset_import: ["" : 17]>
cnn (float[batch, 3, 8, 8] x) => (float[batch, 5] y)
{
  c1 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k1)
  n1 = BatchNormalization (c1, g1, o1, m1, v1)
  a1 = Relu (n1)
  c2 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (a1, k2)
  n2 = BatchNormalization (c2, g2, o2, m2, v2)
  a2 = Relu (n2)
  c3 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a2, k3, e3)
  r3 = Add (a2, c3)
  p = GlobalAveragePool (r3)
  f = Flatten (p)
  h = Gemm <transB = 1> (f, w1, b1)
  a = Relu (h)
  y = Gemm <transB = 1> (a, w2, b2)
}
"""
ATTENTION = """
<ir_version: 8, opset_import: ["" : 17]>
attention (float[batch, 6, 12] x) => (float[batch, 6, 5] y)
<int64[4] split = {0, 0, 4, 6}, int64[3] join = {0, 0, 24}, float scale = {0.5}>
{
  q0 = MatMul (x, wq)
  q1 = Reshape (q0, split)
  q = Transpose <perm = [0, 2, 1, 3]> (q1)
  k0 = MatMul (x, wk)
  k1 = Reshape (k0, split)
  k = Transpose <perm = [0, 2, 3, 1]> (k1)
  v0 = MatMul (x, wv)
  v1 = Reshape (v0, split)
  v = Transpose <perm = [0, 2, 1, 3]> (v1)
  s0 = MatMul (q, k)
  s = Mul (s0, scale)
  p = Softmax <axis = -1> (s)
  m0 = MatMul (p, v)
  m1 = Transpose <perm = [0, 2, 1, 3]> (m0)
  m = Reshape (m1, join)
  o = MatMul (m, wo)
  h = Add (x, o)
  u = MatMul (h, up)
  a = Relu (u)
  d = MatMul (a, down)
  z = Add (h, d)
  y = MatMul (z, head)
}
"""
MIXTURE = """
<ir_version: 8, opset_import: ["" : 17]>
mixture (float[batch, 12] x) => (float[batch, 5] y)
<int64[1] two = {2}, int64[1] last = {-1}>
{
  l = MatMul (x, router)
  p = Softmax <axis = -1> (l)
  best, which = TopK (p, two)
  total = ReduceSum (best, last)
  share = Div (best, total)
  blank = Sub (p, p)
  gate = ScatterElements <axis = 1> (blank, which, share)
  u = Einsum <equation = "ti,eif->tef"> (x, up)
  a = Relu (u)
  d = Einsum <equation = "tef,efd->ted"> (a, down)
  m = Einsum <equation = "ted,te->td"> (d, gate)
  h = Add (x, m)
  y = MatMul (h, head)
}
"""
SHAPES = {
    "attention": {
        "wq": (12, 24),
        "wk": (12, 24),
        "wv": (12, 24),
        "wo": (24, 12),
        "up": (12, 20),
        "down": (20, 12),
        "head": (12, 5),
    },
    "mixture": {"router": (12, 6), "up": (6, 12, 16), "down": (6, 16, 12), "head": (12, 5)},
    "mlp": {"w1": (20, 12), "b1": (20,), "w2": (16, 20), "b2": (16,), "w3": (5, 16), "b3": (5,)},
    "gated": {"gate": (12, 16), "up": (12, 16), "down": (16, 12)},
    "cnn": {
        "k1": (8, 3, 3, 3),
        "k2": (12, 8, 3, 3),
        "k3": (12, 12, 3, 3),
        "e3": (12,),
        "w1": (16, 12),
        "b1": (16,),
        "w2": (5, 16),
        "b2": (5,),
    },
}
SHAPES["gated"] |= {f"{n}2": s for n, s in SHAPES["gated"].items()}
INPUTS = {"mlp": (12,), "gated": (12,), "cnn": (3, 8, 8), "attention": (6, 12), "mixture": (12,)}
TEXTS = {"mlp": MLP, "gated": GATED, "cnn": CNN, "attention": ATTENTION, "mixture": MIXTURE}


def weights(name: str) -> dict[str, NDArray[np.float32]]:
    """Weights of a net: rows have sizes that fall off like those of trained networks."""
    draw = np.random.default_rng(11)
    found = {}
    for key, shape in SHAPES[name].items():
        values = draw.normal(size=shape)
        if len(shape) > 1:
            axis = 0 if name in ("mlp", "cnn") else len(shape) - 1
            sizes = draw.permutation(np.geomspace(0.2, 1.5, shape[axis]))
            values *= sizes.reshape([-1 if k == axis else 1 for k in range(len(shape))])
            values /= np.sqrt(np.prod(shape) / shape[axis])
        else:
            values *= 0.1
        found[key] = values.astype(np.float32)
    if name == "cnn":
        for place, width in ((1, 8), (2, 12)):
            found[f"g{place}"] = draw.uniform(0.2, 1.5, width).astype(np.float32)
            found[f"o{place}"] = draw.normal(0, 0.1, width).astype(np.float32)
            found[f"m{place}"] = draw.normal(0, 0.1, width).astype(np.float32)
            found[f"v{place}"] = draw.uniform(0.5, 1.5, width).astype(np.float32)
    return found


def net(name: str) -> onnx.ModelProto:
    """A net by name: "mlp", "gated", "cnn", "attention" or "mixture"."""
    model = onnx.parser.parse_model(TEXTS[name])
    for key, values in weights(name).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, key))
    return model


def samples(name: str, count: int = 96, seed: int = 3) -> NDArray[np.float32]:
    """Inputs of a net, correlated as real ones are."""
    draw = np.random.default_rng(seed)
    size = int(np.prod(INPUTS[name]))
    mixed = draw.normal(size=(count, size)) @ draw.normal(size=(size, size)) / np.sqrt(size)
    return (mixed + 0.3).reshape(count, *INPUTS[name]).astype(np.float32)
