"""Pooling, reductions, and operators that compare or sort the slots of an axis."""

from __future__ import annotations

from tests.rules.building import Case, flat, image, tokens

_SUMS = ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
_COMPARED = ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp")
_PICKED = ("ReduceMax", "ReduceMin")
_REDUCTIONS = (*_SUMS, "ReduceMean", *_COMPARED)
_SPACE = "int64[2] axes = {2, 3}"
_CHANNELS = "int64[1] axes = {1}"
_OUTER = "net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y) <float[8, 3, 3, 3] A, float[8] a, float[6, 8, 1, 1] W, float[5, 6, 1, 1] B, {weights}>"


def _over_space(op: str) -> Case:
    """Positive numbers, so that logarithms exist."""
    return Case(
        op,
        image(f"s = Mul(h, small) p = Exp(s) z = {op}(p, axes)", f"{_SPACE}, float small = {{0.05}}"),
        "A[0]",
        what="over space",
    )


def _over_channels(op: str) -> Case:
    """The channels of a second layer W are reduced; the first layer keeps its freedom."""
    text = f"""{_OUTER.format(weights=_CHANNELS)}
        {{ h = Conv(x, A, a)  g = Conv(h, W)  p = Exp(g)  r = {op}(p, axes)  s = Mul(g, r)  y = Conv(s, B) }}"""
    if op in _PICKED:
        return Case(op, text, "A[0]", {"W[0]": "compared slot by slot"}, what="over channels")
    if op in _COMPARED:
        return Case(op, text, "A[0]", what="over channels", frozen={"W[0]": "compared slot by slot"})
    why = "normalised over" if op == "ReduceMean" else "do not hold zero"
    return Case(op, text, "A[0]", {"W[0]": why}, what="over channels")


def _of_zeros(op: str) -> Case:
    """Slots that hold zero once their weights are zero may be summed."""
    text = tokens(f"p = Abs(h) s = {op}(p, axes) z = Mul(h, s)", "int64[1] axes = {2}")
    return Case(op, text, "A[1]", what="of slots that hold zero")


_POOLS = {
    "MaxPool": "kernel_shape = [2, 2], strides = [2, 2]",
    "AveragePool": "kernel_shape = [3, 3], pads = [1, 1, 1, 1]",
    "LpPool": "kernel_shape = [2, 2], p = 2",
}

CASES = (
    *(Case(op, image(f"z = {op} <{attributes}> (h)"), "A[0]") for op, attributes in _POOLS.items()),
    Case(
        "MaxPool",
        image(
            "p, i = MaxPool <kernel_shape = [2, 2]> (h) f = Cast <to = 1> (i) g = Mul(f, small) z = Add(p, g)",
            "float small = {0.001}",
        ),
        frozen={"A[0]": "told apart"},
        what="positions are used",
    ),
    *(
        Case(op, image(f"z = {op}(h)"), "A[0]")
        for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    ),
    *(_over_space(op) for op in _REDUCTIONS),
    *(_over_channels(op) for op in _REDUCTIONS),
    *(_of_zeros(op) for op in _SUMS),
    Case(
        "ReduceSum",
        image("p = ReduceSum <axes = [2, 3]> (h) z = Relu(p)"),
        "A[0]",
        what="axes as attribute",
        opset=12,
    ),
    Case(
        "ReduceMean",
        image("p = ReduceMean <axes = [-1, -2]> (h) z = Relu(p)"),
        "A[0]",
        what="axes as attribute",
        opset=13,
    ),
    Case(
        "ReduceMax",
        """net (float[n, 3, 6, 6] x) => (float[N, V] y) <float[8, 3, 1, 1] A, int64[2] axes = {2, 3}, float[8, 4] B>
        { h = Conv(x, A)  z = ReduceMax <keepdims = 0> (h, axes)  y = MatMul(z, B) }""",
        "A[0]",
        what="axes dropped",
    ),
    Case(
        "ReduceSum",
        flat("z = ReduceSum <noop_with_empty_axes = 1> (h)"),
        "A[1]",
        what="no axes, nothing to do",
    ),
    Case(
        "ReduceSum",
        flat("p = Abs(h) s = ReduceSum <keepdims = 0> (p) z = Mul(h, s)"),
        "A[1]",
        what="over everything",
    ),
    Case(
        "ReduceMean",
        flat("s = ReduceMean <keepdims = 0> (h) z = Mul(h, s)"),
        approximate={"A[1]": "normalised over"},
        what="over everything",
    ),
    # comparisons along one axis
    *(
        Case(
            op,
            image(f"p = {op} <axis = 1> (h) q = Conv(p, W) z = Relu(q)", "float[6, 8, 1, 1] W", z=6),
            "W[0]",
            frozen={"A[0]": "compared slot by slot"},
            what="over channels, opset 13",
        )
        for op in ("LogSoftmax", "Hardmax")
    ),
    Case(
        "Softmax",
        image("p = Softmax <axis = 1> (h) q = Conv(p, W) z = Relu(q)", "float[6, 8, 1, 1] W", z=6),
        "W[0]",
        approximate={"A[0]": "compared slot by slot"},
        what="over channels, opset 13",
    ),
    *(
        Case(op, image(f"z = {op} <axis = 2> (h)"), "A[0]", what="over space, opset 13")
        for op in ("Softmax", "LogSoftmax", "Hardmax")
    ),
    Case(
        "Softmax",
        image("z = Softmax <axis = 2> (h)"),
        "A[0]",
        what="over both axes of space, opset 11",
        opset=11,
    ),
    Case(
        "Softmax",
        image("p = Softmax(h) q = Conv(p, W) z = Relu(q)", "float[6, 8, 1, 1] W", z=6),
        "W[0]",
        frozen={"A[0]": "compared slot by slot"},
        what="over all but the batch, opset 11",
        opset=11,
    ),
    *(
        Case(op, image(f"i = {op} <axis = 2> (h) z = Cast <to = 1> (i)"), "A[0]", what="over space")
        for op in ("ArgMax", "ArgMin")
    ),
    *(
        Case(
            op,
            f"""net (float[n, 4] x) => (int64[N] y) <float[4, 8] A, float[8, 5] W>
        {{ h = MatMul(x, A)  r = Relu(h)  p = MatMul(r, W)  y = {op} <axis = -1, keepdims = 0> (p) }}""",
            "A[1]",
            frozen={"W[1]": "its positions are numbers given out"},
            what="over classes",
        )
        for op in ("ArgMax", "ArgMin")
    ),
    Case(
        "TopK",
        tokens("v, i = TopK <axis = 1> (h, k) z = Relu(v)", "int64[1] k = {2}"),
        "A[1]",
        what="over time",
    ),
    Case(
        "TopK",
        flat("g = MatMul(h, W) v, i = TopK (g, k) z = Relu(v)", "float[8, 6] W, int64[1] k = {3}", z=3),
        "A[1]",
        frozen={"W[1]": "sorted by"},
        what="over channels",
    ),
    Case("CumSum", tokens("z = CumSum(h, axis)", "int64 axis = {1}"), "A[1]", what="over time"),
    Case(
        "CumSum",
        flat("g = MatMul(h, W) z = CumSum(g, axis)", "float[8, 6] W, int64 axis = {1}", z=6),
        "A[1]",
        frozen={"W[1]": "summed up slot by slot"},
        what="over channels",
    ),
    Case(
        "CumProd",
        tokens("z = CumProd(h, axis)", "int64 axis = {1}"),
        "A[1]",
        what="along the sequence",
        opset=26,
    ),
    Case(
        "CumProd",
        flat("z = CumProd(h, axis)", "int64 axis = {1}"),
        frozen={"A[1]": "multiplied up"},
        opset=26,
    ),
)
