"""Attention and rotary positions as single operators."""

from __future__ import annotations

from tests.rules.building import Case

_WEIGHTS = "float[4, {q}] Q, float[4, {k}] K, float[4, {v}] V, float[{o}, 3] B"


def _attention(
    q: int, k: int, v: int, o: int, attributes: str, more: str = "", body: str = "", extra: str = ""
) -> str:
    return f"""net (float[n, t, 4] x) => (float[N, T, C] y) <{_WEIGHTS.format(q=q, k=k, v=v, o=o)} {more}>
        {{ q = MatMul(x, Q)  k = MatMul(x, K)  v = MatMul(x, V) {body}
           z = Attention <{attributes}> (q, k, v{extra})  y = MatMul(z, B) }}"""


_FOUR = f"""net (float[n, t, 4] x) => (float[N, T, C] y)
    <{_WEIGHTS.format(q=12, k=12, v=12, o=12)}, int64[4] s = {{0, 0, 3, 4}}, int64[3] m = {{0, 0, 12}}>
    {{ q0 = MatMul(x, Q)  k0 = MatMul(x, K)  v0 = MatMul(x, V)
       q1 = Reshape(q0, s)  k1 = Reshape(k0, s)  v1 = Reshape(v0, s)
       q = Transpose <perm = [0, 2, 1, 3]> (q1)  k = Transpose <perm = [0, 2, 1, 3]> (k1)
       v = Transpose <perm = [0, 2, 1, 3]> (v1)
       o = Attention <is_causal = 1> (q, k, v)
       p = Transpose <perm = [0, 2, 1, 3]> (o)  z = Reshape(p, m)  y = MatMul(z, B) }}"""
_ROTARY = """net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 12] A, float[12, 5] W, float[5, 3] B, float[6, 2] c, float[6, 2] s, int64[1, 6] p = {0, 1, 2, 3, 4, 5}>
    { h = MatMul(x, A)  e = Shape <end = 1> (x)  six = Constant <value_ints = [6]> ()  f = Concat <axis = 0> (e, six)
      i = Expand(p, f)  o = RotaryEmbedding <num_heads = 3> (h, c, s, i)  q = MatMul(o, W)  z = Relu(q)  y = MatMul(z, B) }"""
_ROTARY_FOUR = """net (float[n, 6, 4] x) => (float[N, H, T, C] y)
    <float[4, 12] A, float[4, 5] W, float[5, 3] B, float[6, 2] c, float[6, 2] s, int64[1, 6] p = {0, 1, 2, 3, 4, 5}, int64[4] r = {0, 0, 3, 4}>
    { h = MatMul(x, A)  e = Shape <end = 1> (x)  six = Constant <value_ints = [6]> ()  f = Concat <axis = 0> (e, six)
      i = Expand(p, f)  h4 = Reshape(h, r)  t = Transpose <perm = [0, 2, 1, 3]> (h4)
      o = RotaryEmbedding(t, c, s, i)  q = MatMul(o, W)  z = Relu(q)  y = MatMul(z, B) }"""


def _rotary(attributes: str, width: int = 4) -> str:
    """Three heads, whose number is an axis of the output."""
    return f"""net (float[n, 6, 4] x) => (float[N, H, T, C] y)
    <float[4, {3 * width}] A, float[{width}, 5] W, float[5, 3] B, float[1, 6, 2] c, float[1, 6, 2] s, int64[4] r = {{0, 0, 3, {width}}}>
    {{ h = MatMul(x, A)  e = Shape <end = 1> (x)  more = Constant <value_ints = [1, 1]> ()  f = Concat <axis = 0> (e, more)
      ce = Expand(c, f)  se = Expand(s, f)  h4 = Reshape(h, r)  t = Transpose <perm = [0, 2, 1, 3]> (h4)
      o = RotaryEmbedding <{attributes}> (t, ce, se)  q = MatMul(o, W)  z = Relu(q)  y = MatMul(z, B) }}"""


CASES = (
    Case(
        "Attention",
        _attention(12, 12, 12, 12, "q_num_heads = 3, kv_num_heads = 3"),
        "Q[1]",
        what="3-D",
        opset=23,
    ),
    Case(
        "Attention",
        _attention(12, 12, 18, 18, "q_num_heads = 3, kv_num_heads = 3, scale = 0.7"),
        "Q[1]",
        what="3-D, wider values",
        opset=23,
    ),
    Case(
        "Attention",
        _attention(24, 12, 12, 24, "q_num_heads = 6, kv_num_heads = 3"),
        "Q[1]",
        what="3-D, grouped queries",
        opset=23,
    ),
    Case(
        "Attention",
        _attention(
            12,
            12,
            12,
            12,
            "q_num_heads = 3, kv_num_heads = 3",
            ", float zero = {0}",
            "xt = Transpose <perm = [0, 2, 1]> (x) d = MatMul(x, xt) c0 = Greater(d, zero) c1 = Or(c0, c0) "
            "one = Constant <value_ints = [1]> () c2 = Unsqueeze(c1, one) c = Cast <to = 1> (c2)",
            ", c",
        ),
        "Q[1]",
        what="mask",
        opset=23,
    ),
    Case("Attention", _FOUR, "Q[1]", what="4-D, causal", opset=23),
    Case(
        "Attention",
        _attention(
            24,
            12,
            18,
            36,
            "q_num_heads = 6, kv_num_heads = 3",
            ", float[1, 3, 2, 4] e, float[1, 3, 2, 6] f",
            extra=", , e, f",
        )
        .replace("float[n,", "float[1,")
        .replace("z = ", "z, l, m = "),
        "Q[1]",
        what="an earlier state that is handed on to nobody",
        opset=23,
    ),
    Case(
        "RotaryEmbedding",
        _ROTARY,
        "W[1] A[1]",
        what="3-D",
        opset=23,
        frozen={"A[1].2": "turn together", "c[0]": "looked up"},
    ),
    Case("RotaryEmbedding", _ROTARY_FOUR, "W[1] A[1].3", what="4-D", opset=23),
    Case("RotaryEmbedding", _rotary("interleaved = 1"), "W[1] A[1].2", what="interleaved", opset=23),
    Case(
        "RotaryEmbedding",
        _rotary("rotary_embedding_dim = 4", width=6),
        "W[1] A[1].3 A[1].4",
        what="partial",
        opset=23,
    ),
    Case(
        "LinearAttention",
        _attention(24, 12, 12, 24, 'q_num_heads = 6, kv_num_heads = 3, update_rule = "linear"').replace(
            "z = Attention", "z, s = LinearAttention"
        ),
        "Q[1]",
        opset=27,
    ),
)
