"""Who is at fault when something unforeseen happens: the model, or graphprune?

A model can be read and still be none: an axis that its tensor does not have, shapes that do not go together.
Rules need not look for that. They fail in any way, and only then ONNX Runtime is asked: a model that runs
or has an operator that the runtime lacks is not to blame, and the fault is raised as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import onnx_ir as ir

from graphprune.errors import ModelError, RuntimeMissingError
from graphprune.runtime.feeds import choose_sizes, random_feeds
from graphprune.runtime.session import Session, open_session

_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_TRIES = 4  # pairs of sizes


@contextmanager
def blamed_on_model(model: ir.Model) -> Iterator[None]:
    """Turns what goes wrong inside into a ModelError, if the model is not valid.

    Raises:
        ModelError: says what is wrong with the model; the fault is its cause.
    """
    try:
        yield
    except _FAULTS as fault:
        complaint = complaint_of(model)
        if complaint:
            raise ModelError(
                f"the model seems not to be valid: {complaint}; check it with onnx.checker and export it "
                f"again (it was given up at {fault!r})"
            ) from fault
        raise


def complaint_of(model: ir.Model) -> str:
    """What ONNX Runtime has against a model; "" if it runs, or if the runtime cannot say."""
    try:
        with open_session(model, optimise=False) as session:
            return _run(model, session)
    except ModelError as error:
        return "" if _lacks_operator(error) else str(error)
    except (RuntimeMissingError, *_FAULTS):
        return ""


def _run(model: ir.Model, session: Session) -> str:
    """Why it does not run at any sizes of its inputs."""
    said = ""
    for pair in islice(choose_sizes(model), _TRIES):
        for sizes in pair:
            try:
                session.run(random_feeds(model, sizes, 0), ())
            except ModelError as error:
                said = said or str(error)
            else:
                return ""
    return said


def _lacks_operator(error: ModelError) -> bool:
    """Whether the runtime has no kernel for an operator, or does not know it."""
    return type(error.__cause__).__name__ == "NotImplemented" or "registered" in str(error)
