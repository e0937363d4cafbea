"""Repairs a pruned network from its inputs to its outputs, one linear operator after the other.

The original and the masked network run in step, stage by stage. Before a linear operator runs in the masked
network, its weight is fitted so that, on what reaches it there, it gives what it gave in the original. So
each repair also makes up for what the repairs before it left over. Everything happens at the original
widths: the masked network computes what the pruned one will, and rewriting cuts the repaired weights like
any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.weights import zero_of
from graphprune.compensate.solve import Normal, fit_checked, shift_checked
from graphprune.compensate.trial import one_shot
from graphprune.compensate.within import ROUNDS, Within
from graphprune.dims import Keeps
from graphprune.passes import Repair, Repaired
from graphprune.rewrite.masking import goes, is_masked, kept_elements, zero_removed
from graphprune.statistics import Statistics
from graphprune.statistics.layout import StateLayout
from graphprune.statistics.linear import Linear, find_linear, fits
from graphprune.statistics.moments import Moments
from graphprune.statistics.stages import OnDemand, Stage, StageModel, Store, plan_stages, run_stage

Array = NDArray[Any]
Feeds = Mapping[str, Array]

_ROUTED = "which rows reach it depends on the data"
_TOO_WIDE = "its matrices do not fit into the memory allowed"
_OUT_OF_RANGE = "what would make up for it does not fit its type"
ROWS = 32768  # rows of each operator that are looked at, at least this many and eight for each column


@dataclass(frozen=True, slots=True)
class How:
    """How to repair.

    Attributes:
        centred: fit the bias too.
        weights: fit the weights; False to fit the bias only.
        scale_only: fit one factor for each column.
        original_inputs: fit on what reached the operator in the original, not on what reaches it now.
        across: a branch that is added to another makes up for what that one has lost.
        everything: repair also operators that lost no columns but whose input has changed.
        budget: bytes of activations held in memory.
        seed: of the choice of rows.
    """

    centred: bool = True
    weights: bool = True
    scale_only: bool = False
    original_inputs: bool = False
    across: bool = True
    everything: bool = True
    rows: int = ROWS
    budget: int = 2 << 30
    seed: int = 0


def repair(
    model: ir.Model,
    analysis: Analysis,
    keeps: Keeps,
    batches: Sequence[Feeds],
    how: How = How(),
    say: Callable[[int, int], None] = lambda done, all: None,
) -> Repair:
    """Fit the linear operators of a masked network.

    Args:
        model: a normalised model, with biases opened.
        analysis: of that model.
        keeps: kept slots by atom id.
        batches: calibration inputs.
        how: what to fit.
        say: told how many stages are done, of how many.
    """
    return _Repairer(model, analysis, keeps, batches, how).run(say)


class _Repairer:
    def __init__(
        self, model: ir.Model, analysis: Analysis, keeps: Keeps, batches: Sequence[Feeds], how: How
    ) -> None:
        self.model, self.analysis, self.keeps, self.how = model, analysis, keeps, how
        self.batches = batches
        self.facts = analysis.facts
        self.nodes = {n.name: n for n in self.facts.nodes}
        self.linear = find_linear(analysis, within=True)
        self.builder = StageModel(model, self.facts)
        # A quarter each, and half for what is at work.
        self.original, self.pruned = Store(how.budget // 6), Store(how.budget // 6)
        self.changed: set[str] = set()
        self.result = Repair()
        self.masked = {w.name for w in analysis.weights.values() if w.made is None and is_masked(w, keeps)}
        self.dead = analysis.dead(analysis.removed_layers({a: s.count for a, s in keeps.items()}))
        self.random = np.random.default_rng(how.seed)

    def run(self, say: Callable[[int, int], None]) -> Repair:
        tied = [i for i in self.linear if i.twins]
        if tied:
            self._fit_tied(tied)
        stages = plan_stages(self.facts, {i.outer or i.node for i in self.linear if not i.twins})
        by_stage = self._by_stage(stages)
        for k, feeds in enumerate(self.batches):
            for name in self.facts.inputs:
                self.original.put(name, k, feeds[name])
        for number, stage in enumerate(stages):
            say(number, len(stages))
            moved = self._moved(stage.nodes)
            within = {o for n in stage.nodes for o in self.nodes[n].outputs}
            beside = within & set(self.builder.inputs_of(moved)) - self.changed
            self._run(stage.nodes, stage.keeps | beside, self.original, {})
            kept = frozenset(n for n in stage.keeps if n in self.changed)
            self._run(moved, kept, self.pruned, self._weights_of(moved))
            mine = by_stage.get(number, [])
            for item in (i for i in mine if not i.outer):
                self._fit(item)
            for outer in dict.fromkeys(i.outer for i in mine if i.outer):
                self._fit_within(outer, [i for i in mine if i.outer == outer])
            self.original.drop(stage.drops | (beside - stage.keeps), len(self.batches))
            self.pruned.drop(stage.drops, len(self.batches))
        self.original.close()
        self.pruned.close()
        say(len(stages), len(stages))
        return self.result

    def _by_stage(self, stages: Sequence[Stage]) -> dict[int, list[Linear]]:
        at = {n: k for k, stage in enumerate(stages) for n in stage.nodes}
        found: dict[int, list[Linear]] = {}
        for item in self.linear:
            if item.twins:
                continue
            found.setdefault(max(0, at[item.outer or item.node] - 1), []).append(item)
        return found

    # -- running ------------------------------------------------------------------------------

    def _run(
        self, nodes: Sequence[str], keeps: frozenset[str], store: Store, replaced: Mapping[str, Array]
    ) -> None:
        outputs = sorted(keeps)
        if not nodes or not outputs:
            return
        inputs = self.builder.inputs_of(nodes)
        feeds = OnDemand(len(self.batches), lambda k: {n: self._get(n, k, store) for n in inputs})
        for k, found in enumerate(run_stage(self.builder, nodes, outputs, replaced, feeds)):
            for name, array in found.items():
                store.put(name, k, array)

    def _get(self, name: str, batch: int, store: Store) -> Array:
        if (name, batch) in store:
            return store.get(name, batch)
        return self.original.get(name, batch)

    def _moved(self, nodes: Sequence[str]) -> list[str]:
        """The nodes whose results differ in the masked network."""
        found = []
        for name in nodes:
            node = self.nodes[name]
            read = (*node.inputs, *node.captured)
            if any(n in self.changed or n in self.masked or n in self.result.weights for n in read):
                found.append(name)
                self.changed.update(node.outputs)
        return found

    def _weights_of(self, nodes: Sequence[str]) -> dict[str, Array]:
        names = {n for node in nodes for n in (*self.nodes[node].inputs, *self.nodes[node].captured)}
        found = {}
        for name in names:
            if name in self.result.weights:
                found[name] = self.result.weights[name]
            elif name in self.masked:
                found[name] = self._masked(name)
        return found

    def _masked(self, name: str) -> Array:
        weight = self.analysis.weights[name]
        array = self.facts.weights[name].numpy()
        return zero_removed(array, weight, self.keeps, zero_of(weight, self.facts))

    def _kept(self, name: str) -> Array | None:
        """Which elements of a weight remain; None for all."""
        if name not in self.masked:
            return None
        return kept_elements(self.analysis.weights[name], self.keeps)

    # -- fitting ------------------------------------------------------------------------------

    def _fit_tied(self, items: Sequence[Linear]) -> None:
        """Weights that several operators share belong to no one stage: they are fitted on the original."""
        statistics = Statistics(
            self.model, self.analysis, self.batches, budget=self.how.budget, seed=self.how.seed
        )
        cut = [i for i in items if i.weight in self.masked and fits(i, self.how.budget)]
        found = one_shot(statistics, self.keeps, cut)
        for item in cut:
            names = (item.weight, *(u.bias for u in item.uses if u.bias and self.how.centred))
            self.result.weights.update({n: found[n] for n in names if n in found})

    def _fit_within(self, outer: str, items: Sequence[Linear]) -> None:
        """Fit the operators in the bodies of one node, if it gives something else by now."""
        was = set(self.changed)
        if not self._moved([outer]):
            return
        within = Within(self.builder, self.analysis, outer, items)
        self.changed.update(within.read)
        feeds = [
            [{n: self._get(n, k, store) for n in within.inputs} for k in range(len(self.batches))]
            for store in (self.original, self.pruned)
        ]
        rounds = 0 if self.how.original_inputs else ROUNDS
        within.fit(
            self.original,
            self.pruned,
            (feeds[0], feeds[1]),
            lambda: self._weights_of([outer]),
            self.result,
            self._fit,
            rounds,
        )
        self.changed = was

    def _fit(self, item: Linear) -> None:
        stored = self.facts.weights[item.weight].numpy()
        weight = item.layout.matrix(item.view(stored).astype(np.float32)) * item.gain
        kept = self._kept(item.weight)
        if kept is None:
            columns: Array = np.ones((len(weight), weight.shape[2]), bool)
            rows: Array = np.ones(weight.shape[:2], bool)
        else:
            seen = item.layout.matrix(item.view(kept))
            columns, rows = np.asarray(seen.any(axis=1)), np.asarray(seen.any(axis=2))
        gone = goes(self.analysis.weights[item.weight], self.keeps)
        whole = bool(columns.all()) and not gone
        if whole and (item.input not in self.changed or not self.how.everything):
            return
        if item.node in self.dead and not gone:
            return
        state = isinstance(item.layout, StateLayout)
        if state and whole:
            return
        fitted, shift = np.zeros(weight.shape), np.zeros(weight.shape[:2])
        loss = np.zeros(3)
        widest = int(columns.sum(axis=-1).max())  # each group of a convolution is fitted by itself
        if why := self._obstacle(item):
            self.result.operators.append(
                Repaired(item.node, columns.shape[-1], widest, 0, 0.0, 0.0, float("inf"), why)
            )
            return
        moments = self._moments(item, weight, columns, rows)
        if not any(f.count for folds in moments for f in folds):
            return  # the branch of an If that never ran
        centred = self.how.centred and (bool(item.bias) or not item.outer)
        dampings = []
        for block, folds in enumerate(moments):
            c, r = columns[block], rows[block]
            if not c.any() or not r.any():
                continue
            if gone:  # of its layer only the mean stays
                means = folds[0].merged(folds[1])
                shift[block][r] = means.mean_y
                loss += float(means.variance_y.sum())
                continue
            start = weight[block][np.ix_(r, c)].astype(np.float64)
            both = folds[0].merged(folds[1])
            if not both.count:
                fitted[block][np.ix_(r, c)] = start
                continue
            new, damping = start, float("inf")
            if self.how.weights and not item.why:
                new, damping = fit_checked(folds, start, centred=centred, scale_only=self.how.scale_only)
            dampings.append(damping)
            normal = Normal.of(both, centred)
            loss += (
                float(normal.squares.sum()),
                float(normal.error(start).sum()),
                float(normal.error(new).sum()),
            )
            fitted[block][np.ix_(r, c)] = new
            kept_as_it_was = self.how.weights and not item.why and np.isinf(damping)
            shift[block][r] = shift_checked(folds, new) if kept_as_it_was else both.mean_y - new @ both.mean
        count = sum(f.count for f in moments[0]) if moments else 0
        note = item.why
        found = self._found(item, stored, fitted, shift)
        if all(np.isfinite(a).all() for a in found.values()):
            self.result.weights.update(found)
        else:
            note, loss[2] = _OUT_OF_RANGE, loss[1]
        scale = max(loss[0], 1e-30)
        self.result.operators.append(
            Repaired(
                item.node,
                columns.shape[-1],
                0 if gone else widest,
                count,
                loss[1] / scale,
                loss[2] / scale,
                max(dampings, default=0.0),
                note,
                sum(f.left_out for f in moments[0]) if moments else 0,
            )
        )

    def _found(self, item: Linear, stored: Array, fitted: Array, shift: Array) -> dict[str, Array]:
        """New values of the weight and the bias of an operator, as they are stored."""
        found = {}
        with np.errstate(over="ignore"):  # whoever asks looks whether they are finite
            if not item.why:
                seen = item.layout.tensor(fitted / item.gain, item.shape)
                found[item.weight] = item.stored(seen, stored)
            if item.bias and self.how.centred and not isinstance(item.layout, StateLayout):
                found[item.bias] = self._shifted_bias(item, shift)
        return found

    def _obstacle(self, item: Linear) -> str:
        """Why an operator cannot be fitted at all, or ""."""
        if not isinstance(item.layout, StateLayout) and not self._comparable(item):
            return _ROUTED
        return "" if fits(item, self.how.budget) else _TOO_WIDE

    def _comparable(self, item: Linear) -> bool:
        """Whether the same rows reach the operator in both networks, which data may choose."""
        return all(
            self.original.get(item.input, k).shape == self._get(item.input, k, self.pruned).shape
            for k in range(len(self.batches))
        )

    def _shifted_bias(self, item: Linear, shift: Array) -> Array:
        stored = self.facts.weights[item.bias].numpy()
        now = self.result.weights.get(item.bias)
        if now is None:
            now = self._masked(item.bias) if item.bias in self.masked else stored
        moved = now.astype(np.float64) + item.layout.bias(shift, stored.shape)
        kept = self._kept(item.bias)
        if kept is not None:
            moved = np.where(kept, moved, 0)
        return np.asarray(moved.astype(stored.dtype))

    def _moments(self, item: Linear, weight: Array, columns: Array, rows: Array) -> list[list[Moments]]:
        blocks = len(weight)
        folds = [[Moments(), Moments()] for _ in range(blocks)]
        batches = len(self.batches)
        limit = max(self.how.rows, 8 * weight.shape[2])
        beside = self._beside(item) if self.how.across else None
        state = isinstance(item.layout, StateLayout)
        states = self._states(item) if state and not item.outer else None
        for k in range(batches):
            if states is not None:
                mine = theirs = states[k]
            elif state:
                mine = theirs = self.original.get(item.input, k)
            else:
                theirs = self.original.get(item.input, k)
                mine = theirs if self.how.original_inputs else self._get(item.input, k, self.pruned)
            if not mine.size:
                continue
            count = item.layout.count(mine, item.shape)
            share = -(-limit // batches)
            chosen = None
            if count > share:
                chosen = np.sort(self.random.choice(count, share, replace=False))
            h = item.layout.rows(mine, item.shape, chosen)
            g = h if theirs is mine else item.layout.rows(theirs, item.shape, chosen)
            extra = None
            if beside is not None:
                lost = self.original.get(beside, k).astype(np.float32) - self._get(beside, k, self.pruned)
                extra = item.layout.outputs(lost, item.shape, chosen)
            for block in range(blocks):
                with np.errstate(over="ignore", invalid="ignore"):  # such rows are left out
                    y = g[block] @ weight[block].T
                if extra is not None and extra.shape[1:] == (y.shape[0], y.shape[1]):
                    y = y + extra[block]
                x, t = h[block][:, columns[block]], y[:, rows[block]]
                if batches > 1:
                    folds[block][k % 2].add(x, t)
                else:
                    half = -(-len(x) // 2)  # rows of a sample lie together, and are much alike
                    folds[block][0].add(x[:half], t[:half])
                    folds[block][1].add(x[half:], t[half:])
        return folds

    def _states(self, item: Linear) -> list[Array]:
        """Hidden states of the original, which the operator itself gives."""
        node = self.nodes[item.node]
        inputs = self.builder.inputs_of([node.name])
        feeds = [{n: self.original.get(n, k) for n in inputs} for k in range(len(self.batches))]
        return [f[item.input] for f in run_stage(self.builder, [node.name], [item.input], {}, feeds)]

    def _beside(self, item: Linear) -> str | None:
        """The other side of an Add that the product goes into, if it has changed and is known by now."""
        readers = [n for n in self.facts.nodes if item.result in n.inputs]
        if len(readers) != 1 or readers[0].op != "Add" or item.result in self.facts.outputs:
            return None
        other = next((n for n in readers[0].inputs if n != item.result), "")
        shapes = self.analysis.recording.shapes
        if (
            other not in self.changed
            or (other, 0) not in self.pruned
            or (other, 0) not in self.original
            or shapes.get(other) != shapes.get(item.result)
        ):
            return None
        return other
