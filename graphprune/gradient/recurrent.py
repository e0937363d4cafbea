"""Vector-Jacobian products of recurrent operators: back through time, one direction at a time.

Gates are computed again from the states that ONNX Runtime gave, because it gives nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]

_X, _W, _R, _B, _LENGTHS, _STATE, _CELL, _PEEPHOLES = range(8)
_UNUSUAL = ("activations", "activation_alpha", "activation_beta", "clip", "input_forget", "layout")


def plain(node: NodeFacts) -> bool:
    """Whether a recurrent operator is of the usual form: default activations, no clipping, no peepholes."""
    extra = [n for k, n in enumerate(node.inputs) if k in (_LENGTHS, _PEEPHOLES) and n]
    return not extra and not any(node.attributes.get(a) for a in _UNUSUAL) and bool(node.outputs[0])


def _recurrent(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[_X]]
    weights = [values[n] if n else None for n in (*node.inputs, *[""] * 8)[_W : _B + 1]]
    w, r, b = weights
    assert w is not None
    assert r is not None
    y = values[node.outputs[0]]
    _, directions, batch, hidden = y.shape
    if b is None:
        b = np.zeros((directions, 2 * r.shape[1]), x.dtype)
    slopes = given[0] if given[0] is not None else np.zeros_like(y)
    last = given[1] if len(given) > 1 else None
    cell_last = given[2] if len(given) > 2 else None
    step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[node.op]
    found_x = np.zeros_like(x)
    found = [np.zeros_like(a) for a in (w, r, b)]
    for d in range(directions):
        back = node.attributes.get("direction") == "reverse" or d == 1
        order = slice(None, None, -1) if back else slice(None)
        states = y[order, d]
        zero = np.zeros((batch, hidden), x.dtype)
        initial = [values[n][d] if n else zero for n in (*node.inputs, *[""] * 8)[_STATE : _CELL + 1]]
        before = np.concatenate([initial[0][None], states[:-1]])
        g = np.array(slopes[order, d])
        if last is not None:
            g[-1] += last[d]
        end = zero if cell_last is None else cell_last[d]
        gates = step(node, x[order], w[d], r[d], b[d], before, initial[1], g, end)
        given_x, given_h, rows_h = gates  # slopes at the products with x and with the state, and its rows
        flat_x = given_x.reshape(-1, given_x.shape[-1])
        flat_h = given_h.reshape(-1, given_h.shape[-1])
        found_x[order] += (flat_x @ w[d]).reshape(x.shape)
        found[0][d] = flat_x.T @ x[order].reshape(-1, x.shape[-1])
        found[1][d] = _by_rows(flat_h, rows_h, hidden)
        found[2][d] = np.concatenate([flat_x.sum(axis=0), flat_h.sum(axis=0)])
    return [found_x, *found, None, None, None, None]


def _by_rows(slopes: Array, rows: Sequence[Array], hidden: int) -> Array:
    """Slopes of R, whose blocks of rows may read different states."""
    blocks = [
        slopes[:, k * hidden : (k + 1) * hidden].T @ read.reshape(-1, hidden) for k, read in enumerate(rows)
    ]
    return np.concatenate(blocks)


def _lstm(
    node: NodeFacts, x: Array, w: Array, r: Array, b: Array, before: Array, cell: Array, g: Array, end: Array
) -> tuple[Array, Array, list[Array]]:
    hidden = r.shape[1]
    sums = x @ w.T + before @ r.T + (b[: 4 * hidden] + b[4 * hidden :])
    i, o, f = (scipy.special.expit(sums[..., k * hidden : (k + 1) * hidden]) for k in range(3))
    c = np.tanh(sums[..., 3 * hidden :])
    cells = np.empty((len(x) + 1, *cell.shape), x.dtype)
    cells[0] = cell
    for t in range(len(x)):
        cells[t + 1] = f[t] * cells[t] + i[t] * c[t]
    squashed = np.tanh(cells[1:])
    slopes = np.empty_like(sums)
    to_cell, to_state = np.array(end), np.zeros_like(cell)
    for t in reversed(range(len(x))):
        at = g[t] + to_state
        to_cell = to_cell + at * o[t] * (1 - squashed[t] ** 2)
        slopes[t, :, :hidden] = to_cell * c[t] * i[t] * (1 - i[t])
        slopes[t, :, hidden : 2 * hidden] = at * squashed[t] * o[t] * (1 - o[t])
        slopes[t, :, 2 * hidden : 3 * hidden] = to_cell * cells[t] * f[t] * (1 - f[t])
        slopes[t, :, 3 * hidden :] = to_cell * i[t] * (1 - c[t] ** 2)
        to_cell = to_cell * f[t]
        to_state = slopes[t] @ r
    return slopes, slopes, [before] * 4


def _gru(
    node: NodeFacts, x: Array, w: Array, r: Array, b: Array, before: Array, cell: Array, g: Array, end: Array
) -> tuple[Array, Array, list[Array]]:
    hidden = r.shape[1]
    first = bool(node.attributes.get("linear_before_reset"))
    wide = x @ w.T + b[: 3 * hidden]
    gates = scipy.special.expit(
        wide[..., : 2 * hidden] + before @ r[: 2 * hidden].T + b[3 * hidden : 5 * hidden]
    )
    z, reset = gates[..., :hidden], gates[..., hidden:]
    bias = b[5 * hidden :]
    inner = before @ r[2 * hidden :].T + bias if first else (reset * before) @ r[2 * hidden :].T + bias
    new = np.tanh(wide[..., 2 * hidden :] + (reset * inner if first else inner))
    at_x, at_h = np.empty_like(wide), np.empty_like(wide)
    to_state = np.zeros_like(g[0])
    for t in reversed(range(len(x))):
        at = g[t] + to_state
        squash = at * (1 - z[t]) * (1 - new[t] ** 2)
        at_x[t, :, 2 * hidden :] = squash
        at_h[t, :, 2 * hidden :] = squash * reset[t] if first else squash
        through = at_h[t, :, 2 * hidden :] @ r[2 * hidden :]
        at_reset = squash * inner[t] if first else through * before[t]
        at_x[t, :, :hidden] = at * (before[t] - new[t]) * z[t] * (1 - z[t])
        at_x[t, :, hidden : 2 * hidden] = at_reset * reset[t] * (1 - reset[t])
        at_h[t, :, : 2 * hidden] = at_x[t, :, : 2 * hidden]
        to_state = at * z[t] + at_x[t, :, : 2 * hidden] @ r[: 2 * hidden]
        to_state = to_state + (through if first else through * reset[t])
    return at_x, at_h, [before, before, before if first else reset * before]


def _rnn(
    node: NodeFacts, x: Array, w: Array, r: Array, b: Array, before: Array, cell: Array, g: Array, end: Array
) -> tuple[Array, Array, list[Array]]:
    hidden = r.shape[1]
    states = np.tanh(x @ w.T + before @ r.T + (b[:hidden] + b[hidden:]))
    slopes = np.empty_like(states)
    to_state = np.zeros_like(g[0])
    for t in reversed(range(len(x))):
        slopes[t] = (g[t] + to_state) * (1 - states[t] ** 2)
        to_state = slopes[t] @ r
    return slopes, slopes, [before]


RECURRENT = default_domain({"LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent})
