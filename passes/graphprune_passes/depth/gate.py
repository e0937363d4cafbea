"""Gate-Norm: the size of the product of query and key projections, of attention layers, without any data.

The score of a layer is the Frobenius norm of Wq Wk^T, summed over heads, with the gain of the norm in front
folded in. How the projections are split into heads is not guessed: the rows of each weight are sent through
the nodes between the projection and the product of queries and keys. Where more happens on that way, such as
rotary positions, which turn queries and keys alike, a projection of their own is split into heads one after
the other, and keys that several queries share count for each. Layers without such a product go last, in order
of the size of their last weight. Source: "Data-Free Pruning of Self-Attention Layers in LLMs" (Gate-Norm),
2025.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.links import Links
from graphprune.errors import ModelError
from graphprune.normalise.evaluate import evaluate
from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.depth import norms

Array = NDArray[Any]

_BETWEEN = frozenset(
    {"Mul", "Div", "Add", "Sub", "Where", "Cast", "Identity", "Clip", "Softcap"}
)  # to the softmax
_LAYOUT = frozenset(
    "Add Cast Div Expand Gather Identity Mul Reshape Slice Split Squeeze Transpose Unsqueeze".split()
)
_NORMS = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
_LONGEST, _MOST = 16, 64  # nodes between a projection and the product: one after the other, and in all
_IR_VERSION = 10
_LAST = 1e6  # times the largest score: of layers that this says nothing of


def score(problem: ScoringProblem) -> Scores:
    """Norm of the product of query and key projections of each layer.

    Raises:
        ModelError: no layer has such a product.
    """
    reader = _Reader(problem)
    found = {g.atom: reader.norm(g.atom) for g in problem.groups}
    known = [v for v in found.values() if v is not None]
    if not known and found:
        raise ModelError(
            "nothing to prune: gate-norm finds no attention layer whose queries and keys it can follow to "
            "their projections; choose another --depth"
        )
    sizes = norms.last(problem)
    far = _LAST * max(known, default=1.0)
    return {a: np.array([v]) if v is not None else far * (1 + sizes[a]) for a, v in found.items()}


class _Reader:
    def __init__(self, problem: ScoringProblem) -> None:
        self._problem, self._analysis = problem, problem.analysis
        self._facts = problem.analysis.facts
        self._links = Links.of(self._facts)
        self._place = {n.name: k for k, n in enumerate(self._facts.nodes)}

    def norm(self, layer: int) -> float | None:
        """Of one layer; None where there is no attention that can be followed."""
        dead = self._analysis.dead(frozenset({layer}))
        total, seen = 0.0, False
        for node in self._facts.nodes:
            if node.op != "Softmax" or node.name not in dead:
                continue
            product = self._product(node.inputs[0])
            if product is None:
                return None
            # Positions of queries lie along the third axis of four, those of keys along the last.
            queries, keys = (self._projected(n, k) for n, k in zip(product.inputs, (2, 3), strict=True))
            if queries is None or keys is None or queries.shape != keys.shape:
                return None
            grams = [np.einsum("ihd,ihe->hde", a, a, dtype=np.float64) for a in (queries, keys)]
            total += float(np.einsum("hde,hed->", *grams))
            seen = True
        return float(np.sqrt(max(total, 0.0))) if seen else None

    def _product(self, name: str) -> NodeFacts | None:
        """The product of two activations that a softmax looks at."""
        for _ in range(8):
            node = self._links.producer.get(name)
            if node is None or node.domain:
                return None
            given = self._given(node)
            if node.op == "MatMul":
                return node if len(given) == 2 else None
            makers = [n for n in given if self._behind_product(n)]
            if node.op not in _BETWEEN or len(makers) != 1:
                return None
            name = makers[0]
        return None

    def _behind_product(self, name: str) -> bool:
        """Whether a tensor is a product with something done to every element of it."""
        node = self._links.producer.get(name)
        if node is None or node.op == "MatMul":
            return node is not None
        return node.op in _BETWEEN and any(self._behind_product(n) for n in self._given(node))

    def _given(self, node: NodeFacts) -> list[str]:
        return [n for n in node.inputs if n and n not in self._facts.shaped]

    def _projected(self, operand: str, steps: int) -> Array | None:
        """The projection in front of an operand as `(inputs, heads, width)`; None if no single one is."""
        found = self._followed(operand, steps)
        return self._turned(operand, steps) if found is None else found

    def _followed(self, operand: str, steps: int) -> Array | None:
        """The projection, where each node between it and the operand has one operand itself."""
        way: list[NodeFacts] = []
        name = operand
        while len(way) < _LONGEST:
            node = self._links.producer.get(name)
            given = [] if node is None or node.domain or node.bodies else self._given(node)
            if node is None or len(given) != 1:
                return None
            if node.op in ("MatMul", "Gemm") and given[0] == node.inputs[0]:
                return self._through(way[::-1], self._weight(node), name, operand, steps)
            if node.op not in _LAYOUT:
                return None
            way.append(node)
            name = given[0]
        return None

    def _through(
        self, way: list[NodeFacts], weight: Array | None, name: str, operand: str, steps: int
    ) -> Array | None:
        """The rows of a weight, sent from the projection's result to the operand as if they were tokens."""
        shape, end = (self._analysis.recording.shapes.get(n, ()) for n in (name, operand))
        if weight is None or len(shape) != 3 or len(end) != 4 or weight.shape[1] != shape[2]:
            return None
        if end[0] != shape[0] or end[steps] != shape[1]:
            return None
        rows = shape[0] * shape[1]
        parts = []
        for start in range(0, len(weight), rows):
            chunk = weight[start : start + rows]
            tokens = np.zeros((rows, shape[2]), np.float32)
            tokens[: len(chunk)] = chunk
            found = self._run(way, name, tokens.reshape(shape), operand)
            bias = self._run(way, name, np.zeros(shape, np.float32), operand)
            if found is None or bias is None:
                return None
            parts.append(np.moveaxis(found - bias, steps, 1).reshape(rows, end[1], -1)[: len(chunk)])
        return np.concatenate(parts)

    def _turned(self, operand: str, steps: int) -> Array | None:
        """The projection that all of an operand comes from, heads one after the other."""
        end = self._analysis.recording.shapes.get(operand, ())
        maker = self._links.producer.get(operand)
        if maker is None or len(end) != 4:
            return None
        waiting, met = [-self._place[maker.name]], 0
        while waiting and met < _MOST:
            node, met = self._facts.nodes[-heapq.heappop(waiting)], met + 1
            given = self._given(node)
            if not waiting and node.op in ("MatMul", "Gemm") and given == [node.inputs[0]]:
                matrix, width = self._weight(node), end[5 - steps]
                shared = 0 if matrix is None or matrix.shape[1] % width else matrix.shape[1] // width
                if matrix is None or not shared or end[1] % shared:
                    return None
                return np.repeat(matrix.reshape(len(matrix), shared, width), end[1] // shared, axis=1)
            for name in given:
                before = self._links.producer.get(name)
                if before is None:
                    return None
                if -self._place[before.name] not in waiting:
                    heapq.heappush(waiting, -self._place[before.name])
        return None

    def _weight(self, node: NodeFacts) -> Array | None:
        """The matrix of a projection, inputs first, with the gain of the norm in front of it."""
        found = self._array(node.inputs[1], 2)
        if found is None:
            return None
        matrix = found.T if node.attributes.get("transB") else found
        norm = self._links.producer.get(node.inputs[0])
        gain = self._array(norm.inputs[1], 1) if norm is not None and norm.op in _NORMS else None
        return matrix if gain is None or len(gain) != len(matrix) else matrix * gain[:, None]

    def _array(self, name: str, rank: int) -> Array | None:
        weight = self._analysis.weights.get(name)
        if weight is None or len(weight.shape) != rank:
            return None
        return np.asarray(self._problem.weight_array(name), np.float32)

    def _run(self, way: list[NodeFacts], name: str, array: Array, result: str) -> Array | None:
        known: dict[str, Array | None] = {"": None, name: array}
        for node in way:
            for read in (n for n in node.inputs if n not in known):
                known[read] = self._stored(read)
            inputs = [known[n] for n in node.inputs]
            attributes = {k: v for k, v in node.attributes.items() if v is not None}
            made = ir.node(node.op, [None] * len(inputs), attributes, num_outputs=len(node.outputs))
            for value, output in zip(made.outputs, node.outputs, strict=True):
                value.name = output
            found = evaluate(made, inputs, node.version, _IR_VERSION)
            if found is None:
                return None
            known.update(zip(node.outputs, found, strict=True))
        return known[result]

    def _stored(self, name: str) -> Array | None:
        tensor, recorded = self._facts.weights.get(name), self._analysis.recording.values.get(name)
        return np.asarray(tensor.numpy()) if tensor is not None else recorded
