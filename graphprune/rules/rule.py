"""A rule: how the axes of one operator relate, in one line of notation or one function.

Notation, one operand after the other, `inputs -> outputs`:

    n, c, h      axes; the same name is the same dimension
    (g c)        one axis that is the row-major product of g and c; (4 h) has a fixed factor
    *s           any number of axes
    !s           frozen: removing a slot here would change what the operator means
    ~d           normalised: slots share a statistic, removal is only approximate
    _            an axis that has nothing to do with the others, frozen

A name that occurs in inputs but in no output is contracted. `group="g"` says that the attribute
`group` holds the size of g (several names: of each). `kinds={"h": "heads"}` names a dimension for users.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from graphprune.rules.context import NodeContext

# What the outputs hold in a slot whose weights are all zero, given what the inputs hold there:
Zero = Literal[
    "keep",  # zero stays zero (moves and functions with f(0) = 0); several inputs: all must be zero
    "any",  # zero if every operand has the slot and is zero (addition)
    "all",  # zero if some operand has the slot and is zero (multiplication)
    "first",  # what the first operand holds
    "value",  # what the third operand holds (attention: the values)
    "divide",  # zero if the first operand is zero; a zero divisor makes it undefined
    "lift",  # some finite value
]


class Written(Protocol):
    """A node as it is written: operands and results by name ("" where one is missing) and attributes."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the operands."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the results."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes by name."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How an operator treats its axes.

    Attributes:
        relate: the notation, or a function that returns it or says everything itself.
        zero: what the outputs hold where the weights are zero; a function where that depends on the node.
        sizes: attributes that hold the size of a name.
        kinds: what a dimension is called towards users.
        unmasked: inputs whose weights the oracle must not zero: divisors, scales, zero points.
        added: inputs that are added to the result: biases, initial states.
        aside: inputs that hold no summand, so that their zeros do not count: conditions, scales.
    """

    relate: str | Callable[[NodeContext], str | None]
    zero: Zero | Callable[[Written], Zero] = "lift"
    sizes: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    unmasked: frozenset[int] = frozenset()
    added: frozenset[int] = frozenset()
    aside: frozenset[int] = frozenset()

    def zero_of(self, node: Written) -> Zero:
        """What the outputs of one node hold."""
        return self.zero(node) if callable(self.zero) else self.zero


def rule(
    relate: str | Callable[[NodeContext], str | None],
    zero: Zero | Callable[[Written], Zero] = "lift",
    *,
    kinds: Mapping[str, str] | None = None,
    unmasked: Collection[int] = (),
    added: Collection[int] = (),
    aside: Collection[int] = (),
    **sizes: str,
) -> Rule:
    """A `Rule`; keyword arguments are attributes that hold the size of a name."""
    return Rule(relate, zero, sizes, kinds or {}, frozenset(unmasked), frozenset(added), frozenset(aside))
