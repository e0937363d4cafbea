"""The oracle at sizes of one's own choice: the pruned model against the original with zeroed weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graphprune.rewrite import masked
from graphprune.testing import Outcome
from graphprune.validate.compare import relative_error

Arrays = Mapping[str, NDArray[np.generic]]


def run(model: ir.Model, feeds: Arrays) -> list[NDArray[np.generic]]:
    """Outputs of a model in ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    data = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))  # type: ignore[no-any-return]


def normal(*shape: int) -> NDArray[np.float32]:
    """Random numbers that depend on the shape only."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def error_at(outcome: Outcome, **feeds: NDArray[np.generic]) -> float:
    """The largest relative error between the pruned model and the masked original on these inputs."""
    zeroed = masked(outcome.model, outcome.analysis, outcome.decision.keeps)
    expected, found = run(zeroed, feeds), run(outcome.pruned, feeds)
    return max(relative_error(e, f) for e, f in zip(expected, found, strict=True))


def assert_exact(outcome: Outcome) -> None:
    """Something was cut, the oracle saw it, and both models agree."""
    assert outcome.decision.keeps
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-3


def cut_keys(outcome: Outcome) -> set[str]:
    """Keys of the groups that were cut."""
    return {outcome.analysis.by_atom[a].key for a in outcome.decision.keeps}


def ops(outcome: Outcome) -> list[str]:
    """Operators of the pruned model, in order."""
    return [n.op_type for n in outcome.pruned.graph]
