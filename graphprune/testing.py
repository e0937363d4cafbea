"""For tests of rules and passes: prune a model at random and hold it against the oracle.

    outcome = prune_at_random(model, ratio=0.5)
    assert outcome.equivalence.status == "equal"
    assert outcome.size("conv.weight", 0) == 8

`equivalence.change` says how much there was to see.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.analysis import Analysis, Weight
from graphprune.analysis.prepare import prepare
from graphprune.decide import Decision, Options, decide
from graphprune.dims import Keeps
from graphprune.dims.evaluate import slots_of
from graphprune.load import load
from graphprune.rewrite import rewrite
from graphprune.validate import Equivalence, check_equivalence


@dataclass(frozen=True, slots=True)
class Outcome:
    """A pruned model and everything that led to it."""

    model: ir.Model
    pruned: ir.Model
    analysis: Analysis
    decision: Decision
    equivalence: Equivalence

    def size(self, weight: str, axis: int) -> int:
        """Size of an axis of a weight after pruning; the weight keeps its name."""
        value = self.pruned.graph.initializers[weight].const_value
        assert value is not None
        return int(value.shape[axis])  # type: ignore[arg-type]

    def reason(self, key: str) -> str:
        """Why a group was not cut; empty if it was."""
        return self.decision.candidates.reasons.get(key, "")


def analysed(model: onnx.ModelProto | ir.Model | str) -> tuple[ir.Model, Analysis]:
    """The normalised model and its analysis."""
    return prepare(load(model).model)


def prune_at_random(
    model: onnx.ModelProto | ir.Model | str,
    ratio: float = 0.5,
    *,
    seed: int = 0,
    structures: tuple[str, ...] | None = None,
) -> Outcome:
    """Remove a random share of every exact group and compare with the masked original.

    Weights should be random and not tiny: where masking does not move the outputs
    (`outcome.equivalence.change`), equality proves nothing.
    """
    normal, analysis = analysed(model)
    options = Options(ratio=ratio, criterion="random", seed=seed, structures=structures)
    decision = decide(analysis, options)
    return prune_slots(normal, analysis, decision.keeps, decision, seed)


def prune_slots(
    model: ir.Model, analysis: Analysis, keeps: Keeps, decision: Decision, seed: int = 0
) -> Outcome:
    """Rewrite with the given slots and compare."""
    pruned = rewrite(model, analysis, keeps)
    return Outcome(
        model, pruned, analysis, decision, check_equivalence(model, analysis, keeps, pruned, seed=seed)
    )


def canonical_groups(analysis: Analysis) -> Counter[tuple[str, int, int, bool]]:
    """Kind, size, weight elements reached, and whether exact, of every group that is not frozen.

    The same network gives the same whatever exported it: names, layouts, folded norms and split weights do
    not show. Vectors do not count as weights, because an exporter may fold them into their neighbours.
    """
    found: Counter[tuple[str, int, int, bool]] = Counter()
    for group in analysis.groups:
        if not group.frozen:
            elements = sum(_elements(w, group.atom) for w in analysis.weights.values())
            found[group.kind, group.size, elements, not group.approximate] += 1
    return found


def _elements(weight: Weight, atom: int) -> int:
    """How many elements of a weight of two or more axes belong to a slot of the atom."""
    if sum(size > 1 for size in weight.shape) < 2:
        return 0
    others = [float(np.mean(slots_of(dim, atom) < 0)) for dim in weight.dims]
    return round(weight.count * (1 - prod(others)))
