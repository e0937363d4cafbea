"""States that a recurrent network is handed from one run to the next.

An input that holds the state of a network has no meaning of its own: what it holds is what an earlier run
gave. Random numbers there are states that the network is never in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.errors import ModelError
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.meaning import uses_of_numbers
from graphprune.runtime.session import open_session

Array = NDArray[Any]
Feeds = Mapping[str, Array]
STEPS = 6  # runs that one state is carried through
_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}  # inputs of operators
# What is called "hidden_states" is what a block of a transformer reads.
_NAMED = re.compile(r"(?<!hidden_)state|memory|cache|(^|_)[hc](0|n|_?in)?$|^hidden$", re.IGNORECASE)


def find_states(model: ir.Model, feeds: Feeds, flow: nx.DiGraph[ir.Value]) -> dict[str, str]:
    """Inputs that hold states, and the outputs that give the next ones.

    They are initial states of recurrent operators, or called so, and as many outputs have their shape.

    Args:
        model: any model.
        feeds: valid ones.
        flow: from `value_flow`.
    """
    named = [v for v in real_inputs(model) if feeds[str(v.name)].dtype.kind == "f" and _is_state(v, flow)]
    if not named or len(named) == len(feeds):  # it would be run on nothing but itself
        return {}
    try:
        with open_session(model) as session:
            given = session.run(feeds)
    except ModelError:
        return {}
    found: dict[str, str] = {}
    for shape in {feeds[str(v.name)].shape for v in named}:
        inputs = [str(v.name) for v in named if feeds[str(v.name)].shape == shape]
        outputs = [name for name, array in given.items() if array.shape == shape]
        if len(inputs) == len(outputs):
            found |= dict(zip(inputs, outputs, strict=True))
    return found


def _is_state(value: ir.Value, flow: nx.DiGraph[ir.Value]) -> bool:
    if _NAMED.search(str(value.name)):
        return True
    return any(at in _STATES.get(node.op_type, ()) for node, at in uses_of_numbers(value, flow))


def carry(model: ir.Model, feeds: Sequence[Feeds], states: Mapping[str, str]) -> tuple[Feeds, ...]:
    """The same feeds with states that the network comes to: zeros first, then what the run before gave.

    Args:
        model: any model.
        feeds: valid ones, `STEPS` at a time that belong together.
        states: from `find_states`.
    """
    found: list[Feeds] = []
    with open_session(model) as session:
        given: Mapping[str, Array] = {}
        for number, one in enumerate(feeds):
            first = number % STEPS == 0
            held = {i: np.zeros_like(one[i]) if first else given[o] for i, o in states.items()}
            found.append({**one, **held})
            given = session.run(found[-1])
    return tuple(found)
