"""Rules of operators that run on other devices only: held against what their documentation says they do."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from graphprune.analysis import analyse_model
from graphprune.decide import Options, decide
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.rewrite import masked, rewrite
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.record import record
from graphprune.validate.compare import largest_error
from graphprune.validate.equivalence import run_all
from tests.rules.building import Case
from tests.rules.lowering import NAMES, lowered
from tests.rules.tables.elsewhere import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_rule(case: Case) -> None:
    normal = normalise(load(case.model()).model)
    analysis = analyse_model(normal, record(lowered(normal)))
    assert analysis.recording.method == "run", analysis.recording.note
    decision = decide(analysis, Options(ratio=0.5, criterion="random"))
    assert {analysis.by_atom[a].key for a in decision.keeps} == set(case.cut.split())
    for key, reason in case.approximate.items():
        assert reason in analysis.by_key[key].approximate
    for key, reason in case.frozen.items():
        assert reason in analysis.by_key[key].frozen
    feeds = [random_feeds(normal, analysis.recording.sizes, 1)]
    models: list[ir.Model] = [
        normal,
        masked(normal, analysis, decision.keeps),
        rewrite(normal, analysis, decision.keeps),
    ]
    before, expected, found = (run_all(lowered(m), feeds)[0] for m in models)
    assert largest_error(expected, found, before)[0] < 1e-4
    assert not case.cut or largest_error(before, expected)[0] > 1e-3, "the check has nothing to see"


def test_the_runtime_has_no_kernel() -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    there = {
        d.op_name
        for d in state.get_all_opkernel_def()
        if d.domain == "com.microsoft" and d.provider == "CPUExecutionProvider"
    }
    assert not there & {c.key[1] for c in CASES}, "these can be tested as they are"
    assert {c.key[1] for c in CASES} == NAMES
