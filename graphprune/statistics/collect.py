"""Statistics of a model's own activations, collected when first asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.runtime.session import open_session
from graphprune.statistics.inside import read_inside, unseen
from graphprune.statistics.linear import Linear, find_linear, fits
from graphprune.statistics.moments import Moments
from graphprune.statistics.parts import Parts

Array = NDArray[Any]
Feeds = Mapping[str, Array]

ROWS = 32768
BUDGET = 4 << 30
_ENOUGH = 8  # batches, to keep some aside


class Statistics:
    """Moments of the rows that every linear operator reads, over the calibration inputs.

    Attributes:
        linear: the linear operators of the model whose matrices the memory can hold.
        too_wide: the others.
        batches: calibration inputs, each a feed of the model.
        trials: those that moments are not made of, to measure fits to them honestly; all if they are few.
        say: told how many batches have been run to collect what was asked for, of how many; whoever goes on
            with the statistics may set another.
    """

    def __init__(
        self,
        model: ir.Model,
        analysis: Analysis,
        batches: Sequence[Feeds],
        *,
        rows: int = ROWS,
        budget: int = BUDGET,
        seed: int = 0,
        say: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.model, self.analysis, self.batches = model, analysis, batches
        self.trials = batches[3::8] if len(batches) >= _ENOUGH else batches
        every = find_linear(analysis, within=True)
        self.too_wide = tuple(i for i in every if not fits(i, budget))
        self.linear = tuple(i for i in every if fits(i, budget))
        self.say = say
        self._rows, self._budget, self._seed = rows, budget, seed
        self._found: dict[tuple[str, str], list[Moments]] = {}
        self._unreached: set[tuple[str, str]] = set()
        self._counts: dict[tuple[str, str], int] = {}

    def collect(self, items: Sequence[Linear]) -> None:
        """Collect the moments of these operators, in as many passes as memory asks for.

        A pass takes as many others along as fit, since running the model is what it costs; where memory is
        short, those that are not asked for now are given up.
        """
        asked = {(i.node, i.weight) for i in items}
        todo = [i for i in items if (i.node, i.weight) not in self._found]
        if not todo:
            return
        # Operators are mostly asked for in order: those behind come first.
        last = max((k for k, i in enumerate(self.linear) if (i.node, i.weight) in asked), default=-1)
        turned = (*self.linear[last + 1 :], *self.linear[: last + 1])
        others = [i for i in turned if not i.why and (i.node, i.weight) not in {*asked, *self._found}]
        held = sum(_bytes(i) for i in self.linear if (i.node, i.weight) in self._found)
        if held + sum(map(_bytes, todo)) > self._budget:
            self._found = {k: m for k, m in self._found.items() if k in asked}
            held = 0
        chunks: list[list[Linear]] = []
        while todo:
            chunk: list[Linear] = []
            size = held
            while todo and (not chunk or size + _bytes(todo[0]) <= self._budget):
                size += _bytes(todo[0])
                chunk.append(todo.pop(0))
            while not todo and others and size + _bytes(others[0]) <= self._budget:
                size += _bytes(others[0])
                chunk.append(others.pop(0))
            chunks.append(chunk)
            held = 0
        learnt = self._learnt()
        runs = [len(learnt) * len(set(map(bool, _outers(c)))) for c in chunks]
        for number, chunk in enumerate(chunks):
            self._pass(chunk, learnt, sum(runs[:number]), sum(runs))
        self.say(sum(runs), sum(runs))

    def moments(self, item: Linear) -> list[Moments]:
        """Moments of the rows an operator reads, one for each block."""
        self.collect([item])
        return self._found[item.node, item.weight]

    def reached(self, item: Linear) -> bool:
        """Whether inputs came as far as an operator that was looked at: an If may leave a branch out."""
        return (item.node, item.weight) not in self._unreached

    def count(self, item: Linear) -> int:
        """Rows of each block that moments were made of, also if those are forgotten; 0 if there were none."""
        return self._counts.get((item.node, item.weight), 0)

    def forget(self) -> None:
        """Free the moments."""
        self._found.clear()

    def tensors(
        self, names: Sequence[str], batches: Sequence[Feeds] | None = None
    ) -> Iterator[dict[str, Array]]:
        """Values of tensors for each of the batches, by default all."""
        batches = self.batches if batches is None else batches
        copy = self.model.clone()
        values = {v.name: v for n in copy.graph for v in n.outputs}
        fed = [n for n in names if n not in values]
        wanted = list(dict.fromkeys(n for n in names if n in values))
        outputs = {v.name for v in copy.graph.outputs}
        for name in wanted:
            if name not in outputs:
                copy.graph.outputs.append(values[name])
        if not wanted:
            for feeds in batches:
                yield {n: feeds[n] for n in fed}
            return
        with open_session(copy) as session:
            for feeds in batches:
                yield {**session.run(feeds, wanted), **{n: feeds[n] for n in fed}}

    def _learnt(self) -> Sequence[Feeds]:
        """The batches that moments are made of."""
        return [b for b in self.batches if not any(b is t for t in self.trials)] or self.batches

    def _pass(self, items: Sequence[Linear], learnt: Sequence[Feeds], done: int, total: int) -> None:
        """One run over the inputs, part by part, so that only a part's activations are in memory.

        Operators in bodies take a run of their own. `done` of `total` batches have been run before.
        """
        for item in items:
            self._found[item.node, item.weight] = [Moments() for _ in range(item.sizes[0])]
        every = [(i, u) for i in items for u in i.uses]
        uses, inside = [p for p in every if not p[1].outer], [p for p in every if p[1].outer]
        with Parts(self.model, self.analysis, {u.input for _, u in uses}) as parts:
            for number, feeds in enumerate(learnt if uses else ()):
                self.say(done + number, total)
                self._add(uses, feeds, number, len(learnt))
                state = feeds
                for k in range(parts.count):
                    state, given = parts.run(k, state)
                    self._add(uses, given, number, len(learnt))
        if inside:
            done += len(learnt) if uses else 0
            read = read_inside(self.model, self.analysis, [u for _, u in inside], learnt)
            for number, found in enumerate(read):
                self.say(done + number, total)
                self._add(inside, found, number, len(learnt))
        for item in items:
            self._counts[item.node, item.weight] = min(m.count for m in self._found[item.node, item.weight])
            for moments in self._found[item.node, item.weight]:
                if not moments.count:
                    self._unreached.add((item.node, item.weight))
                    unseen(moments, item.sizes[2])

    def _add(self, uses: Sequence[tuple[Linear, Linear]], found: Feeds, number: int, batches: int) -> None:
        """Take in those of the tensors of a batch that operators (or their twins) read.

        Which rows are chosen does not depend on what else is collected, or in which order.
        """
        for item, use in uses:
            if use.input not in found or not found[use.input].size:
                continue
            x = found[use.input]
            columns = item.sizes[2]
            share = -(-max(self._rows, 8 * columns) // (batches * len(item.uses)))
            count = use.layout.count(x, use.shape)
            chosen = None
            if count > share:
                random = np.random.default_rng([self._seed, zlib.crc32(use.node.encode()), number])
                chosen = np.sort(random.choice(count, share, replace=False))
            rows = use.layout.rows(x, use.shape, chosen)
            for moments, block in zip(self._found[item.node, item.weight], rows, strict=True):
                moments.add(block)


def _outers(items: Sequence[Linear]) -> Iterator[str]:
    """The nodes in whose bodies operators and their twins are, "" for the main graph."""
    return (u.outer for i in items for u in i.uses)


def _bytes(item: Linear) -> int:
    blocks, _, columns = item.sizes
    return int(16 * blocks * columns**2)
