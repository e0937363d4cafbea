"""Sizes at run time that are the same whatever the sizes of the inputs: where they come from is followed.

Two runs at different sizes tell what changes. Where a model ran at one size of a free dimension only (an
exporter has written a loop out, or a constant down), nothing that was recorded is known to be static by
comparison. But the size of an axis that meets an axis of a stored weight is, and so is arithmetic on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.dims import Atom, Dim, Product, Solver, Sum, Take
from graphprune.runtime.recording import Recording

Mask = NDArray[np.bool_]

_SAME_ELEMENTS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
_ELEMENTWISE = frozenset({"Add", "Div", "Max", "Min", "Mod", "Mul", "Sub"})


class Steady:
    """Knows for each element of small whole numbers whether it is steady."""

    def __init__(self, facts: GraphFacts, recording: Recording, solver: Solver) -> None:
        self._facts, self._recording, self._solver = facts, recording, solver
        self._masks: dict[str, Mask] = {}

    @property
    def names(self) -> frozenset[str]:
        """Computed tensors all of whose elements are steady."""
        return frozenset(name for name, mask in self._masks.items() if mask.all())

    def holds(self, name: str) -> bool:
        """True if all that a tensor holds is steady."""
        mask = self._mask(name)
        return mask is not None and bool(mask.all())

    def follow(self, node: NodeFacts, dims: Mapping[str, tuple[Dim, ...]]) -> None:
        """Find out what is steady in the output of a node whose inputs have been followed."""
        name = node.outputs[0] if len(node.outputs) == 1 else ""
        value = self._recording.values.get(name)
        if value is None or name not in self._facts.shaped:
            return
        found = self._made(node, value, dims)
        if found is not None and found.size == value.size and found.any():
            self._masks[name] = found.reshape(value.shape)

    def _made(
        self, node: NodeFacts, value: NDArray[np.generic], dims: Mapping[str, tuple[Dim, ...]]
    ) -> Mask | None:
        if node.op in ("Shape", "Size"):
            axes = np.array([self._stored(d) for d in dims.get(node.inputs[0], ())], dtype=bool)
            if node.op == "Size":
                return np.array(axes.all() and axes.size > 0)
            return axes[slice(node.attributes.get("start"), node.attributes.get("end"))]
        masks = [self._mask(n) for n in node.inputs if n]
        if all(m is not None and m.all() for m in masks):
            return np.ones(value.shape, dtype=bool)
        if any(m is None for m in masks):
            return None
        return self._some(node, [m for m in masks if m is not None])

    def _some(self, node: NodeFacts, masks: list[Mask]) -> Mask | None:
        """Where only some elements of the inputs are steady, each by itself."""
        first, rest = masks[0], masks[1:]
        if node.op == "Concat":
            return np.concatenate([m.ravel() for m in masks])
        if node.op in _ELEMENTWISE and len(masks) == 2:
            return np.logical_and(first, rest[0])
        if not all(m.all() for m in rest):
            return None
        if node.op in _SAME_ELEMENTS:
            return first.ravel()
        numbers = [self._number(n) for n in node.inputs[1:]]
        if first.ndim != 1 or any(n is None for n in numbers):
            return None
        if node.op == "Gather":
            return np.asarray(first[numbers[0]])
        if node.op == "Slice":
            bounds = [int(np.ravel(n)[0]) for n in numbers if n is not None]
            return first[slice(bounds[0], bounds[1], bounds[3] if len(bounds) > 3 else None)]
        return None

    def _mask(self, name: str) -> Mask | None:
        """Which elements of a tensor are steady; None if that cannot be asked."""
        if name in self._masks:
            return self._masks[name]
        value = self._number(name)
        if value is None:
            return None
        return np.full(value.shape, name in self._facts.constant)

    def _number(self, name: str) -> NDArray[np.generic] | None:
        stored = self._facts.small_value(name)
        return self._recording.values.get(name) if stored is None else stored

    def _stored(self, dim: Dim) -> bool:
        """True if the size of a dimension is that of axes of weights, which never changes."""
        dim = self._solver.resolve(dim)
        match dim:
            case Atom():
                return dim.id in self._solver.stored
            case Product():
                return all(self._stored(f) for f in dim.factors)
            case Sum():
                return all(self._stored(t) for t in dim.terms)
            case Take():
                return self._stored(dim.base)
        return False
