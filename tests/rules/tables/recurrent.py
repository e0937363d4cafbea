"""LSTM, GRU and RNN: X is (s, b, in), W (r, gates h, in), R (r, gates h, h), B (r, 2 gates h)."""

from __future__ import annotations

from tests.rules.building import Case

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_HIDDEN = 5


def _cut(op: str) -> str:
    """W's second axis is gates x hidden; an RNN has one gate."""
    return "A[1] W[1]" if op == "RNN" else "A[1] W[1].2"


def _weights(op: str, ways: int) -> str:
    rows = _GATES[op] * _HIDDEN
    return f"float[{ways}, {rows}, 6] W, float[{ways}, {rows}, {_HIDDEN}] R, float[{ways}, {2 * rows}] b"


def _sequence(op: str, ways: int = 1, attributes: str = "") -> str:
    """A layer, the recurrence over all steps, and a layer on both directions side by side."""
    attributes = f"hidden_size = {_HIDDEN}{attributes}"
    return f"""net (float[s, n, 4] x) => (float[S, N, V] y)
        <float[4, 6] A, {_weights(op, ways)}, int64[3] m = {{0, 0, -1}}, float[{ways * _HIDDEN}, 3] B>
        {{ h = MatMul(x, A)  o = {op} <{attributes}> (h, W, R, b)  t = Transpose <perm = [0, 2, 1, 3]> (o)
           z = Reshape(t, m)  y = MatMul(z, B) }}"""


def _states(op: str) -> str:
    """Initial states from layers, and a layer on the last state."""
    cell = ", c0" if op == "LSTM" else ""
    last = ", cl" if op == "LSTM" else ""
    more = "c1 = MatMul(k, C)  c0 = Unsqueeze(c1, zero)" if op == "LSTM" else ""
    weight = f"float[7, {_HIDDEN}] C," if op == "LSTM" else ""
    return f"""net (float[s, n, 6] x, float[n, 7] k) => (float[N, V] y)
        <float[7, {_HIDDEN}] H, {weight} {_weights(op, 1)}, int64[1] zero = {{0}}, float[{_HIDDEN}, 3] B>
        {{ h1 = MatMul(k, H)  h0 = Unsqueeze(h1, zero)  {more}
           o, hl{last} = {op} <hidden_size = {_HIDDEN}> (x, W, R, b, , h0{cell})
           z = Squeeze({"cl" if op == "LSTM" else "hl"}, zero)  y = MatMul(z, B) }}"""


def _batch_first(op: str) -> str:
    return f"""net (float[n, s, 4] x) => (float[N, S, V] y)
        <float[4, 6] A, {_weights(op, 1)}, int64[1] two = {{2}}, float[{_HIDDEN}, 3] B>
        {{ h = MatMul(x, A)  o = {op} <hidden_size = {_HIDDEN}, layout = 1> (h, W, R, b)
           z = Squeeze(o, two)  y = MatMul(z, B) }}"""


_PEEPHOLES = f"""net (float[s, n, 6] x) => (float[S, N, V] y)
    <{_weights("LSTM", 1)}, float[1, {3 * _HIDDEN}] P, int64[1] one = {{1}}, float[{_HIDDEN}, 3] B>
    {{ o = LSTM <hidden_size = {_HIDDEN}> (x, W, R, b, , , , P)  z = Squeeze(o, one)  y = MatMul(z, B) }}"""
_STACKED = f"""net (float[s, n, 6] x) => (float[S, N, V] y)
    <{_weights("LSTM", 1)}, float[1, 16, {_HIDDEN}] W2, float[1, 16, 4] R2, int64[1] one = {{1}}, float[4, 3] B>
    {{ o = LSTM <hidden_size = {_HIDDEN}> (x, W, R, b)  h = Squeeze(o, one)
       p = LSTM <hidden_size = 4> (h, W2, R2)  z = Squeeze(p, one)  y = MatMul(z, B) }}"""

CASES = (
    *(Case(op, _sequence(op), _cut(op), frozen={"B[1]": "reaches graph output"}) for op in _GATES),
    *(
        Case(op, _sequence(op, 2, ', direction = "bidirectional"'), _cut(op), what="bidirectional")
        for op in _GATES
    ),
    Case("LSTM", _sequence("LSTM", 1, ', direction = "reverse"'), _cut("LSTM"), what="reverse"),
    Case("GRU", _sequence("GRU", 1, ", linear_before_reset = 1"), _cut("GRU"), what="linear before reset"),
    *(Case(op, _states(op), "H[1]", what="initial and last state") for op in _GATES),
    *(Case(op, _batch_first(op), _cut(op), what="batch first", runs=False) for op in _GATES),
    Case("LSTM", _PEEPHOLES, "W[1].2", what="peepholes"),
    Case("LSTM", _STACKED, "W[1].2 W2[1].2", what="stacked"),
)
