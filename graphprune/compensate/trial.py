"""What the outputs lose when one group is cut and its readers are refitted: measured, not estimated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.facts import GraphFacts
from graphprune.compensate.solve import refit
from graphprune.dims import Keeps
from graphprune.rewrite.masking import goes, kept_elements, masked_weights
from graphprune.statistics import Linear, Statistics
from graphprune.statistics.parts import Parts

Array = NDArray[Any]
Outputs = Sequence[Mapping[str, Array]]

DAMPING = 1e-2
_SQUASHES = frozenset({"Softmax", "Sigmoid", "HardSigmoid"})
_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Cast"})
_ONE_AXIS = 13  # the version from which Softmax goes along one axis


def one_shot(statistics: Statistics, keeps: Keeps, readers: Sequence[Linear]) -> dict[str, Array]:
    """Weights of the masked model with `readers` refitted on the statistics of the original.

    Args:
        statistics: of a model whose biases are opened.
        keeps: kept slots by atom id.
        readers: linear operators to refit.
    """
    analysis = statistics.analysis
    found = masked_weights(analysis, keeps)
    for item in readers:
        if item.why or item.weight not in found:
            continue
        stored = analysis.facts.weights[item.weight].numpy()
        kept = item.layout.matrix(item.view(kept_elements(analysis.weights[item.weight], keeps)))
        gone = goes(analysis.weights[item.weight], keeps)
        matrix = item.layout.matrix(item.view(stored)).astype(np.float64) * item.gain
        fitted, shift = np.zeros(matrix.shape), np.zeros(matrix.shape[:2])
        centred = all(use.bias for use in item.uses)  # else nothing takes up the mean
        for k, moments in enumerate(statistics.moments(item)):
            c, r = kept[k].any(axis=0), kept[k].any(axis=1)
            if gone:  # without its layer only its mean stays
                shift[k][r] = matrix[k][r] @ moments.mean
                continue
            if not c.any() or not r.any():
                continue
            covariance, mean = (moments.covariance if centred else moments.second), moments.mean
            new = refit(
                covariance[np.ix_(c, c)],
                matrix[k][r] @ covariance[:, c],
                matrix[k][np.ix_(r, c)],
                DAMPING,
            )
            fitted[k][np.ix_(r, c)] = new
            shift[k][r] = matrix[k][r] @ mean - new @ mean[c]
        found[item.weight] = item.stored(item.layout.tensor(fitted / item.gain, item.shape), stored)
        for use in item.uses:
            if use.bias:
                bias = analysis.facts.weights[use.bias].numpy()
                moved = found.get(use.bias, bias).astype(np.float64) + use.layout.bias(shift, bias.shape)
                moved[~kept_elements(analysis.weights[use.bias], keeps)] = 0
                found[use.bias] = moved.astype(bias.dtype)
    return found


def with_weights(model: ir.Model, weights: Mapping[str, Array]) -> ir.Model:
    """A copy of a model with other values for some initializers."""
    copy = model.clone()
    for name, array in weights.items():
        copy.graph.initializers[name].const_value = ir.Tensor(array, name=name)
    return copy


class Trials:
    """Runs a network again and again, each time with other values for some weights.

    Only what lies behind the first changed weight is run, from activations of the original that are carried
    along; so trials come in the order of their first changed weight, or cost a new start.

    Attributes:
        before: what is compared of the original, for each batch: its outputs and, where those saturate, what
            they are computed from as well.
    """

    def __init__(self, model: ir.Model, analysis: Analysis, batches: Sequence[Mapping[str, Array]]) -> None:
        """Run the original on all batches."""
        self._inner = dict(_before_saturation(analysis.facts))
        self._parts, self._batches = Parts(model, analysis, self._inner), batches
        self._at, self._states = 0, list(batches)
        passed = [n for n in analysis.facts.outputs if n in batches[0]]
        self.before: Outputs = [{**{n: b[n] for n in passed}, **self._rest(0, b)} for b in batches]

    def place(self, weights: Collection[str]) -> int:
        """Where the first of these weights is read: the order in which trials cost least."""
        return self._parts.readers(weights)[0]

    def after(self, weights: Mapping[str, Array]) -> Outputs:
        """Outputs for each batch with other values for some weights."""
        first, last = self._parts.readers(weights)
        self._go_to(first)
        found = []
        with self._parts.opened(first, last, self._states[0], weights) as session:
            for state, before in zip(self._states, self.before, strict=True):
                alive, given = self._parts.step(session, last, state)
                found.append({**before, **self._centred(given), **self._rest(last + 1, alive)})
        return found

    def loss(self, weights: Mapping[str, Array]) -> float:
        """How far the outputs are from the original's, see `distance`."""
        return distance(self.before, self.after(weights))

    def close(self) -> None:
        """Close all sessions and forget the activations."""
        self._parts.close()
        self._states = []

    def _go_to(self, part: int) -> None:
        """Carry the activations of the original along to the beginning of a part."""
        if part < self._at:
            self._at, self._states = 0, list(self._batches)
        for k in range(self._at, part):
            self._states = [self._parts.run(k, state)[0] for state in self._states]
        self._at = part

    def _rest(self, first: int, state: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs that the parts from here on give."""
        found: dict[str, Array] = {}
        for k in range(first, self._parts.count):
            state, given = self._parts.run(k, state)
            found.update(self._centred(given))
        return found

    def _centred(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Tensors less their mean over the axes along which adding a constant changes no output."""
        return {
            n: a - a.mean(axis=axes, keepdims=True) if (axes := self._inner.get(n)) else a
            for n, a in given.items()
        }


def _before_saturation(facts: GraphFacts) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensors that outputs are squashed from, with the axes along which only differences count.

    A probability near one hides a loss until it has grown large; what it is computed from does not.
    """
    producer = {name: node for node in facts.nodes for name in node.outputs}
    for output in facts.outputs:
        node = producer.get(output)
        while node is not None and node.op in _MOVES and not node.domain:
            node = producer.get(node.inputs[0])
        if node is None or node.domain or node.op not in _SQUASHES:
            continue
        axes: tuple[int, ...] = ()
        if node.op == "Softmax":
            axes = (int(node.attributes.get("axis", -1 if node.version >= _ONE_AXIS else 1)),)
        yield node.inputs[0], axes


def distance(before: Outputs, after: Outputs) -> float:
    """Mean over all real tensors of the squared error, as a share of the variance of the tensor."""
    shares = []
    for name, first in before[0].items():
        if not np.issubdtype(first.dtype, np.floating):
            continue
        squares = total = 0.0
        count = 0
        mean = float(np.mean([np.mean(b[name], dtype=np.float64) for b in before]))
        for b, a in zip(before, after, strict=True):
            if b[name].shape != a[name].shape:
                continue
            x, y = b[name].astype(np.float64), a[name].astype(np.float64)
            good = np.isfinite(x) & np.isfinite(y)
            squares += float(np.square(x - y)[good].sum())
            total += float(np.square(x - mean)[good].sum())
            count += 1
        if count and total > 0:
            shares.append(squares / total)
    return float(np.mean(shares)) if shares else 0.0
