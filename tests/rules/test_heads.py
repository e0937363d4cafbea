"""The width of heads, asked for by name: all forms of attention keep their scale and their rotated pairs."""

from __future__ import annotations

import pytest

from graphprune.testing import prune_at_random
from tests.rules.building import Case
from tests.rules.cases import CASES

_FORMS = [c for c in CASES if c.op.endswith(("Attention", "RotaryEmbedding"))]


@pytest.mark.parametrize("case", [c for c in _FORMS if c.runs], ids=lambda c: c.name)
def test_heads_lose_width(case: Case) -> None:
    outcome = prune_at_random(case.model(), 0.5, structures=("head-dim",))
    kinds = {outcome.analysis.by_atom[a].kind for a in outcome.decision.keeps}
    assert kinds == {"head-dim"}
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-3
