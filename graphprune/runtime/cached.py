"""What attention with a cache of keys and values asks of the graph's inputs: lengths that agree.

GroupQueryAttention is told how long its sequences are, past and present together, as `total_sequence_length`
and, one less for each row, as `seqlens_k`. Either is an input of the graph or counted from a mask. Numbers
that are drawn for them agree neither with each other nor with the cache, and are refused. ONNX Runtime takes
several positions on top of a cache for one sequence only.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import onnx_ir as ir

from graphprune.runtime.dimensions import Key, Sizes, input_dims, real_inputs, resolve
from graphprune.runtime.meaning import behind, value_flow

_PAST, _SEQLENS, _TOTAL = (3, 4), 5, 6  # inputs of GroupQueryAttention
_CACHE_RANK = 4


@dataclass(frozen=True, slots=True)
class Lengths:
    """The inputs of a graph that say how long the sequences of its attention are.

    Attributes:
        totals: inputs that hold the length of past and present together.
        lasts: inputs that hold one less.
        masks: inputs whose ones are counted.
        caches: inputs that hold keys or values of the past.
        batch: the dimension that counts sequences.
        steps: the dimensions that count the positions of the present.
        past: those that count the positions in caches.
        spans: those along which a mask has past and present.
    """

    totals: frozenset[str]
    lasts: frozenset[str]
    masks: frozenset[str]
    caches: frozenset[str]
    batch: int | Key
    steps: tuple[int | Key, ...]
    past: tuple[int | Key, ...]
    spans: tuple[int | Key, ...]

    def total(self, sizes: Sizes) -> int:
        """How long past and present are together.

        A cache of fixed size is a buffer that the present is written into: it is full for a single position,
        and what it holds is not read for more.

        Raises:
            ModelError: a size is missing.
        """
        steps = resolve(self.steps[0], sizes)
        if not self.past:
            return steps
        past = self.past[0]
        if isinstance(past, int):
            return max(past, 1) if steps == 1 else steps
        return resolve(past, sizes) + steps

    def told(self, sizes: Sizes) -> dict[str, int]:
        """The number that all elements of an input have, by name.

        Raises:
            ModelError: a size is missing.
        """
        total = self.total(sizes)
        return {
            **dict.fromkeys(self.masks, 1),
            **dict.fromkeys(self.lasts, total - 1),
            **dict.fromkeys(self.totals, total),
        }

    def taken(self, sizes: Sizes) -> bool:
        """Whether the runtime runs at these sizes.

        Raises:
            ModelError: a size is missing.
        """
        steps = resolve(self.steps[0], sizes)
        return resolve(self.batch, sizes) == 1 or steps == 1 or self.total(sizes) == steps

    def prompt(self, sizes: Sizes) -> dict[Key, int]:
        """Sizes with nothing in the cache, which any number of sequences of any length can have."""
        empty: dict[Key, int] = {**sizes, **{key: 0 for key in self.past if not isinstance(key, int)}}
        return self._spanned(empty)

    def pair(self, batch: Sequence[Key], sizes: Sizes) -> tuple[dict[Key, int], dict[Key, int]] | None:
        """Sizes of two runs that the runtime takes: several positions on top of a cache, and a single one.

        Args:
            batch: the free dimensions that count samples.
            sizes: of all free dimensions; they stay where they have nothing to do with the lengths.

        Returns:
            Sizes that differ in as much as the graph leaves free, or None if no choice would be taken.
        """
        first = min(self._choices(batch, sizes, (3, 1), (7, 1), (13, 0)), key=_few_ones, default=None)
        if first is None:
            return None
        others = self._choices(batch, sizes, (2, 1), (11, 1), (17, 0))
        second = min(others, key=lambda c: (-sum(c[0][k] != s for k, s in first[0].items()), _few_ones(c)))
        return first[0], second[0]

    def _choices(
        self,
        batch: Sequence[Key],
        sizes: Sizes,
        batches: tuple[int, int],
        steps: tuple[int, int],
        past: tuple[int, int],
    ) -> Iterator[tuple[dict[Key, int], tuple[int, int, int]]]:
        """Sizes that are taken, each with what they are for the batch, the present and the past."""
        for b, s, p in itertools.product(batches, steps, past):
            found = {**sizes, **dict.fromkeys(batch, b)}
            found |= {key: s for key in self.steps if not isinstance(key, int) and key in sizes}
            found |= {key: p for key in self.past if not isinstance(key, int) and key in sizes}
            found = self._spanned(found)
            if self.taken(found):
                yield found, (b, resolve(self.steps[0], found), p)

    def _spanned(self, sizes: dict[Key, int]) -> dict[Key, int]:
        """The same with masks as long as past and present."""
        free = [key for key in self.spans if not isinstance(key, int) and key in sizes]
        return {**sizes, **dict.fromkeys(free, self.total(sizes))}


def find_lengths(model: ir.Model) -> Lengths | None:
    """The inputs that say how long sequences are; None where nobody asks, or it cannot be seen who tells."""
    attending = [n for n in model.graph.all_nodes() if _attends(n)]
    if not attending:
        return None
    flow = value_flow(model)
    inputs = real_inputs(model)
    totals = _holding(attending, _TOTAL, flow, inputs)
    lasts = _holding(attending, _SEQLENS, flow, inputs) - totals
    counted = behind(n.inputs[k] for n in attending for k in (_SEQLENS, _TOTAL)) - totals - lasts
    masks = {v for v in inputs if v in counted and len(input_dims(v)) > 1}
    pasts = behind(n.inputs[k] for n in attending for k in _PAST)
    caches = [v for v in inputs if v in pasts and len(input_dims(v)) >= _CACHE_RANK]
    # Later ones read what came out of the first, so its queries tell who says how many positions there are.
    asking = behind(attending[0].inputs[:1])
    present = [
        input_dims(v)
        for v in inputs
        if v in asking and v not in masks and 1 < len(input_dims(v)) < _CACHE_RANK
    ]
    if not present or not (totals or lasts or masks):
        return None
    return Lengths(
        _names(totals),
        _names(lasts),
        _names(masks),
        _names(caches),
        present[0][0],
        tuple(dict.fromkeys(dims[1] for dims in present)),
        tuple(dict.fromkeys(input_dims(v)[-2] for v in caches)),
        tuple(dict.fromkeys(input_dims(v)[-1] for v in inputs if v in masks)),
    )


def _attends(node: ir.Node) -> bool:
    return node.op_type == "GroupQueryAttention" and len(node.inputs) > _TOTAL


def _holding(
    nodes: Sequence[ir.Node], position: int, flow: "nx.DiGraph[ir.Value]", inputs: Sequence[ir.Value]
) -> set[ir.Value]:
    """Graph inputs whose numbers arrive at an input of nodes as they are."""
    found: set[ir.Value] = set()
    for value in (n.inputs[position] for n in nodes):
        if value is not None:
            found |= {value} | (nx.ancestors(flow, value) if value in flow else set())
    return found & set(inputs)


def _names(values: Iterable[ir.Value]) -> frozenset[str]:
    return frozenset(str(v.name) for v in values)


def _few_ones(choice: tuple[Mapping[Key, int], tuple[int, int, int]]) -> int:
    """How easily sizes are mistaken for others: those of nothing worst, then lone positions, lone samples."""
    _, (batch, steps, past) = choice
    return (batch == 1) + 2 * (steps == 1) + 3 * (past == 0)
