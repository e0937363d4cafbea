"""Two models layer by layer: where the time went, which layers got no faster than before, and why.

A layer is a kernel of the runtime with the nodes that it computes. Two layers are the same if they hold the
same multiplying node, which keeps its name when a model is pruned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.analysis import Analysis, CostModel
from graphprune.analysis.facts import NodeFacts
from graphprune.decide import choose_candidates
from graphprune.runtime.profile import Kernel, Profile

# Fewer multiply-adds for each byte that is read or written leave the processor waiting for memory.
_MEMORY_BOUND = 4.0
_WORTH_TELLING = 0.01  # of the time of the model
_AS_PROMISED = 0.85
_NEAR_A_CALL = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A model that was analysed and profiled."""

    analysis: Analysis
    profile: Profile

    @property
    def layers(self) -> dict[str, Kernel]:
        """Kernels by the name of the multiplying node in them."""
        macs = CostModel(self.analysis).macs_by_node()
        return {n: k for k in self.profile.kernels for n in k.nodes if macs.get(n)}


def compare_layers(before: Measured, after: Measured, steps: Mapping[str, int]) -> dict[str, Any]:
    """What became of every layer, as plain data.

    Args:
        before: the first model.
        after: the other one.
        steps: by operator, the widths that this machine computes at a time.
    """
    rows = list(_rows(before, after, steps))
    off = [r for r in rows if r["cause"] == "width"]
    return {
        "layers": rows,
        "elsewhere_ms": {
            "before": before.profile.kernel_ms - sum(r["before_ms"] for r in rows),
            "after": after.profile.kernel_ms - sum(r["after_ms"] for r in rows),
        },
        "rounding": {"layers": len(off), "saves_ms": sum(r["lost_ms"] for r in off)},
    }


def _rows(before: Measured, after: Measured, steps: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    old, new = before.layers, after.layers
    macs, left = (CostModel(m.analysis).macs_by_node() for m in (before, after))
    reasons = choose_candidates(before.analysis).reasons
    for name in (n for n in old if n in new):
        share = left[name] / macs[name]
        lost = new[name].ms - old[name].ms * share
        slow = lost > (1 - _AS_PROMISED) * new[name].ms and lost > _WORTH_TELLING * after.profile.run_ms
        cause, why = "", ""
        if share > 0.999 and old[name].ms > _WORTH_TELLING * before.profile.run_ms:
            cause, why = "unchanged", _why_unchanged(before.analysis, name, reasons)
        elif slow:
            cause, why = _why_slow(after, name, steps)
        yield {
            "node": name,
            "op": new[name].op,
            "before_ms": old[name].ms,
            "after_ms": new[name].ms,
            "macs_before": macs[name],
            "macs_after": left[name],
            "lost_ms": max(0.0, lost) if slow and share <= 0.999 else 0.0,
            "cause": cause,
            "why": why,
        }


def _why_unchanged(analysis: Analysis, name: str, reasons: Mapping[str, str]) -> str:
    """Why a layer computes what it did: what is known of the dimensions of its weights."""
    node = _node(analysis, name)
    groups = [g for g in analysis.groups if g.size > 1 and {m.weight for m in g.members} & set(node.inputs)]
    told = [f'"{g.key}" {reasons[g.key]}' for g in groups if g.key in reasons]
    free = [f'"{g.key}"' for g in groups if g.key not in reasons]
    if free:
        return f"could be cut but was not: {', '.join(free)}"
    return "; ".join(told) or "it multiplies no weight that could be cut"


def _why_slow(model: Measured, name: str, steps: Mapping[str, int]) -> tuple[str, str]:
    """A cause and a sentence."""
    node, kernel = _node(model.analysis, name), model.layers[name]
    step = steps.get(node.op, 1)
    off = [(what, w) for what, w in _widths(model.analysis, node) if w % step]
    if off:
        told = " and ".join(f"{w} {what} cost at least what {-(-w // step) * step} would" for what, w in off)
        return "width", f"{told}: this machine computes {step} at a time"
    call = min(k.ms for k in model.profile.kernels)
    if kernel.ms < _NEAR_A_CALL * call:
        return "call", f"hardly more than any call, which takes {call * 1e3:.0f} microseconds at least"
    intensity = _intensity(model.analysis, node)
    if intensity < _MEMORY_BOUND:
        return "memory", f"bound by memory: {intensity:.1f} multiply-adds for each byte read or written"
    return "other", "a part of its time does not shrink with its multiply-adds"


def _widths(analysis: Analysis, node: NodeFacts) -> Iterator[tuple[str, int]]:
    """The widths that a kernel computes in blocks."""
    shape = analysis.recording.shapes.get(node.inputs[1] if len(node.inputs) > 1 else "", ())
    if node.op == "Conv" and len(shape) > 2:
        group = int(node.attributes.get("group") or 1)
        depthwise = group == shape[0]
        # So few input channels as a picture has are read by a kernel of its own.
        if not depthwise and shape[1] > 4:
            yield "input channels", shape[1]
        yield "channels" if depthwise else "output channels", shape[0]
    elif node.op == "MatMul" and len(shape) == 2:
        yield "output columns", shape[1]
    elif node.op == "LSTM" and len(shape) == 3:
        yield "hidden units", shape[1] // 4


def _intensity(analysis: Analysis, node: NodeFacts) -> float:
    """Multiply-adds for each byte that is read or written."""
    shapes = analysis.recording.shapes
    elements = sum(math.prod(shapes[n]) for n in (*node.inputs, *node.outputs) if n in shapes)
    macs = CostModel(analysis).macs_by_node().get(node.name, 0) * analysis.batch
    return macs / max(1, 4 * elements)


def _node(analysis: Analysis, name: str) -> NodeFacts:
    return next(n for n in analysis.facts.nodes if n.name == name)
