"""Matrix products in all their spellings."""

from __future__ import annotations

from tests.rules.building import Case, flat, tokens

_HEADS = """net (float[n, t, 4] x) => (float[N, T, V] y)
    <float[4, 12] A, float[4, 12] K, float[4, 18] V, float[18, 3] B, int64[4] s = {0, 0, 3, -1}, int64[3] m = {0, 0, 18}>
    { a = MatMul(x, A)  k = MatMul(x, K)  v = MatMul(x, V)
      a4 = Reshape(a, s)  k4 = Reshape(k, s)  v4 = Reshape(v, s)
      q = Transpose <perm = [0, 2, 1, 3]> (a4)  r = Transpose <perm = [0, 2, 3, 1]> (k4)
      w = Transpose <perm = [0, 2, 1, 3]> (v4)
      c = MatMul(q, r)  p = Softmax <axis = -1> (c)  o = MatMul(p, w)
      u = Transpose <perm = [0, 2, 1, 3]> (o)  z = Reshape(u, m)  y = MatMul(z, B) }"""
_INTEGER = """net (float[n, 4] x) => (float[N, V] y)
    <float[4, 8] A, uint8[8, 6] W, float s = {0.02}, uint8 o = {128}, float t = {0.0001}, float[6, 3] B>
    { h = MatMul(x, A)  q = QuantizeLinear(h, s, o)  i = MatMulInteger(q, W, o, o)  f = Cast <to = 1> (i)
      z = Mul(f, t)  y = MatMul(z, B) }"""


def _gemm(attributes: str, shape: str, bias: str = "float[6] b") -> str:
    return flat(f"z = Gemm <{attributes}> (h, W, b)", f"float[{shape}] W, {bias}", z=6)


def _einsum(equation: str, weights: str) -> str:
    return tokens(f'z = Einsum <equation = "{equation}"> (h, W)', weights, z=6)


_QLINEAR = """net (float[n, 4] x) => (float[N, V] y)
    <float[4, 8] A, uint8[8, 6] W, {scale}, float s = {{0.02}}, uint8 o = {{128}}, float t = {{0.05}}, float[6, 3] B>
    {{ h = MatMul(x, A)  q = QuantizeLinear(h, s, o)  i = QLinearMatMul(q, s, o, W, u, v, t, o)  z = DequantizeLinear(i, t, o)
      y = MatMul(z, B) }}"""

CASES = (
    Case(
        "QLinearMatMul",
        _QLINEAR.format(scale="float u = {0.02}, uint8 v = {50}"),
        "A[1] W[1]",
        what="one scale",
    ),
    Case(
        "QLinearMatMul",
        _QLINEAR.format(scale="float[6] u, uint8[6] v"),
        "A[1] W[1]",
        what="a scale for each column",
        given={"u": [0.02, 0.01, 0.03, 0.02, 0.02, 0.01], "v": [50] * 6},
    ),
    Case("Gemm", _gemm("alpha = 0.5, beta = 2.0", "8, 6"), "A[1] W[1]"),
    Case("Gemm", _gemm("transB = 1", "6, 8"), "A[1] W[0]", what="transB"),
    Case("Gemm", _gemm("transB = 1", "6, 8", "float b = {0.5}"), "A[1] W[0]", what="scalar bias"),
    Case("Gemm", _gemm("transB = 1", "6, 8", "float[1, 6] b"), "A[1] W[0]", what="row bias"),
    Case("Gemm", _gemm("transB = 1", "6, 8", "float[1] b"), "A[1] W[0]", what="bias of one element"),
    Case(
        "Gemm",
        flat("t = Transpose(h) z = Gemm <transA = 1> (t, W)", "float[8, 6] W", z=6),
        "A[1] W[1]",
        what="transA, no bias",
    ),
    Case(
        "Gemm",
        flat("g = Gemm(x, G) z = Gemm(h, W, g)", "float[4, 6] G, float[8, 6] W", z=6),
        "A[1] G[1]",
        what="an activation as bias",
    ),
    Case(
        "Gemm",
        """net (float[n, 4] x) => (float[K, M] y) <float[5, 7] P, float[4, 7] A, float[7, 3] B>
        { h = MatMul(x, A)  i = Gemm <transB = 1> (h, P)  y = MatMul(h, B) }""",
        "A[1]",
        what="a dead second reader",
    ),
    Case("MatMul", flat("z = MatMul(h, W)", "float[8, 6] W", z=6), "A[1] W[1]"),
    Case(
        "MatMul",
        tokens("z = MatMul(h, W)", "float[12, 6] W", z=6),
        "A[1] W[1]",
        what="batched activation, one matrix",
    ),
    Case(
        "MatMul",
        tokens("k = Unsqueeze(h, i) z = MatMul(k, W)", "float[5, 12, 6] W, int64[1] i = {1}", z=6, rank=4),
        "A[1] W[2]",
        what="a stack of matrices",
    ),
    Case(
        "MatMul",
        tokens(
            "k = Unsqueeze(h, i) u = MatMul(k, W) r = Relu(u) z = ReduceSum <keepdims = 0> (r, i)",
            "float[5, 12, 6] W, int64[1] i = {1}",
            z=6,
        ),
        "A[1] W[0] W[2]",
        what="a stack that is summed",
    ),
    Case(
        "MatMul",
        """net (float[n, t, 4] x) => (float[N, T] y) <float[4, 8] A, float[8] W>
        { h = MatMul(x, A)  r = Relu(h)  y = MatMul(r, W) }""",
        "A[1]",
        what="a vector on the right",
    ),
    Case(
        "MatMul",
        """net (float[n, 4, t] x) => (float[N, T] y) <float[8, 4] A, float[8] w>
        { h = MatMul(A, x)  r = Relu(h)  y = MatMul(w, r) }""",
        "A[0]",
        what="a vector on the left",
    ),
    Case("MatMul", _HEADS, "A[1]", what="attention"),
    Case("MatMulInteger", _INTEGER, "A[1] W[1]"),
    Case("Einsum", _einsum("bti,io->bto", "float[12, 6] W"), "A[1] W[1]", what="linear"),
    Case("Einsum", _einsum("...i,oi->...o", "float[6, 12] W"), "A[1] W[0]", what="ellipsis"),
    Case("Einsum", _einsum("abi,io", "float[12, 6] W"), "A[1] W[1]", what="no arrow"),
    Case(
        "Einsum",
        tokens(
            'k = Reshape(h, s) z = Einsum <equation = "bthd,hde->bte"> (k, W)',
            "float[3, 4, 6] W, int64[4] s = {0, 0, 3, 4}",
            z=6,
        ),
        "A[1] W[2]",
        what="heads merged",
    ),
    Case(
        "Einsum",
        tokens(
            'k = Reshape(h, s) c = Einsum <equation = "bqhd,bkhd->bhqk"> (k, k) p = Softmax(c) '
            'o = Einsum <equation = "bhqk,bkhd->bqhd"> (p, k) z = Reshape(o, m)',
            "int64[4] s = {0, 0, 3, 4}, int64[3] m = {0, 0, 12}",
        ),
        "A[1]",
        what="attention",
    ),
    Case(
        "Einsum",
        flat('t = Einsum <equation = "ij->ji"> (h) z = Transpose(t)'),
        "A[1]",
        what="a transposition",
    ),
    Case(
        "Einsum",
        flat('z = Einsum <equation = "bi,bj,jio->bo"> (h, h, W)', "float[8, 8, 6] W", z=6),
        "A[1] W[2]",
        what="three operands",
    ),
)
