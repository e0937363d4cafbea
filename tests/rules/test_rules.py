"""Every operator with a rule: analysed as the table says, and pruned exactly."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from graphprune.analysis import Group
from graphprune.rules import RULES
from graphprune.testing import Outcome, prune_at_random
from tests.rules.building import Case
from tests.rules.cases import CASES
from tests.rules.tables.elsewhere import CASES as ELSEWHERE


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_rule(case: Case) -> None:
    model = case.model()
    assert any(case.key == (n.domain, n.op_type) for n in model.graph.node)
    outcome = prune_at_random(model, 0.5)
    groups = outcome.analysis.by_key
    assert cut_exactly(outcome) == set(case.cut.split()), describe(groups)
    softened = {k: g.approximate for k, g in groups.items() if g.approximate and not g.frozen}
    assert softened.keys() == case.approximate.keys(), describe(groups)
    for key, reason in case.approximate.items():
        assert reason in softened[key]
    for key, reason in case.frozen.items():
        assert reason in groups[key].frozen, describe(groups)
    assert complaint(ir.to_proto(outcome.pruned)) == complaint(model)
    if not case.runs:
        assert outcome.equivalence.status == "not checked"
        return
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-3 or not case.cut, "the check has nothing to see"


def complaint(model: onnx.ModelProto) -> str:
    """What ONNX's checker dislikes; the kind only, as a message may hold sizes."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return type(error).__name__
    return ""


def cut_exactly(outcome: Outcome) -> set[str]:
    return {outcome.analysis.by_atom[a].key for a in outcome.decision.keeps}


def describe(groups: dict[str, Group]) -> str:
    lines = [f"{g.key} ({g.size} {g.kind}): {g.frozen or g.approximate or 'free'}" for g in groups.values()]
    return "; ".join(lines)


def test_every_rule_has_a_case() -> None:
    assert not RULES.keys() - {c.key for c in (*CASES, *ELSEWHERE)}


def test_names_of_cases_are_unique() -> None:
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names)
