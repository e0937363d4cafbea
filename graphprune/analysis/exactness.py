"""Which removals are exact: what a removed slot holds once its weights are zero.

The oracle compares the pruned model with the original whose weights are zero in the removed slots. That
is an equality wherever such a slot is only carried along or multiplied by a zeroed weight. Where two
activations meet (attention scores) or an activation is summed, the slot must hold zero itself. This pass
follows, forwards and per atom, whether it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import cached_property

import numpy as np

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.signs import Sign, sign_of
from graphprune.dims import Dim, atoms_in
from graphprune.dims.expr import times_in
from graphprune.rules import Rule, find_rule
from graphprune.rules.effects import Contraction, Silent

# What a recurrence may apply to its candidates so that a state without weights stays zero.
_RESTING = frozenset({"Tanh", "Relu", "LeakyRelu", "Elu", "Softsign", "ScaledTanh", "ThresholdedRelu"})
# 1 / 0, log 0; and a runtime may divide by a variance of zero.
_UNDEFINED_AT_ZERO = frozenset({"Acosh", "Log", "MeanVarianceNormalization", "Reciprocal", "ReduceLogSum"})
_SMALL = 1 << 16  # elements of a stored tensor that is read for its smallest


class Level(IntEnum):
    """What the removed slots of a tensor hold when all their weights are zero."""

    ZERO = 0
    FINITE = 1
    UNDEFINED = 2  # 0 / 0, log 0


def inexact_atoms(
    facts: GraphFacts,
    dims: Mapping[str, tuple[Dim, ...]],
    contractions: Mapping[str, Sequence[Contraction]],
    unmasked: frozenset[str],
    silent: Mapping[str, Sequence[Silent]],
) -> tuple[dict[int, str], Mapping[str, Mapping[int, Level]]]:
    """Atoms whose removal is not exact, each with the reason; and what removed slots hold if not zero."""
    flow = _Flow(facts, dims, contractions, unmasked, silent)
    return flow.run(), flow.levels


class _Flow:
    def __init__(
        self,
        facts: GraphFacts,
        dims: Mapping[str, tuple[Dim, ...]],
        contractions: Mapping[str, Sequence[Contraction]],
        unmasked: frozenset[str],
        silent: Mapping[str, Sequence[Silent]],
    ) -> None:
        self.facts, self.contractions, self.silent = facts, contractions, silent
        self.dims = dims
        self.mentions = {name: atoms_in(d) for name, d in dims.items()}
        self.levels: dict[str, dict[int, Level]] = {}  # only what is not ZERO
        for name in facts.weights:
            if name in unmasked:
                self.levels[name] = dict.fromkeys(self.mentions.get(name, ()), Level.FINITE)
        self.found: dict[int, str] = {}

    def run(self) -> dict[int, str]:
        """Follow every node in order."""
        for node in self.facts.nodes:
            self._follow(node)
        return self.found

    def _follow(self, node: NodeFacts) -> None:
        if node.bodies:
            self._follow_bodies(node)
            return
        for contraction in self.contractions.get(node.name, ()):
            self._check(node, contraction)
        rule = find_rule(node.domain, node.op)
        for name in node.outputs:
            self._stain(name, {a: self._level(node, rule, a) for a in self.mentions.get(name, ())})

    def _stain(self, name: str, levels: Mapping[int, Level]) -> bool:
        """Raise what is known of a tensor; True if that changed anything."""
        before = self.levels.get(name, {})
        after = {a: max(v, before.get(a, Level.ZERO)) for a, v in levels.items()}
        after = {**before, **{a: v for a, v in after.items() if v}}
        self.levels[name] = after
        return after != before

    def _levels_of(self, source: str, target: str) -> dict[int, Level]:
        """What `target` holds if it is `source`."""
        return {a: self._at(source, a) or Level.ZERO for a in self.mentions.get(target, ())}

    def _follow_bodies(self, node: NodeFacts) -> None:
        """Once through each branch; through the body of a loop until nothing changes any more."""
        first_in, first_out = {"Loop": (2, 1), "Scan": (0, 0)}.get(node.op, (0, 0))
        for body in node.bodies:
            carried = list(zip(node.inputs[first_in:], body.inputs[first_in:], strict=False))
            turned = list(zip(body.outputs[first_out:], body.inputs[first_in:], strict=False))
            for source, target in carried:
                self._stain(target, self._levels_of(source, target))
            moved = True
            while moved:
                for inner in body.nodes:
                    self._follow(inner)
                moved = node.op != "If" and any(  # a list: every one must be stained
                    [self._stain(t, self._levels_of(s, t)) for s, t in turned if self._same(s, t)]  # noqa: C419
                )
            for source, target in zip(body.outputs[first_out:], node.outputs, strict=True):
                self._stain(target, self._levels_of(source, target))

    def _same(self, one: str, other: str) -> bool:
        return self.mentions.get(one, frozenset()) == self.mentions.get(other, frozenset())

    def _at(self, name: str, atom: int) -> Level | None:
        """The level of a tensor at an atom; None where the tensor does not have it."""
        if atom not in self.mentions.get(name, frozenset()):
            return None
        return self.levels.get(name, {}).get(atom, Level.ZERO)

    def _check(self, node: NodeFacts, contraction: Contraction) -> None:
        for atom in contraction.dim.atoms:
            given = [self._at(node.inputs[k], atom) for k in contraction.operands]
            levels = [v for v in given if v is not None]
            if levels and (min(levels) != Level.ZERO or max(levels) == Level.UNDEFINED):
                self.found.setdefault(
                    atom, f'{node.op} "{node.name}" sums over it where removed slots do not hold zero'
                )

    def _level(self, node: NodeFacts, rule: Rule | None, atom: int) -> Level:
        if rule is None:
            return Level.FINITE
        for silent in self.silent.get(node.name, ()):
            if atom in silent.dim.atoms and max(self._times(n, atom) for n in node.outputs if n) == 1:
                like = None if silent.like is None else node.inputs[silent.like]
                return Level.ZERO if like is None else self._at(like, atom) or Level.ZERO
        wanted = max(self._times(n, atom) for n in node.outputs if n)
        given = {k: self._carried(node, k, atom) for k, n in enumerate(node.inputs) if n}
        added = [Level.FINITE if v is None else v for k, v in given.items() if k in rule.added]
        rest = {k: v for k, v in given.items() if k not in rule.added}
        if wanted > 1 and rule.zero_of(node) != "all":
            # An operand that lacks one of several mentions does not hold zero where only that one is removed.
            for k, v in rest.items():
                if (
                    v is Level.ZERO
                    and self._times(node.inputs[k], atom) < wanted
                    and not _divides(node, rule, k)
                ):
                    rest[k] = Level.UNDEFINED if self._may_invert(node, k) else Level.FINITE
        return max([self._combine(node, rule, rest, wanted), *added])

    def _times(self, name: str, atom: int) -> int:
        """How often a tensor mentions an atom: a Gram matrix has its channels on two axes."""
        return sum(times_in(d, atom) for d in self.dims.get(name, ()) if atom in d.atoms)

    def _carried(self, node: NodeFacts, index: int, atom: int) -> Level | None:
        """The level of an operand; None if all its mentions of the atom are summed over here."""
        name = node.inputs[index]
        summed = sum(
            atom in c.dim.atoms and index in c.operands and not c.stays
            for c in self.contractions.get(node.name, ())
        )
        if summed and self._times(name, atom) <= summed:
            return None
        return self._at(name, atom)

    def _combine(self, node: NodeFacts, rule: Rule, given: Mapping[int, Level | None], wanted: int) -> Level:
        present = [v for v in given.values() if v is not None]
        match rule.zero_of(node):
            case "keep":
                return max([*present, self._filled(node)] if node.op == "Pad" or not present else present)
            case "any":
                summands = [v for k, v in given.items() if k not in rule.aside]
                return max((Level.FINITE if v is None else v for v in summands), default=Level.ZERO)
            case "all":
                if Level.UNDEFINED in present:
                    return Level.UNDEFINED
                if not _rests_at_zero(node):
                    return Level.FINITE
                # With several mentions each operand may hold another of them.
                return (max if wanted > 1 else min)(present, default=Level.FINITE)
            case "first":
                first = given.get(0)
                return Level.FINITE if first is None else first
            case "value":
                value = given.get(2)
                return Level.FINITE if value is None else value
            case "divide":
                above, below = given.get(0), given.get(1)
                if below is Level.ZERO or below is Level.UNDEFINED:
                    return Level.UNDEFINED
                return Level.FINITE if above is None else above
            case _:
                return self._lifted(node, given)

    def _filled(self, node: NodeFacts) -> Level:
        """What slots hold that no input has: repeats of an Expand, what a Pad or ConstantOfShape writes."""
        if node.op == "ConstantOfShape":
            value = node.attributes.get("value")
            made = node.outputs[0] in self.facts.constant  # then it is masked like any other weight
            real = value is None or value.dtype.is_floating_point()
            return Level.ZERO if value is None or (made and real) or not value.numpy().any() else Level.FINITE
        if node.op == "Pad":
            if node.attributes.get("mode", "constant") != "constant":
                return Level.ZERO
            fill = self._number(node, 2, node.attributes.get("value", 0.0))
            return Level.ZERO if fill == 0 else Level.FINITE
        if node.op == "Expand" and self._number(node, 0, None) == 0:
            return Level.ZERO
        return Level.FINITE

    def _number(self, node: NodeFacts, index: int, default: float | None) -> float | None:
        """A scalar constant that is given as an input; None if it is computed."""
        if index >= len(node.inputs) or not node.inputs[index]:
            return default
        tensor = self.facts.weights.get(node.inputs[index])
        return float(np.ravel(tensor.numpy())[0]) if tensor is not None and tensor.size == 1 else None

    def _lifted(self, node: NodeFacts, given: Mapping[int, Level | None]) -> Level:
        present = [v for v in given.values() if v is not None]
        lowest = min(present, default=Level.FINITE)
        if node.op in ("IsNaN", "IsInf"):  # a truth value, whatever the operand
            return Level.FINITE
        if Level.UNDEFINED in present or (lowest is Level.ZERO and node.op in _UNDEFINED_AT_ZERO):
            return Level.UNDEFINED
        if node.op == "Clip" and lowest is Level.ZERO:
            low, high = self._number(node, 1, -np.inf), self._number(node, 2, np.inf)
            low, high = node.attributes.get("min", low), node.attributes.get("max", high)
            return Level.ZERO if low is not None and high is not None and low <= 0 <= high else Level.FINITE
        if node.op == "Pow" and given.get(0) is Level.ZERO and given.get(1) is not Level.ZERO:
            return self._power_of_zero(node)
        return Level.FINITE

    def _power_of_zero(self, node: NodeFacts) -> Level:
        """What zero to a power is: one if that is zero too, and nothing that is known if it is negative."""
        least = self._least(node.inputs[1])
        if least is None:
            sign = self._signs.get(node.inputs[1], Sign.ANY)  # a small power may come out as zero
            return Level.FINITE if sign > Sign.ANY else Level.UNDEFINED
        return Level.ZERO if least > 0 else Level.FINITE if least == 0 else Level.UNDEFINED

    def _may_invert(self, node: NodeFacts, index: int) -> bool:
        """True of a base that may be zero, under a power that may be negative."""
        return node.op == "Pow" and index == 0 and self._power_of_zero(node) is Level.UNDEFINED

    def _least(self, name: str) -> float | None:
        """The smallest element of a small stored tensor."""
        tensor = self.facts.weights.get(name)
        if tensor is None or not 0 < tensor.size <= _SMALL:
            return None
        return float(np.min(np.asarray(tensor.numpy(), np.float64)))

    @cached_property
    def _signs(self) -> Mapping[str, Sign]:
        """What is known of the sign of every computed tensor."""
        known: dict[str, Sign] = {}
        for node in self.facts.all_nodes:
            if not node.domain and not node.bodies:
                known.update(dict.fromkeys(node.outputs, sign_of(node, known, self._least)))
        return known


def _rests_at_zero(node: NodeFacts) -> bool:
    """True but for a recurrence whose activations move a state that has no weights."""
    names = list(node.attributes.get("activations") or ())
    each = {"LSTM": 3, "DynamicQuantizeLSTM": 3, "GRU": 2, "RNN": 1}.get(node.op, 0)
    if not names or not each:
        return True
    gates = 0 if node.op == "RNN" else 1  # each direction lists its gates' function first
    return all(name in _RESTING for k, name in enumerate(names) if k % each >= gates)


def _divides(node: NodeFacts, rule: Rule, index: int) -> bool:
    return rule.zero_of(node) == "divide" and index == 1
