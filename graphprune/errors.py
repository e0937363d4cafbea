"""Every error graphprune raises on purpose.

    GraphPruneError            anything from graphprune; `.exit_code` is what the command line returns
    ├── UsageError             a wrong argument or option (2)
    ├── ModelError             the input cannot be read or is not a valid model (2)
    ├── PlanError              a plan file is broken or does not fit this model (2)
    ├── CalibrationError       calibration inputs cannot be read or do not fit the model (2)
    ├── OutputError            the result cannot be written where it was asked for (2)
    ├── RuntimeMissingError    ONNX Runtime is not installed (2)
    ├── VerificationError      the pruned model is not the masked original (3); nothing was written
    └── TargetError            the budget cannot be reached; says what can (4)

A message says where, what was found, and what to do next. "Cannot prune this dimension" is never an
error: it is a reason in the result.
"""

from collections.abc import Mapping
from types import MappingProxyType


class GraphPruneError(Exception):
    """Base of all errors that graphprune raises on purpose."""

    exit_code = 2


class UsageError(GraphPruneError):
    """A wrong argument or option."""


class ModelError(GraphPruneError):
    """The input model cannot be read, or is not a valid model."""


class PlanError(GraphPruneError):
    """A plan file is broken or does not fit this model."""


class CalibrationError(GraphPruneError):
    """Calibration inputs cannot be read, or do not fit the model's inputs."""


class OutputError(GraphPruneError):
    """The result cannot be written where it was asked for."""


class RuntimeMissingError(GraphPruneError):
    """ONNX Runtime is not installed."""


class VerificationError(GraphPruneError):
    """The pruned model does not compute what the masked original computes."""

    exit_code = 3


class TargetError(GraphPruneError):
    """The budget cannot be reached with the groups that may be cut.

    Attributes:
        least: the share of the original that the largest cut leaves, by measure; empty if not known.
    """

    exit_code = 4

    def __init__(self, message: str, least: Mapping[str, float] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.least = least
