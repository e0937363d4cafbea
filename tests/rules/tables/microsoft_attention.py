"""Domain com.microsoft: attention with and without its projections, and rotary positions."""

from __future__ import annotations

from tests.rules.building import Case, tokens


def _ms(op: str, text: str, cut: str, **more: object) -> Case:
    return Case(f"com.microsoft.{op}", text, cut, **more)  # type: ignore[arg-type]


def _projected(
    attributes: str, more: str = "", extra: str = "", *, w: int = 36, o: int = 12, body: str = ""
) -> str:
    return f"""net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 8] A, float[8, {w}] W, float[{w}] w, float[{o}, 3] B {more}>
    {{ h = MatMul(x, A) {body} z = com.microsoft.Attention <{attributes}> (h, W, w{extra}) y = MatMul(z, B) }}"""


def _separate(
    op: str,
    attributes: str,
    shapes: tuple[int, int, int, int],
    extra: str = "",
    more: str = "",
    body: str = "",
    out: str = "z",
) -> str:
    q, k, v, o = shapes
    return f"""net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, {q}] Q, float[4, {k}] K, float[4, {v}] V, float[{o}, 3] B {more}>
    {{ q = MatMul(x, Q)  k = MatMul(x, K)  v = MatMul(x, V) {body}
       {out} = com.microsoft.{op} <{attributes}> (q, k, v{extra})  y = MatMul(z, B) }}"""


_MASK = """net (float[n, 6, 4] x, int32[n, 6] mask) => (float[N, T, C] y)
    <float[4, 8] A, float[8, 36] W, float[36] w, float[12, 3] B>
    { h = MatMul(x, A) z = com.microsoft.Attention <num_heads = 3> (h, W, w, mask) y = MatMul(z, B) }"""
_QATTENTION = """net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 8] A, uint8[8, 36] W, float[36] w, float s = {{0.05}}, {scale}, uint8 o = {{128}}, float[12, 3] B>
    {{ h = MatMul(x, A) q = QuantizeLinear(h, s, o)
      z = com.microsoft.QAttention <num_heads = 3> (q, W, w, s, u, , o, p) y = MatMul(z, B) }}"""
_PACKED = """net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 36] Q, float[12, 3] B, int64[5] s = {0, 0, 3, 3, 4}>
    { q = MatMul(x, Q)  p = Reshape(q, s) z = com.microsoft.MultiHeadAttention <num_heads = 3> (p) y = MatMul(z, B) }"""
_PACKED_KV = """net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 12] Q, float[4, 24] K, float[12, 3] B, int64[5] s = {0, 0, 3, 2, 4}>
    { q = MatMul(x, Q)  k = MatMul(x, K) p = Reshape(k, s) z = com.microsoft.MultiHeadAttention <num_heads = 3> (q, p) y = MatMul(z, B) }"""
_SPLIT_KEYS = """net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 12] Q, float[4, 12] K, float[4, 12] V, float[12, 3] B, int64[4] s = {0, 0, 3, -1}>
    { q = MatMul(x, Q)  k = MatMul(x, K) v = MatMul(x, V) k4 = Reshape(k, s) v4 = Reshape(v, s)
      kt = Transpose <perm = [0, 2, 1, 3]> (k4) vt = Transpose <perm = [0, 2, 1, 3]> (v4)
      z = com.microsoft.MultiHeadAttention <num_heads = 3> (q, kt, vt) y = MatMul(z, B) }"""
_LENGTHS = "one = Constant <value_ints = [1]> () b = Shape <end = 1> (x) five = ConstantOfShape <value = int32[1] {5}> (b) "
_GQA = ", , , five, six"
_SIX = ", int32 six = {6}"
_GQA_PACKED = f"""net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 192] Q, float[96, 3] B, int32 six = {{6}}>
    {{ q = MatMul(x, Q) {_LENGTHS}
      z, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 6, kv_num_heads = 3> (q, , , , , five, six) y = MatMul(z, B) }}"""


def _rotary(
    attributes: str,
    *,
    pairs: int = 2,
    shape: str = "",
    body: str = "i = Identity(h)",
    back: str = "z = Relu(o)",
) -> str:
    return f"""net (float[n, 6, 4] x) => (float[N, T, C] y)
    <float[4, 12] A, float[12, 3] B, float[6, {pairs}] c, float[6, {pairs}] s, int64[1] p = {{0}} {shape}>
    {{ h = MatMul(x, A) {body} o = com.microsoft.RotaryEmbedding <{attributes}> (i, p, c, s) {back} y = MatMul(z, B) }}"""


def _three(body: str, width: int, attributes: str = "") -> str:
    """Three heads, the first 12 slots of each turned by three positions."""
    op = f"com.microsoft.MRotaryEmbedding <num_heads = 3, mrope_section = [2, 1, 3]{attributes}>"
    return tokens(
        "e = Shape <end = 2> (x) three = Constant <value_ints = [3]> () l = Concat <axis = 0> (three, e) "
        "p = ConstantOfShape <value = int64[1] {2}> (l) " + body.format(op),
        f"float[9, 6] c, float[9, 6] s, int64[4] r = {{0, 0, 3, {width}}}, int64[3] m = {{0, 0, {3 * width}}}",
        h=3 * width,
    )


CASES = (
    _ms("Attention", _projected("num_heads = 3"), "W[1] A[1]"),
    _ms(
        "Attention",
        _projected("num_heads = 3, unidirectional = 1, scale = 0.3"),
        "W[1] A[1]",
        what="causal, a scale",
    ),
    _ms(
        "Attention",
        _projected("num_heads = 3, qkv_hidden_sizes = [12, 12, 18]", w=42, o=18),
        "W[1] A[1]",
        what="wider values",
    ),
    _ms("Attention", _MASK, "W[1] A[1]", what="a mask"),
    _ms(
        "Attention",
        _projected("num_heads = 3", ", float[1, 3, 6, 6] r", ", , , r"),
        "W[1] A[1]",
        what="a bias for each head",
    ),
    _ms(
        "Attention",
        _projected("num_heads = 3", ", float[2, 1, 3, 2, 4] p", ", , p")
        .replace("float[n,", "float[1,")
        .replace(" z = ", " z, k = "),
        "W[1] A[1]",
        what="stored keys and values of earlier steps",
        frozen={"p[0]": "keys and values", "p[3]": "positions"},
    ),
    _ms(
        "QAttention",
        _QATTENTION.format(scale="float u = {0.02}, uint8 p = {128}, float[2, 1, 3, 2, 4] e")
        .replace("float[n,", "float[1,")
        .replace("num_heads = 3", "num_heads = 3, unidirectional = 1")
        .replace("o, p)", "o, p, e)")
        .replace(" z = ", " z, k = "),
        "W[1] A[1]",
        what="stored keys and values of earlier steps",
        frozen={"e[0]": "keys and values"},
    ),
    _ms("QAttention", _QATTENTION.format(scale="float u = {0.02}, uint8 p = {128}"), "W[1] A[1]"),
    _ms(
        "QAttention",
        _QATTENTION.format(scale="float[36] u, uint8[36] p"),
        "W[1] A[1]",
        what="a scale for each column",
        given={"u": [0.02] * 36, "p": [110] * 36},
    ),
    _ms("MultiHeadAttention", _separate("MultiHeadAttention", "num_heads = 3", (12, 12, 12, 12)), "Q[1]"),
    _ms(
        "MultiHeadAttention",
        _separate(
            "MultiHeadAttention", "num_heads = 3, scale = 0.0", (12, 12, 18, 18), ", w", ", float[42] w"
        ),
        "Q[1]",
        what="wider values and a bias",
    ),
    _ms(
        "MultiHeadAttention",
        _separate(
            "MultiHeadAttention", "num_heads = 3", (12, 12, 12, 12), ", , , r", ", float[1, 3, 6, 6] r"
        ),
        "Q[1]",
        what="a bias for each head on the scores",
    ),
    _ms("MultiHeadAttention", _PACKED, "Q[1]", what="packed", runs=False),
    _ms("MultiHeadAttention", _PACKED_KV, "Q[1]", what="packed keys and values", runs=False),
    _ms("MultiHeadAttention", _SPLIT_KEYS, "Q[1]", what="keys split by heads"),
    _ms(
        "GroupQueryAttention",
        _separate(
            "GroupQueryAttention",
            "num_heads = 6, kv_num_heads = 3",
            (96, 48, 48, 96),
            _GQA,
            _SIX,
            _LENGTHS,
            "z, pk, pv",
        ),
        "Q[1]",
    ),
    _ms("GroupQueryAttention", _GQA_PACKED, "Q[1]", what="packed"),
    _ms(
        "GroupQueryAttention",
        _separate(
            "GroupQueryAttention",
            "num_heads = 6, kv_num_heads = 3, do_rotary = 1",
            (192, 96, 96, 192),
            _GQA + ", c, s",
            _SIX + ", float[6, 16] c, float[6, 16] s",
            _LENGTHS,
            "z, pk, pv",
        ),
        "Q[1]",
        what="rotary",
    ),
    _ms("RotaryEmbedding", _rotary("interleaved = 0"), "A[1]"),
    _ms("RotaryEmbedding", _rotary("interleaved = 1"), "A[1]", what="neighbours"),
    _ms(
        "RotaryEmbedding",
        _rotary("num_heads = 3, rotary_embedding_dim = 2", pairs=1),
        "A[1]",
        what="a part of each head",
    ),
    _ms(
        "RotaryEmbedding",
        _rotary(
            "scale = 1.0",
            shape=", int64[4] r = {0, 0, 3, 4}, int64[3] m = {0, 0, 12}",
            body="h4 = Reshape(h, r) i = Transpose <perm = [0, 2, 1, 3]> (h4)",
            back="u = Transpose <perm = [0, 2, 1, 3]> (o) z = Reshape(u, m)",
        ),
        "A[1]",
        what="4-D",
    ),
    _ms(
        "MRotaryEmbedding",
        _three("o = {} (h, p, c, s) z = Relu(o)", 12),
        "A[1]",
        frozen={"A[1].2": "turn together"},
    ),
    _ms(
        "MRotaryEmbedding",
        _three(
            "f = Reshape(h, r) i = Transpose <perm = [0, 2, 1, 3]> (f) o = {} (i, p, c, s) "
            "u = Transpose <perm = [0, 2, 1, 3]> (o) z = Reshape(u, m)",
            14,
            ", rotary_embedding_dim = 12, mrope_layout = 1",
        ),
        "A[1]",
        frozen={"A[1].3": "three positions in turn"},
        what="4-D, a part of each head",
    ),
    _ms(
        "LinearAttentionGate",
        tokens(
            "g = MatMul(x, G) d, b = com.microsoft.LinearAttentionGate(h, t0, s0, g) z = Mul(d, b)",
            "float[4, 12] G, float[12] t0, float[12] s0",
        ),
        "A[1]",
    ),
    _ms(
        "LinearAttention",
        _separate(
            "LinearAttention",
            'q_num_heads = 6, kv_num_heads = 3, update_rule = "linear"',
            (24, 12, 12, 24),
            out="z, s",
        ),
        "Q[1]",
    ),
)
