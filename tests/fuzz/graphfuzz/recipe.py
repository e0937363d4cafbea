"""Recipes: what a graph is made of, as data that can be drawn, shrunk, printed and built again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx
from onnx import TensorProto

from graphfuzz import (
    moves_attention,
    moves_bodies,
    moves_channels,
    moves_experts,
    moves_layout,
    moves_merge,
    moves_nonlinear,
    moves_picking,
    moves_quantized,
    moves_runtime,
    moves_sequence,
)
from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor

Move = Callable[[Builder, Choices], None]

_FAMILIES = (
    moves_attention,
    moves_bodies,
    moves_channels,
    moves_experts,
    moves_layout,
    moves_merge,
    moves_nonlinear,
    moves_picking,
    moves_quantized,
    moves_runtime,
    moves_sequence,
)

moves: Mapping[str, Move] = MappingProxyType(
    {name: move for f in _FAMILIES for name, move in f.MOVES.items()}
)

OPSETS = (11, 13, 17, 18, 21, 23)


@dataclass(frozen=True, slots=True)
class Step:
    """One move, and the seed of its choices."""

    move: str
    seed: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole graph: the seed picks inputs, weights and outputs."""

    seed: int
    steps: tuple[Step, ...]


def random_recipe(seed: int, most: int = 14) -> Recipe:
    """A recipe of up to `most` steps."""
    source = random.Random(seed)
    names = sorted(moves)
    count = source.randint(2, most)
    return Recipe(seed, tuple(Step(source.choice(names), source.randrange(1 << 16)) for _ in range(count)))


def build(recipe: Recipe) -> onnx.ModelProto:
    """The model of a recipe; steps that do not fit are left out."""
    r = Choices(recipe.seed)
    b = Builder(recipe.seed, r.pick(OPSETS))
    _inputs(b, r)
    for step in recipe.steps:
        state = len(b.nodes), dict(b.weights), list(b.live), set(b.used)
        try:
            moves[step.move](b, Choices(step.seed))
        except Skip:
            del b.nodes[state[0] :]
            b.weights, b.live, b.used = state[1], state[2], state[3]
    return b.model(_outputs(b, r))


def _inputs(b: Builder, r: Choices) -> None:
    batch: Axis = "N" if r.chance(0.75) else r.pick((1, 2, 3))
    kinds = [r.pick(("image", "tokens", "sequence", "signal", "vector"))]
    if r.chance(0.25):
        kinds.append(r.pick(("image", "sequence", "vector")))
    for kind in kinds:
        _input(b, r, batch, kind)
    if r.chance(0.5):
        b.input((), TensorProto.BOOL)  # for branches


def _input(b: Builder, r: Choices, batch: Axis, kind: str) -> None:
    """One input and a first layer that gives it a width of its own."""
    width = r.pick((4, 6, 8, 8, 12, 16))
    length: Axis = "L" if r.chance(0.4) else r.pick((4, 5, 6, 8))
    match kind:
        case "image":
            space: list[Axis] = ["H", "V"] if r.chance(0.15) else [r.pick((4, 6, 8)), r.pick((4, 6, 8))]
            x = b.input((batch, r.pick((1, 3)), *space))
            inside = x.static(1)
            w = b.weight(r, (width, inside, 3, 3))
            b.keep(
                b.op("Conv", [x, w, b.weight(r, (width,), 1, "b")], (batch, width, *space), pads=[1, 1, 1, 1])
            )
        case "signal":
            x = b.input((batch, 3, length))
            w = b.weight(r, (width, 3, 3))
            b.keep(b.op("Conv", [x, w], (batch, width, length), pads=[1, 1]))
        case "tokens":
            ids = b.input((batch, length), TensorProto.INT64)
            table = b.weight(r, (11, width), 1)
            b.keep(b.op("Gather", [table, ids], (batch, length, width)))
        case "sequence":
            b.keep(b.linear(r, b.input((batch, length, 5)), width))
        case _:
            b.keep(b.linear(r, b.input((batch, 7)), width))


def _outputs(b: Builder, r: Choices) -> list[Tensor]:
    """Up to three tensors nobody reads, most of them behind a last projection."""
    leaves = [t for t in b.live if t.name not in b.used] or b.live[-1:]
    taken = leaves[-3:] if r.chance(0.6) else leaves[-1:]
    return [_projected(b, r, t) for t in taken]


def _projected(b: Builder, r: Choices, x: Tensor) -> Tensor:
    """Layers over most axes, so that few of them reach the output as they are."""
    if r.chance(0.05):
        return b.op("Identity", [x], x.shape)
    tail = x.shape[1:]
    if (
        x.rank >= 3
        and all(isinstance(s, int) for s in tail)
        and math.prod(map(int, tail)) <= 400
        and r.chance(0.3)
    ):
        wide = math.prod(map(int, tail))
        return b.linear(r, b.reshape(x, (x.shape[0], wide), r.pick([(0, -1), (-1, wide)])), 3)
    axes = [k for k in x.static_axes() if r.chance(0.85)] or x.static_axes(1)[-1:]
    for axis in r.shuffled(axes):
        x = _over(b, r, x, axis)
    return x if axes else b.op("Identity", [x], x.shape)


def _over(b: Builder, r: Choices, x: Tensor, axis: int) -> Tensor:
    """A linear layer over one axis, in place."""
    if axis == 1 and x.rank in (3, 4) and r.chance(0.6):
        w = b.weight(r, (3, x.static(1), *[1] * (x.rank - 2)))
        return b.op("Conv", [x, w], (x.shape[0], 3, *x.shape[2:]))
    order = list(range(x.rank))
    order[axis], order[-1] = order[-1], order[axis]
    if axis == x.rank - 1:
        return b.linear(r, x, 3)
    return b.transpose(b.linear(r, b.transpose(x, order), 3), order)
