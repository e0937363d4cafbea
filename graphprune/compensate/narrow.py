"""A network at pruned widths with repaired weights, and the way back to original shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import read_graph
from graphprune.compensate.trial import with_weights
from graphprune.compensate.walk import Walk
from graphprune.dims.evaluate import cut
from graphprune.passes import CompensationProblem
from graphprune.rewrite import rewrite

Array = NDArray[Any]
Feeds = Mapping[str, Array]


class Narrow:
    """What a repaired network is once it is cut.

    Attributes:
        model: at pruned widths.
        facts: of that model.
    """

    def __init__(self, problem: CompensationProblem, weights: Mapping[str, Array]) -> None:
        self._problem = problem
        whole = with_weights(problem.model, weights)
        self._whole = whole.graph.initializers
        self.model = rewrite(whole, problem.analysis, problem.keeps)
        self.facts = read_graph(self.model)

    def walk(self, batches: Sequence[Feeds], budget: int) -> Walk:
        """Through the pruned network, holding at most `budget` bytes of activations."""
        return Walk(self.model, self.facts, batches, budget)

    def knows(self, name: str) -> bool:
        """Whether an initializer is one of the original's weights."""
        return name in self._problem.analysis.weights and name in self._whole

    def cut(self, name: str, array: Array) -> Array:
        """A tensor of the original as far as it is kept."""
        return np.asarray(cut(array, self._problem.analysis.dims[name], self._problem.keeps))

    def restored(self, name: str, pruned: Array) -> Array:
        """A weight at its original shape; what was removed stays as it was."""
        tensor = self._whole[name].const_value
        assert tensor is not None
        array = np.array(tensor.numpy(), order="C")
        dims = self._problem.analysis.weights[name].dims
        places = cut(np.arange(array.size).reshape(array.shape), dims, self._problem.keeps)
        array.reshape(-1)[places.ravel()] = pruned.ravel()
        return array
