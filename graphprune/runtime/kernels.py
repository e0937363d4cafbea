"""Which widths are fast on this machine: kernels compute in blocks, so that time over width is a staircase.

Two equal operators in a row are timed while the width between them changes, which is what pruning does.
Against multiply-adds the time of widths on the coarsest stairs is a line; widths between the stairs lie above
it, because they pay for slots that they do not have.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.runtime.cache import cached, store
from graphprune.runtime.environment import environment
from graphprune.runtime.latency import take_turns
from graphprune.runtime.providers import choose_providers
from graphprune.runtime.session import open_session

STEPS = (1, 2, 4, 8, 16)
OPERATORS = ("Conv", "MatMul", "LSTM")
_LOW, _HIGH, _SIDE = 32, 64, 64
# Widths whose largest step is 1, 2, 4, ...: a few of each are enough.
_WIDTHS = (32, 64, 48, 40, 56, 36, 44, 52, 60, 34, 42, 54, 62, 33, 47, 55, 63)
_COARSENESS = 0.005  # what a step must save to be preferred to half of it
_ROUNDS = 40
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kernels:
    """The staircases of one machine.

    Attributes:
        steps: by operator, the multiple that widths should have.
        curves: by operator, milliseconds by width.
        key: the machine and software that they were measured with.
    """

    steps: Mapping[str, int]
    curves: Mapping[str, Mapping[int, float]]
    key: Mapping[str, str]


def measured_kernels(
    provider: str = "cpu", threads: int | None = None, say: Callable[[str], None] = lambda _: None
) -> Kernels:
    """The staircases of this machine, from the cache or measured now, which takes a few seconds.

    Args:
        provider: as for `open_session`.
        threads: threads of one operator; None leaves it to the runtime.
        say: told that something is measured.
    """
    key = _key(provider, threads)
    found = cached("kernels", key)
    if found is None:
        say("measure this machine's kernels (once)")
        curves = {op: measure(op, provider, threads) for op in OPERATORS}
        found = {"curves": {op: {str(w): round(t, 5) for w, t in c.items()} for op, c in curves.items()}}
        store("kernels", key, found)
    curves = {op: {int(w): float(t) for w, t in c.items()} for op, c in found["curves"].items()}
    return Kernels({op: step_of(op, curve) for op, curve in curves.items()}, curves, key)


def step_of(op: str, curve: Mapping[int, float]) -> int:
    """The step whose multiples come closest to what their multiply-adds promise; of like ones the finer.

    >>> step_of("MatMul", {w: -(-w // 8) for w in _WIDTHS})
    8
    >>> step_of("MatMul", {w: 5 + w for w in _WIDTHS})
    1
    """
    low, high = work(op, _LOW), work(op, _HIGH)
    slope = (curve[_HIGH] - curve[_LOW]) / (high - low)
    excess = {w: t / (curve[_LOW] + slope * (work(op, w) - low)) - 1 for w, t in curve.items()}

    def price(step: int) -> float:
        own = [e for w, e in excess.items() if w % step == 0 and w not in (_LOW, _HIGH)]
        return float(np.mean(own)) + _COARSENESS * math.log2(step)

    return min(STEPS, key=price)


def work(op: str, width: int) -> float:
    """What an operator pair with this inner width computes, up to a factor."""
    return width * (_SIDE + width) if op == "LSTM" else width


def measure(op: str, provider: str, threads: int | None) -> dict[int, float]:
    """Milliseconds by inner width: the smallest of many interleaved runs, which noise can only raise."""
    feeds = {"x": np.random.default_rng(0).standard_normal(_SHAPES[op]).astype(np.float32)}
    with contextlib.ExitStack() as stack:
        tasks = {
            str(w): stack.enter_context(
                open_session(model_of(op, w), threads=threads, provider=provider)
            ).bound(feeds)
            for w in _WIDTHS
        }
        times = take_turns(tasks, runs=_ROUNDS, warmup=3, budget_s=8.0)
    return {int(w): min(found) for w, found in times.items()}


_SHAPES = {"Conv": (1, _SIDE, 14, 14), "MatMul": (128, _SIDE), "LSTM": (12, 4, _SIDE)}
_TEXTS = {
    "Conv": "g (float[1, 64, 14, 14] x) => (float[a, b, c, d] y)"
    " { h = Conv <pads = [1, 1, 1, 1]> (x, v) r = Relu(h) y = Conv <pads = [1, 1, 1, 1]> (r, w) }",
    "MatMul": "g (float[128, 64] x) => (float[a, b] y) { h = MatMul(x, v) r = Relu(h) y = MatMul(r, w) }",
    "LSTM": "g (float[12, 4, 64] x) => (float[a, b, c, d] y) { y = LSTM <hidden_size = WIDTH> (x, v, w) }",
}


def model_of(op: str, width: int) -> ir.Model:
    """Two operators with `width` channels, neurons or hidden units between them."""
    text = '<ir_version: 8, opset_import: ["" : 17]>\n' + _TEXTS[op].replace("WIDTH", str(width))
    proto = onnx.parser.parse_model(text)
    shapes = {
        "Conv": ((width, _SIDE, 3, 3), (_SIDE, width, 3, 3)),
        "MatMul": ((_SIDE, width), (width, _SIDE)),
        "LSTM": ((1, 4 * width, _SIDE), (1, 4 * width, width)),
    }[op]
    draw = np.random.default_rng(0)
    for name, shape in zip("vw", shapes, strict=True):
        array = (draw.standard_normal(shape) / 30).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(proto)


def _key(provider: str, threads: int | None) -> dict[str, str]:
    here = environment()
    return {
        "format": str(_FORMAT),
        "cpu": here.cpu,
        "flags": " ".join(here.flags),
        "cores": str(here.cores),
        "onnxruntime": here.packages.get("onnxruntime") or here.packages.get("onnxruntime-gpu", "unknown"),
        "providers": ",".join(p.name for p in choose_providers(provider)),
        "threads": "default" if threads is None else str(threads),
    }
