"""Operators that move, regroup, repeat or drop slots, and those that speak of shapes."""

from __future__ import annotations

from tests.rules.building import Case, flat, image, tokens

_TO_HEADS = "int64[4] heads = {0, 0, 3, 4}, int64[3] back = {0, 0, 12}"
_FROM_SHAPE = """s = Shape(h)  n = Gather(s, zero)  t = Gather(s, one)  d = Gather(s, two)
    e = Div(d, three)  f = Concat <axis = 0> (n, t, three, e)  k = Reshape(h, f)  r = Relu(k)
    g = Concat <axis = 0> (n, t, d)  z = Reshape(r, g)"""
_INTS = "int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}"
_SHUFFLE = "k = Reshape(h, s)  t = Transpose <perm = [0, 2, 1, 3, 4]> (k)  z = Reshape(t, m)"
_GRID = """net (float[n, 3, 6, 6] x, float[n, 4, 4, 2] g) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, float[5, 8, 1, 1] B> { h = Conv(x, A)  z = GridSample(h, g)  y = Conv(z, B) }"""
_ROIS = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, float[2, 4] rois = {0, 0, 4, 4, 1, 1, 5, 5}, int64[2] at = {0, 0}, float[5, 8, 1, 1] B>
    { h = Conv(x, A)  z = RoiAlign <output_height = 3, output_width = 3> (h, rois, at)  y = Conv(z, B) }"""
_MAX_ROIS = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, float[2, 5] rois = {0, 0, 0, 4, 4, 0, 1, 1, 5, 5}, float[5, 8, 1, 1] B>
    { h = Conv(x, A)  z = MaxRoiPool <pooled_shape = [3, 3]> (h, rois)  y = Conv(z, B) }"""
_TABLE = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] E, float[8, 3] B>
    {{ i = ArgMax <axis = 1> (x)  {}  r = Relu(h)  y = MatMul(r, B) }}"""
_EMBEDDING = """net (int64[n, t] i) => (float[N, T, V] y) <float[20, 8] E, float[8, 3] B>
    { h = Gather(E, i)  r = Relu(h)  y = MatMul(r, B) }"""


def _sized(op: str, attributes: str, inputs: str, weights: str, what: str, opset: int = 18) -> Case:
    return Case(op, image(f"z = {op} <{attributes}> (h{inputs})", weights), "A[0]", what=what, opset=opset)


_WRITTEN = """net (float[n, 4] x) => (float[n, 3] y)
    <float[4, 12] A, float[12] a, float[4, 6] U, int64[6, 1] i, float[12, 3] B>
    {{ h = Gemm(x, A, a) t = Transpose(h) u0 = MatMul(x, U) u = Transpose(u0) s = ScatterND {} (t, i, u)
       z0 = Transpose(s) z = Relu(z0) y = MatMul(z, B) }}"""

CASES = (
    Case("Transpose", flat("t = Transpose(h) u = Relu(t) z = Transpose <perm = [1, 0]> (u)"), "A[1]"),
    Case(
        "Squeeze",
        tokens("k = Unsqueeze(h, i) r = Relu(k) z = Squeeze(r, i)", "int64[1] i = {1}"),
        "A[1]",
        what="axes as input",
    ),
    Case(
        "Squeeze",
        tokens("k = Unsqueeze <axes = [3]> (h) r = Relu(k) z = Squeeze <axes = [3]> (r)"),
        "A[1]",
        what="axes as attribute",
        opset=12,
    ),
    Case(
        "Squeeze",
        tokens("k = Unsqueeze(h, i) r = Relu(k) z = Squeeze(r)", "int64[1] i = {1}"),
        "A[1]",
        what="all axes of size 1",
    ),
    Case(
        "Unsqueeze",
        tokens("z = Unsqueeze(h, i)", "int64[2] i = {0, 3}", rank=5, z=1)
        .replace("float[1, 3] B", "float[12, 3] B")
        .replace("{0, 3}", "{0, -2}"),
        "A[1]",
        what="axes as input",
    ),
    Case(
        "Unsqueeze",
        tokens("z = Unsqueeze <axes = [1]> (h)", rank=4),
        "A[1]",
        what="axes as attribute",
        opset=12,
    ),
    Case(
        "Flatten",
        """net (float[n, 3, 4, 4] x) => (float[N, V] y) <float[6, 3, 3, 3] A, float[24, 5] B>
        { h = Conv(x, A)  z = Flatten(h)  y = MatMul(z, B) }""",
        "A[0]",
    ),
    Case("Flatten", tokens("z = Flatten <axis = 2> (h)", rank=2), "A[1]", what="axis 2"),
    Case(
        "Reshape",
        tokens("k = Reshape(h, heads) r = Relu(k) z = Reshape(r, back)", _TO_HEADS),
        "A[1]",
        what="zeros",
    ),
    Case(
        "Reshape",
        tokens(
            "k = Reshape(h, s) r = Relu(k) z = Reshape(r, m)",
            "int64[2] s = {-1, 12}, int64[3] m = {-1, 5, 12}",
            length="5",
        ),
        "A[1]",
        what="minus one",
    ),
    Case(
        "Reshape",
        tokens(
            "k = Reshape(h, s) r = Relu(k) z = Reshape(r, back)",
            "int64[4] s = {0, 0, -1, 4}, int64[3] back = {0, 0, -1}",
        ),
        "A[1]",
        what="minus one for the channels",
    ),
    Case("Reshape", tokens(_FROM_SHAPE, _INTS), "A[1]", what="target computed at run time"),
    Case("Reshape", tokens("s = Shape(h) k = Reshape(h, s) z = Relu(k)"), "A[1]", what="to its own shape"),
    Case(
        "Reshape",
        tokens(
            "k = Reshape <allowzero = 1> (h, s) r = Relu(k) z = Reshape(r, m)",
            "int64[3] s = {-1, 3, 4}, int64[3] m = {-1, 5, 12}",
            length="5",
        ),
        "A[1]",
        what="allowzero",
        opset=14,
    ),
    Case(
        "Reshape",
        image(_SHUFFLE, "int64[5] s = {0, 2, 4, 6, 6}, int64[4] m = {0, 8, 6, 6}"),
        "A[0]",
        what="channel shuffle",
    ),
    Case(
        "Reshape",
        image(
            "k = Reshape(h, s) t = Transpose <perm = [0, 2, 1]> (k) r = MatMul(t, W) u = Relu(r) "
            "v = Transpose <perm = [0, 2, 1]> (u) z = Reshape(v, m)",
            "int64[3] s = {0, 8, -1}, float[8, 10] W, int64[4] m = {0, 10, 6, 6}",
            z=10,
        ),
        "A[0] W[1]",
        what="space to tokens and back",
    ),
    Case(
        "Expand",
        tokens(
            "k = Reshape(h, heads) u = Unsqueeze(k, i) e = Expand(u, w) z = Reshape(e, m)",
            "int64[4] heads = {0, 0, 3, 4}, int64[1] i = {3}, int64[5] w = {1, 1, 1, 2, 1}, int64[3] m = {0, 0, 24}",
            z=24,
        ),
        "A[1]",
        what="repeated heads",
    ),
    Case(
        "Expand",
        flat("s = Shape(h) e = Expand(v, s) z = Add(h, e)", "float[1, 8] v"),
        "A[1]",
        what="to a shape taken at run time",
    ),
    Case(
        "Expand",
        flat("e = Expand(h, s) z = Relu(e)", "int64[2] s = {1, 8}"),
        "A[1]",
        what="nothing to stretch",
    ),
    Case(
        "Expand",
        flat("g = Gemm(x, G) e = Expand(g, s) z = Mul(h, e)", "float[4, 1] G, int64[2] s = {1, 8}"),
        "A[1]",
        what="one slot becomes many",
    ),
    *(
        Case(
            "Expand",
            flat(
                "s = Shape(h) e = Expand(v, s) c = Add(h, e) r = ReduceL2(c, axes) z = Mul(h, r)",
                f"float v = {{{value}}}, int64[1] axes = {{1}}",
            ),
            **expected,  # type: ignore[arg-type]
            what=f"a state of {value}",
        )
        for value, expected in (
            ("0", {"cut": "A[1]"}),
            ("0.5", {"approximate": {"A[1]": "do not hold zero"}}),
        )
    ),
    Case(
        "ConstantOfShape",
        flat("c = ConstantOfShape <value = float[1] {0.5}> (s) z = Add(h, c)", "int64[1] s = {8}"),
        "A[1]",
    ),
    Case(
        "ConstantOfShape",
        tokens("p = Shape(h) c = ConstantOfShape <value = float[1] {0.5}> (p) z = Mul(h, c)"),
        "A[1]",
        what="as large as an activation",
    ),
    Case(
        "Tile",
        image("t = Tile(h, r) z = Relu(t)", "int64[4] r = {1, 2, 1, 1}", z=16),
        "A[0]",
        what="channels",
    ),
    Case(
        "Tile",
        flat("g = Gemm(x, G) t = Tile(g, r) z = Mul(h, t)", "float[4, 1] G, int64[2] r = {1, 8}"),
        "A[1]",
        what="one slot becomes many",
    ),
    Case("Tile", image("t = Tile(h, r) z = Relu(t)", "int64[4] r = {1, 1, 2, 1}"), "A[0]", what="space"),
    Case(
        "Concat",
        image(
            "g = Conv <pads = [1, 1, 1, 1]> (h, W) z = Concat <axis = 1> (h, g)", "float[6, 8, 3, 3] W", z=14
        ),
        "A[0] W[0]",
    ),
    Case(
        "Concat",
        flat("z = Concat <axis = -1> (h, x, h)", z=20),
        "A[1]",
        what="with an input, and one operand twice",
    ),
    Case(
        "Concat",
        tokens(
            "c = Expand(v, s) z = Concat <axis = 1> (c, h)",
            "float[1, 1, 12] v, int64[3] s = {1, 1, 12}",
            rank=3,
        ).replace("float[n, t, 4] x", "float[1, t, 4] x"),
        "A[1]",
        what="a class token",
    ),
    Case(
        "Split",
        flat(
            "p, q = Split <axis = 1> (h, s) r = Relu(q) z = Concat <axis = 1> (r, p)", "int64[2] s = {3, 5}"
        ),
        "A[1] A[1].2",
        what="sizes as input",
    ),
    Case(
        "Split",
        flat("p, q = Split <axis = 1, split = [3, 5]> (h) r = Relu(q) z = Concat <axis = 1> (r, p)"),
        "A[1] A[1].2",
        what="sizes as attribute",
        opset=11,
    ),
    Case(
        "Split",
        flat("p, q = Split <axis = 1, num_outputs = 2> (h) s = Sigmoid(p) z = Mul(s, q)", z=4),
        "A[1]",
        what="number of outputs",
    ),
    Case(
        "Split",
        flat("p, q, r = Split <axis = -1, num_outputs = 3> (h) z = Concat <axis = 1> (r, p, q)"),
        "A[1] A[1].2 A[1].3",
        what="number of outputs, uneven",
    ),
    Case(
        "Split",
        flat("p, q = Split <axis = 1> (h) s = Sigmoid(p) z = Mul(s, q)", z=4),
        "A[1]",
        what="equal parts, opset 13",
        opset=13,
    ),
    Case(
        "Slice",
        flat(
            "p = Slice(h, b, e, k) z = Relu(p)", "int64[1] b = {2}, int64[1] e = {7}, int64[1] k = {1}", z=5
        ),
        "A[1] A[1].2",
        what="inputs",
    ),
    Case(
        "Slice",
        flat("p = Slice <starts = [-6], ends = [100], axes = [1]> (h) z = Relu(p)", z=6),
        "A[1] A[1].2",
        what="attributes",
        opset=9,
    ),
    Case(
        "Slice",
        flat("p = Slice(h, b, e) z = Relu(p)", "int64[2] b = {0, 0}, int64[2] e = {9999, 5}", z=5),
        "A[1] A[1].2",
        what="no axes",
    ),
    Case(
        "Slice",
        flat(
            "z = Slice(h, b, e, k, s)",
            "int64[1] b = {-1}, int64[1] e = {-9999}, int64[1] k = {1}, int64[1] s = {-1}",
        ),
        "A[1]",
        what="reversed",
    ),
    Case(
        "Slice",
        flat(
            "p = Slice(h, b0, e, k, s) q = Slice(h, b1, e, k, s) z = Mul(p, q)",
            "int64[1] b0 = {0}, int64[1] b1 = {1}, int64[1] e = {9999}, int64[1] k = {1}, int64[1] s = {2}",
            z=4,
        ),
        "A[1]",
        frozen={"A[1].2": "one slot in 2"},
        what="even and odd",
    ),
    Case(
        "Slice",
        image(
            "p = Slice(h, b, e, k, s) z = Relu(p)",
            "int64[2] b = {0, 1}, int64[2] e = {99, 99}, int64[2] k = {2, 3}, int64[2] s = {2, 2}",
        ),
        "A[0]",
        what="space",
    ),
    Case(
        "Slice",
        flat(
            "s = Shape(h) w = Gather(s, one) u = Div(w, two) p = Slice(h, zero, u, one) q = Slice(h, u, w, one) "
            "r = Sigmoid(q) z = Mul(p, r)",
            "int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}",
            z=4,
        ),
        "A[1]",
        what="bounds computed at run time",
    ),
    Case(
        "Gather",
        _EMBEDDING,
        "E[1]",
        what="an embedding",
    ),
    Case(
        "Gather",
        _EMBEDDING.replace(
            "h = Gather(E, i)", "two = Constant <value = int64 {2}> () d = Div(i, two) h = Gather(E, d)"
        ),
        "E[1]",
        what="rows by computed numbers",
        frozen={"E[0]": "looked up with an index computed at run time"},
    ),
    Case(
        "Gather",
        flat("g = Gather <axis = 1> (h, i) z = Relu(g)", "int64[8] i = {3, 1, 7, 5, 0, 2, 6, 4}"),
        "A[1]",
        what="a permutation",
    ),
    Case(
        "Gather",
        flat("g = Gather <axis = 1> (h, i) z = Relu(g)", "int64[4] i = {4, 5, 6, -1}", z=4),
        "A[1] A[1].2",
        what="a run",
    ),
    Case(
        "Gather",
        tokens(
            "k = Reshape(h, s) t = Transpose <perm = [2, 0, 1, 3]> (k) p = Gather(t, zero) q = Gather(t, one) "
            "r = Sigmoid(p) z = Mul(q, r)",
            "int64[4] s = {0, 0, 2, 6}, int64 zero = {0}, int64 one = {1}",
            z=6,
        ),
        "A[1]",
        what="parts of a fused projection",
    ),
    Case("GatherND", _TABLE.format("h = GatherND(E, i)"), "E[1]", frozen={"E[0]": "graph input"}),
    Case(
        "GatherElements",
        flat("g = GatherElements <axis = 0> (h, i) z = Relu(g)", "int64[1, 8] i"),
        "A[1]",
        given={"i": [0] * 8},
        what="rows",
    ),
    Case(
        "GatherElements",
        flat(
            "g = MatMul(h, W) i = ArgMax <axis = 1> (x) z = GatherElements <axis = 1> (g, i)",
            "float[8, 8] W",
            z=1,
        ),
        "A[1]",
        frozen={"W[1]": "picked by value"},
        what="channels",
    ),
    *(
        Case(
            op,
            flat(f"g = {op} <axis = 0> (h, i, v) z = Relu(g)", "int64[1, 8] i, float[1, 8] v"),
            "A[1]",
            given={"i": [0] * 8},
            opset=opset,
        )
        for op, opset in (("ScatterElements", 18), ("Scatter", 9))
    ),
    Case(
        "ScatterND", flat("g = ScatterND(h, i, v) z = Relu(g)", "int64[1, 1] i = {0}, float[1, 8] v"), "A[1]"
    ),
    Case(
        "Compress", flat("g = Compress <axis = 0> (h, c) z = Relu(g)", "bool[1] c = {1}"), "A[1]", what="rows"
    ),
    Case(
        "Compress",
        flat(
            "g = Compress <axis = 1> (h, c) z = Relu(g)",
            "bool[12] c",
            h=12,
            z=8,
        ),
        "A[1] A[1].2",
        what="channels",
        given={"c": [1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1]},
    ),
    Case(
        "Compress",
        flat("g = MatMul(h, W) z = Compress <axis = -1> (g, c)", "float[8, 8] W, bool[6] c", z=3),
        "A[1] W[1] W[1].2 W[1].3",
        what="channels, the last of them unsaid",
        given={"c": [1, 0, 0, 0, 1, 1]},
    ),
    Case(
        "Compress",
        flat(
            "m = ReduceMax(h, o) g = Compress(m, c) z = Unsqueeze(g, o)",
            "bool[8] c, int64[1] o = {0}",
            z=4,
        ),
        "A[1] A[1].2",
        what="elements of the whole",
        given={"c": [1, 0, 1, 0, 1, 1, 0, 0]},
    ),
    Case(
        "Compress",
        flat(
            "d = Greater(h, t) e = Gather(d, o) g = Compress <axis = 1> (h, e) z = Relu(g)",
            "float t = {-100.0}, int64 o = {0}",
        ),
        frozen={"A[1]": "chosen by value"},
        what="channels, chosen by what they hold",
    ),
    Case(
        "GatherND",
        flat(
            "t = Transpose(h) g = GatherND(t, i) u = Transpose(g) z = Relu(u)",
            "int64[6, 1] i = {0, -1, 1, 4, 9, 5}",
            h=12,
            z=6,
        ),
        "A[1] A[1].2",
        what="channels",
    ),
    Case(
        "GatherND",
        flat(
            "t = Transpose(h) g = GatherND <batch_dims = 1> (t, i) z = Unsqueeze(g, o)",
            "int64[8, 1] i, int64[1] o = {0}",
        ),
        "A[1]",
        what="the batch holds channels",
        given={"i": [0] * 8},
    ),
    Case(
        "GatherND",
        flat(
            "t = Transpose(h) g = GatherND(t, i) v = Unsqueeze(g, o) u = Concat <axis = 0> (t, v) "
            "z = Transpose(u)",
            "int64[1] i = {5}, int64[1] o = {0}",
            z=9,
        ),
        "A[1] A[1].2",
        what="one channel",
    ),
    Case(
        "Gather",
        flat(
            "g = Gather <axis = 1> (h, i) s = Squeeze(g, o) z = Relu(s)",
            "int64[1, 4] i = {7, 0, 2, 3}, int64[1] o = {1}",
            z=4,
        ),
        "A[1] A[1].2",
        what="channels by a table of one row",
    ),
    Case(
        "ScatterND",
        _WRITTEN.format(""),
        "A[1] A[1].2",
        what="stored places",
        given={"i": [9, -12, 1, 4, 2, 7]},
    ),
    Case(
        "ScatterND",
        _WRITTEN.format('<reduction = "mul">'),
        "A[1] A[1].2 A[1].3",
        what="a run of stored places, multiplied",
        given={"i": [3, 4, 5, 6, 7, 8]},
    ),
    Case(
        "ScatterND",
        _WRITTEN.format('<reduction = "add">'),
        frozen={"A[1]": "written by value"},
        what="stored places, one of them twice",
        given={"i": [9, 0, 1, 4, 2, 9]},
    ),
    Case(
        "ScatterND",
        _WRITTEN.format("")
        .replace("y = MatMul", "q = ReduceSumSquare(z, o) v = Mul(q, b) w = Add(v, z) y = MatMul")
        .replace("(z, B)", "(w, B)")
        .replace("float[12, 3] B", "float[12, 3] B, int64[1] o = {1}, float[12] b"),
        "A[1]",
        approximate={"A[1].2": "do not hold zero"},
        what="stored places, summed where nothing is written",
        given={"i": [9, 0, 1, 4, 2, 7]},
    ),
    Case(
        "DFT",
        tokens(
            "r = Reshape(h, s) d = DFT <axis = 1> (r) f = ReduceSum <keepdims = 0> (d, o) z = Relu(f)",
            "int64[4] s = {0, 6, 12, 1}, int64[1] o = {3}",
            length="6",
        ),
        "A[1]",
    ),
    Case(
        "DFT",
        tokens(
            "r = Reshape(h, s) d = DFT(r, , at) e = Mul(d, g) i = DFT <inverse = 1> (e, , at) "
            "f = ReduceSum <keepdims = 0> (i, o) z = Relu(f)",
            "int64[4] s = {0, 6, 12, 1}, int64[1] o = {3}, int64 at = {-3}, float[6, 12, 2] g",
            length="6",
        ),
        "A[1]",
        frozen={"g[0]": "made by DFT", "g[2]": "made by DFT"},
        what="there and back, the axis as input",
        opset=20,
    ),
    Case(
        "DFT",
        tokens(
            "r = Unsqueeze(h, o) d = DFT(r) f = ReduceSum <keepdims = 0> (d, o) z = Relu(f)",
            "int64[1] o = {3}",
        ),
        frozen={"A[1]": "transformed by DFT"},
        what="channels",
        opset=20,
    ),
    Case(
        "Det",
        tokens("r = Reshape(h, s) d = Det(r) z = Relu(d)", "int64[5] s = {0, 0, 8, 3, 3}", h=72, z=8),
        "A[1]",
        frozen={"A[1].2": "told apart", "A[1].3": "told apart"},
    ),
    Case(
        "Pad",
        image("p = Pad(h, a4) z = Relu(p)", "int64[8] a4 = {0, 0, 1, 1, 0, 0, 1, 1}"),
        "A[0]",
        what="space, amounts as input",
    ),
    Case(
        "Pad",
        image('p = Pad <mode = "reflect"> (h, a4) z = Relu(p)', "int64[8] a4 = {0, 0, 1, 1, 0, 0, 1, 1}"),
        "A[0]",
        what="reflected",
    ),
    Case(
        "Pad",
        image("p = Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1]> (h) z = Relu(p)"),
        "A[0]",
        what="space, amounts as attribute",
        opset=9,
    ),
    Case(
        "Pad",
        image(
            "p = Pad(h, a4, v) q = Conv <pads = [1, 1, 1, 1]> (h, W) z = Add(p, q)",
            "int64[8] a4 = {0, 1, 0, 0, 0, 3, 0, 0}, float v = {0}, float[12, 8, 3, 3] W",
            z=12,
        ),
        "W[0] A[0]",
        what="channels",
    ),
    Case(
        "Pad",
        image(
            "p = Pad(h, a4, v, axes) z = Relu(p)",
            "int64[2] a4 = {0, 2}, float v = {0.5}, int64[1] axes = {1}",
            z=10,
        ),
        "A[0] B[1]",
        what="channels by axis",
    ),
    Case(
        "Pad",
        image(
            'p = Pad <mode = "edge"> (h, a4) q = Conv(p, W) z = Relu(q)',
            "int64[8] a4 = {0, 1, 0, 0, 0, 1, 0, 0}, float[6, 10, 1, 1] W",
            z=6,
        ),
        "W[0]",
        frozen={"A[0]": "padded by"},
        what="channels, edge",
    ),
    _sized("Resize", 'mode = "nearest"', ", , s", "float[4] s = {1, 1, 2, 2}", "scales"),
    Case(
        "Resize",
        image('z = Resize <mode = "nearest"> (h, , , s)', "int64[4] s = {2, 8, 9, 9}").replace(
            "float[n, 3", "float[2, 3"
        ),
        "A[0]",
        what="sizes",
    ),
    _sized(
        "Resize", 'mode = "linear", axes = [2, 3]', ", , , s", "int64[2] s = {9, 12}", "sizes of some axes"
    ),
    _sized(
        "Resize",
        'mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize"',
        ", roi, s",
        "float[8] roi = {0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9}, float[4] s = {1, 1, 2, 2}",
        "a part is cut out",
    ),
    _sized("Resize", 'mode = "nearest"', ", s", "float[4] s = {1, 1, 2, 2}", "opset 10", 10),
    _sized("Upsample", 'mode = "nearest"', ", s", "float[4] s = {1, 1, 2, 2}", "scales as input", 9),
    _sized("Upsample", 'mode = "nearest", scales = [1.0, 1.0, 2.0, 2.0]', "", "", "scales as attribute", 7),
    Case(
        "Shape",
        tokens("s = Shape <start = 2> (h) f = Cast <to = 1> (s) r = Sqrt(f) z = Div(h, r)"),
        "A[1]",
        what="a width used as a number",
    ),
    Case(
        "Shape",
        tokens("s = Shape(h) d = Gather(s, two) f = Cast <to = 1> (d) z = Mul(h, f)", "int64[1] two = {2}"),
        "A[1]",
        what="one size picked",
    ),
    Case("Size", tokens("s = Size(h) f = Cast <to = 1> (s) r = Sqrt(f) z = Div(h, r)"), "A[1]"),
    Case("GridSample", _GRID, "A[0]", opset=20),
    Case("RoiAlign", _ROIS, "A[0]"),
    Case("MaxRoiPool", _MAX_ROIS, "A[0]"),
    Case(
        "Trilu",
        tokens("t = Transpose <perm = [0, 2, 1]> (h) q = MatMul(h, t) u = Trilu(q) z = MatMul(u, h)"),
        "A[1]",
    ),
    Case(
        "OneHot",
        """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, int64 d = {5}, float[2] v = {-1, 1}, float[8, 5, 3] B>
        { h = MatMul(x, A)  i = Cast <to = 7> (h)  a = Abs(i)  o = OneHot(a, d, v)
          y = Einsum <equation = "nhd,hdv->nv"> (o, B) }""",
        "A[1]",
        frozen={"B[1]": "classes told apart"},
    ),
    Case(
        "Range",
        tokens(
            "s = Shape(h) t = Gather(s, one) r = Range(zero, t, one) f = Cast <to = 1> (r) u = Unsqueeze(f, axis) z = Mul(h, u)",
            "int64 zero = {0}, int64 one = {1}, int64[1] axis = {1}",
        ),
        "A[1]",
    ),
    Case("Constant", flat("c = Constant <value_float = 0.5> () z = Mul(h, c)"), "A[1]"),
    Case(
        "RandomNormal", flat("r = RandomNormal <shape = [8], seed = 1.0, scale = 0.0000001> () z = Add(h, r)")
    ),
    Case(
        "RandomUniform",
        flat("r = RandomUniform <shape = [1], seed = 1.0, low = 0.5, high = 0.5000001> () z = Add(h, r)"),
        "A[1]",
    ),
    Case(
        "Multinomial",
        flat(
            "g = MatMul(h, W) p = Mul(g, big) m = Multinomial <sample_size = 1, seed = 1.0> (p) f = Cast <to = 1> (m) z = Add(h, f)",
            "float[8, 5] W, float big = {1e6}",
        ),
        "A[1]",
        frozen={"W[1]": "Multinomial"},
    ),
    *(
        Case(
            op,
            flat(f"e = Shape <start = 1> (h) i = Squeeze(e) w = {op}(i) z = Mul(h, w)"),
            frozen={"A[1]": "made by"},
        )
        for op in ("BlackmanWindow", "HammingWindow", "HannWindow")
    ),
    Case(
        "MelWeightMatrix",
        flat(
            "e = Shape <start = 1> (h) i = Squeeze(e) b = Sub(i, two) w = MelWeightMatrix(b, l, r, lo, hi) z = MatMul(h, w)",
            "int64 two = {2}, int64 l = {14}, int64 r = {8192}, float lo = {0}, float hi = {4096}",
            z=6,
        ),
        frozen={"A[1]": "made by"},
    ),
    Case(
        "ReverseSequence",
        tokens(
            "z = ReverseSequence <batch_axis = 1, time_axis = 0> (h, l)",
            "int64[5] l = {1, 1, 1, 1, 1}",
            length="5",
        ),
        "A[1]",
    ),
    Case(
        "TensorScatter",
        tokens(
            "c = MatMul(x, C) u = ReduceMax <keepdims = 1> (h, one) z = TensorScatter <axis = 1> (c, u)",
            "float[4, 12] C, int64[1] one = {1}",
        ),
        "A[1]",
        opset=24,
    ),
    Case(
        "CenterCropPad",
        image("z = CenterCropPad(h, s)", "int64[4] s = {-1, 8, 4, 4}")
        .replace("{-1, 8", "{2, 8")
        .replace("[n, 3", "[2, 3"),
        "A[0]",
    ),
    Case(
        "CenterCropPad",
        flat("z = CenterCropPad <axes = [1]> (h, s)", "int64[1] s = {6}", z=6),
        frozen={"A[1]": "cropped"},
        what="along the slots",
    ),
    Case(
        "Col2Im",
        tokens(
            "t1 = Transpose <perm = [0, 2, 1]> (h) i = Col2Im(t1, p, b) f = Reshape(i, s) z = Transpose <perm = [0, 2, 1]> (f)",
            "int64[2] p = {4, 4}, int64[2] b = {2, 2}, int64[3] s = {0, 3, 16}",
            length="9",
            z=3,
        ),
        "A[1]",
        frozen={"A[1].2": "places inside a patch"},
    ),
    Case(
        "EyeLike",
        tokens("e = Reshape(h, s) i = EyeLike(e) z = Mul(e, i)", "int64[2] s = {-1, 12}", rank=2),
        frozen={"A[1]": "positions"},
    ),
)
