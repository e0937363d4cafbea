"""Vector-Jacobian products of matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]


def _matmul(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    g, a, b = given[0], values[node.inputs[0]], values[node.inputs[1]]
    if a.ndim == 1 or b.ndim == 1:
        g = np.expand_dims(g, -2) if a.ndim == 1 else g
        g = np.expand_dims(g, -1) if b.ndim == 1 else g
    x = a[None] if a.ndim == 1 else a
    w = b[:, None] if b.ndim == 1 else b
    left = right = None
    if asked[0]:
        left = np.matmul(g, np.swapaxes(w, -1, -2))
        left = left[..., 0, :] if a.ndim == 1 else left
    if asked[1] and w.ndim == 2:  # one product instead of one for each sample
        right = x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])
    elif asked[1]:
        right = np.matmul(np.swapaxes(x, -1, -2), g)
    if right is not None and b.ndim == 1:
        right = right[..., 0]
    return [left, right]


def _gemm(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    g, a, b = given[0], values[node.inputs[0]], values[node.inputs[1]]
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    x = a.T if node.attributes.get("transA") else a
    w = b.T if node.attributes.get("transB") else b
    left = alpha * (g @ w.T) if asked[0] else None
    right = alpha * (x.T @ g) if asked[1] else None
    if left is not None and node.attributes.get("transA"):
        left = left.T
    if right is not None and node.attributes.get("transB"):
        right = right.T
    return [left, right, beta * g]


LINEAR = default_domain({"Gemm": _gemm, "MatMul": _matmul})
