"""Along which axes a tensor varies that follows from one tensor whose only variation is known.

A linear operator without weights gives the same everywhere but along its channels. What operators make of
that stays the same everywhere, as long as they treat all places alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from graphprune.analysis.facts import NodeFacts

Axes = frozenset[int]
Shape = tuple[int, ...]

_POINTWISE = frozenset(
    "Abs Add BitShift Cast CastLike Ceil Celu Clip DequantizeLinear Div Dropout Elu Erf Exp Floor Gelu "
    "HardSigmoid HardSwish Identity LeakyRelu Log Max Mean Min Mish Mul Neg PRelu Pow QuantizeLinear "
    "Reciprocal Relu Round Selu Sigmoid Sign Softplus Softsign Sqrt Sub Sum Swish Tanh ThresholdedRelu "
    "Where".split()
)
_OVER_SPACE = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_REDUCING = frozenset("ReduceMean ReduceMax ReduceMin ReduceSum ReduceL1 ReduceL2".split())
_CHANNELS = frozenset({"BatchNormalization", "InstanceNormalization", "GroupNormalization"})
_LAST = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
_ALONG = frozenset({"Slice", "Split", "Gather", "Concat"})
_RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
FOLLOWED = (
    _POINTWISE
    | _OVER_SPACE
    | _REDUCING
    | _CHANNELS
    | _LAST
    | _ALONG
    | _RESHAPING
    | {"Transpose", "Conv", "MatMul", "Gemm"}
)
# Zero stays zero here whatever the constants, and products with constants too.
SILENT = frozenset(
    "Identity Dropout Cast CastLike Mul Div Neg Abs Relu LeakyRelu PRelu Elu Selu Celu Gelu HardSwish Mish "
    "Swish Tanh Erf Transpose Reshape Flatten Squeeze Unsqueeze Slice Split Concat Gather GlobalAveragePool "
    "GlobalMaxPool ReduceMean ReduceSum MatMul".split()
)


def varying_axes(node: NodeFacts, varying: Mapping[str, Axes], shapes: Mapping[str, Shape]) -> Axes | None:
    """Axes along which the results of a node may vary; None where that is not known.

    Args:
        node: of the default domain, see `FOLLOWED`.
        varying: for the operands that are not constant, along which axes they vary.
        shapes: of all operands and results.
    """
    if node.domain or node.op not in FOLLOWED or any(o and o not in shapes for o in node.outputs):
        return None
    rank = len(shapes[next(o for o in node.outputs if o)])
    first = varying.get(node.inputs[0], frozenset())
    match node.op:
        case op if op in _POINTWISE:
            return _joined(node, varying, shapes, rank)
        case op if op in _OVER_SPACE:
            return first & {0, 1}
        case op if op in _REDUCING:
            return _reduced(node, first, shapes)
        case op if op in _CHANNELS:
            return first | {1}
        case op if op in _LAST:
            start = int(node.attributes.get("axis", -1)) % rank
            return first | set(range(start, rank))
        case op if op in _ALONG:
            return _along(node, varying, shapes, rank)
        case "Transpose":
            order = node.attributes.get("perm") or list(reversed(range(rank)))
            return frozenset(k for k, source in enumerate(order) if source in first)
        case "Conv":
            return _convolved(node, first, shapes)
        case "MatMul" | "Gemm":
            return _multiplied(node, varying, rank)
    return _reshaped(shapes[node.inputs[0]], shapes[node.outputs[0]], first)


def _joined(
    node: NodeFacts, varying: Mapping[str, Axes], shapes: Mapping[str, Shape], rank: int
) -> Axes | None:
    found: set[int] = set()
    for name in (n for n in node.inputs if n):
        if name not in shapes:
            return None
        ahead = rank - len(shapes[name])
        own = varying.get(name, frozenset(k for k, s in enumerate(shapes[name]) if s > 1))
        if node.op in ("QuantizeLinear", "DequantizeLinear") and name not in varying:
            own, ahead = frozenset({int(node.attributes.get("axis", 1))} if own else ()), 0
        found.update(k + ahead for k in own)
    return frozenset(found)


def _reduced(node: NodeFacts, first: Axes, shapes: Mapping[str, Shape]) -> Axes | None:
    before, after = shapes.get(node.inputs[0], ()), shapes[node.outputs[0]]
    if len(before) != len(after):
        return None
    return frozenset(k for k in first if after[k] > 1)


def _along(
    node: NodeFacts, varying: Mapping[str, Axes], shapes: Mapping[str, Shape], rank: int
) -> Axes | None:
    """Parts of a tensor vary as the tensor does; parts joined may differ from each other."""
    if node.inputs[0] not in shapes or len(shapes[node.inputs[0]]) != rank:
        return None
    if node.op == "Concat" and not all(n in varying for n in node.inputs):
        return None
    found: Axes = frozenset().union(*(varying.get(n, frozenset()) for n in node.inputs))
    return found | {int(node.attributes["axis"]) % rank} if node.op == "Concat" else found


def _convolved(node: NodeFacts, first: Axes, shapes: Mapping[str, Shape]) -> Axes | None:
    if node.inputs[1] not in shapes or node.attributes.get("auto_pad", "NOTSET") not in (
        "NOTSET",
        "VALID",
        "",
    ):
        return None
    rank = len(shapes[node.inputs[0]])
    padded = any(node.attributes.get("pads") or ())
    return first | {1} | (set(range(2, rank)) if padded else set())


def _multiplied(node: NodeFacts, varying: Mapping[str, Axes], rank: int) -> Axes | None:
    """Products with a constant matrix on the right."""
    if node.inputs[1] in varying or node.inputs[0] not in varying or node.attributes.get("transA"):
        return None
    return frozenset(k for k in varying[node.inputs[0]] if k < rank - 1) | {rank - 1}


def _reshaped(before: Shape, after: Shape, first: Axes) -> Axes:
    """Runs of axes that hold the same elements vary together."""
    found: set[int] = set()
    for old, new in _runs(before, after):
        if any(k in first for k in old):
            found.update(k for k in new if after[k] > 1)
    return frozenset(found)


def _runs(before: Shape, after: Shape) -> list[tuple[range, range]]:
    """The smallest runs of axes of equal product, one after the other."""
    ends = [(0, 0)]
    i = j = 0
    left = right = 1
    while i < len(before) or j < len(after):
        if j >= len(after) or (i < len(before) and left <= right):
            left, i = left * before[i], i + 1
        else:
            right, j = right * after[j], j + 1
        if left == right:
            ends.append((i, j))
            left = right = 1
    return [(range(a[0], b[0]), range(a[1], b[1])) for a, b in pairwise([*ends, (len(before), len(after))])]
