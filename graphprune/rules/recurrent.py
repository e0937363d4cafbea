"""LSTM, GRU and RNN. W is (directions, gates * hidden, in), R is (directions, gates * hidden, hidden)."""

from __future__ import annotations

from collections.abc import Callable

from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def recurrent(gates: int, states: int) -> Callable[[NodeContext], str]:
    """The rule of a recurrence with so many gates and states."""

    def relate(node: NodeContext) -> str:
        """`s b i -> s r b h` with the gates as a factor of the weights' rows, per direction."""
        g, b = f"(!{gates} h)", f"(!{2 * gates} h)"
        batch_first = bool(node.attribute("layout", 0))
        # Every step builds on the one before: a step of zeros is not the same as no step.
        x, y, state = (
            ("b !steps i", "b steps !r h", "b !r h")
            if batch_first
            else ("!steps b i", "steps !r b h", "!r b h")
        )
        peephole = f", !r (!{gates - 1} h)" if states == 2 else ""
        inputs = f"{x}, !r {g} i, !r {g} h, !r {b}, b" + f", {state}" * states + peephole
        return f"{inputs} -> {y}" + f", {state}" * states

    return relate


RULES = {
    "LSTM": rule(recurrent(4, 2), "all", hidden_size="h", kinds={"h": "hidden"}, added=(3, 5, 6)),
    "GRU": rule(recurrent(3, 1), "all", hidden_size="h", kinds={"h": "hidden"}, added=(3, 5, 6)),
    "RNN": rule(recurrent(1, 1), "all", hidden_size="h", kinds={"h": "hidden"}, added=(3, 5, 6)),
}
