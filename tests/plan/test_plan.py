"""Plans: written, read, edited, and applied to the model, to a fine-tuned twin, and to the wrong model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from graphprune.analysis import Analysis
from graphprune.decide import Options, decide
from graphprune.errors import PlanError
from graphprune.plan import Plan, keeps_of, make_plan, read_plan
from graphprune.rewrite import rewrite
from graphprune.testing import analysed
from graphprune.validate import check_equivalence
from tests.rules.building import build

NET = """net (float[n, 3, 8, 8] x) => (float[N, V] y)
    <float[12, 3, 3, 3] A, float[12, 4, 3, 3] W, float[8, 12, 1, 1] C, float[8, 5] H>
    { a = Conv(x, A)  ar = Relu(a)  w = Conv <group = 3> (ar, W)  wr = Relu(w)  c = Conv(wr, C)  s = Relu(c)
      p = GlobalAveragePool(s)  q = Flatten(p)  y = MatMul(q, H) }"""
OPTIONS = Options(criterion="random", seed=5)


@pytest.fixture(scope="module")
def model() -> tuple[ir.Model, Analysis]:
    return analysed(build(NET))


@pytest.fixture
def plan(model: tuple[ir.Model, Analysis]) -> Plan:
    analysis = model[1]
    return make_plan(analysis, decide(analysis, OPTIONS), OPTIONS, {"graphprune": "0"})


@pytest.fixture
def read_back(plan: Plan, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Plan]:
    """Reads the plan after its JSON was edited."""

    def edited(edit: Callable[[dict[str, Any]], object]) -> Plan:
        data = json.loads(plan.to_json())
        edit(data)
        (tmp_path / "plan.json").write_text(json.dumps(data), encoding="utf-8")
        return read_plan(tmp_path / "plan.json")

    return edited


def test_a_plan_survives_its_file(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    again = read_plan(tmp_path / "plan.json")
    assert again.to_json() == plan.to_json()
    assert again.groups == plan.groups
    assert again.reasons == plan.reasons


def test_applying_a_plan_repeats_the_decision(model: tuple[ir.Model, Analysis], plan: Plan) -> None:
    normal, analysis = model
    decided, planned = decide(analysis, OPTIONS).keeps, keeps_of(plan, analysis)
    assert decided.keys() == planned.keys()
    for atom, slots in decided.items():
        assert np.array_equal(slots.index, planned[atom].index)
        assert slots.outer == planned[atom].outer
    one, two = (ir.to_proto(rewrite(normal, analysis, k)).SerializeToString() for k in (decided, planned))
    assert one == two


def test_groups_that_keep_other_channels_in_each_group_are_tables(plan: Plan) -> None:
    nested = [g for g in plan.groups.values() if g.outer]
    assert nested
    assert all(np.ndim(g.kept) == 2 and len(g.kept) == 3 for g in nested)


def test_a_plan_fits_a_fine_tuned_twin(plan: Plan) -> None:
    twin = build(NET)
    for tensor in twin.graph.initializer:
        tuned = numpy_helper.to_array(tensor) * 1.25 + 0.01
        tensor.CopyFrom(numpy_helper.from_array(tuned.astype(np.float32), tensor.name))
    normal, analysis = analysed(twin)
    keeps = keeps_of(plan, analysis)
    result = check_equivalence(normal, analysis, keeps, rewrite(normal, analysis, keeps))
    assert result.status == "equal"
    assert result.change > 1e-3


def test_a_plan_may_be_edited(model: tuple[ir.Model, Analysis], read_back: Callable[..., Plan]) -> None:
    normal, analysis = model
    edited = read_back(lambda d: d["groups"]["C[0]"].update(kept=[1, 6]))
    keeps = keeps_of(edited, analysis)
    pruned = rewrite(normal, analysis, keeps)
    assert pruned.graph.initializers["C"].shape == ir.Shape([2, 6, 1, 1])
    assert check_equivalence(normal, analysis, keeps, pruned).status == "equal"


def test_groups_may_be_taken_out(model: tuple[ir.Model, Analysis], read_back: Callable[..., Plan]) -> None:
    keeps = keeps_of(read_back(lambda d: d["groups"].pop("C[0]")), model[1])
    assert model[1].by_key["C[0]"].atom not in keeps


# -- plans that do not fit --------------------------------------------------------------------------


def _set(key: str, **fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["groups"][key].update(fields)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda d: d.update(fingerprint="0" * 64),
            "made for a model of another structure .fingerprint 000000000000",
        ),
        (
            lambda d: d["groups"].update({"Z[0]": d["groups"]["C[0]"]}),
            'cuts "Z\\[0\\]", which this model does not have',
        ),
        (
            lambda d: d["groups"].update({"H[1]": dict(d["groups"]["C[0]"], size=5)}),
            'cuts "H\\[1\\]", which cannot be cut: reaches graph output',
        ),
        (_set("C[0]", size=9), '"C\\[0\\]": it has 8 slots, the plan says 9'),
        (_set("C[0]", kept=[]), '"C\\[0\\]": it keeps none of the 8 slots'),
        (_set("C[0]", kept=[[]]), '"C\\[0\\]": it keeps none of the 8 slots'),
        (_set("C[0]", scores=[1.0]), "its scores must be 8, one for each slot"),
        (_set("C[0]", kept=[0, 8]), "must ascend and lie between 0 and 7"),
        (_set("C[0]", kept=[-1, 3]), "must ascend and lie between 0 and 7"),
        (_set("C[0]", kept=[3, 1]), "must ascend and lie between 0 and 7"),
        (_set("C[0]", kept=[1, 1]), "must ascend and lie between 0 and 7"),
        (_set("C[0]", kept=["a", "b"]), "do not form a table of whole numbers"),
        (_set("C[0]", kept=[0.5, 1.5]), "whole numbers"),
        (_set("A[0].2", kept=[[0, 1], [1], [0, 3]]), "do not form a table of whole numbers"),
        (_set("A[0].2", kept=[[0, 1], [1, 2]]), "takes one list for each of 3, .* of shape .2, 2."),
        (_set("C[0]", kept=[[0, 1], [1, 2]]), "takes one list of indices, .* of shape .2, 2."),
    ],
)
def test_a_plan_that_does_not_fit_says_how(
    model: tuple[ir.Model, Analysis],
    read_back: Callable[..., Plan],
    edit: Callable[..., object],
    message: str,
) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        keeps_of(read_back(edit), model[1])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1, 2]", "is JSON but not a plan"),
        ("{}", "is JSON but not a plan"),
        ('{"fingerprint": "0", "groups": {}}', "has format None, this version reads 1"),
        ('{"fingerprint": "0", "groups": {}, "format": 99}', "has format 99, this version reads 1"),
        ('{"fingerprint": "0", "groups": {"a": {}}, "format": 1}', "without size, kind or kept indices"),
        ('{"fingerprint": "0", "groups": {"a": 3}, "format": 1}', "without size, kind or kept indices"),
        ('{"fingerprint": "0", "groups": [], "format": 1}', "without size, kind or kept indices"),
    ],
)
def test_files_that_are_no_plans(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(PlanError, match=message):
        read_plan(tmp_path / "plan.json")


REPAIR = {"compensation": "refit", "seed": 0, "calibration": None, "samples": None, "preprocessing": ""}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(repair="refit"), "'repair' .* must be an object, got 'refit'"),
        (lambda d: d.update(options=[1]), "'options' .* must be an object"),
        (lambda d: d.update(reasons="none"), "'reasons' .* must be an object"),
        (lambda d: d.update(reasons={"a": 3}), "the reason of 'a' .* must be a text, got 3"),
        (lambda d: d.update(versions=3), "'versions' .* must be an object"),
        (lambda d: d.update(repair={"seed": 3}), "no 'compensation' in the repair"),
        (lambda d: d.update(repair={**REPAIR, "compensation": 3}), "'compensation' .* must be a text, got 3"),
        (lambda d: d.update(repair={**REPAIR, "calibration": 5}), "'calibration' .* must be a text, got 5"),
        (lambda d: d.update(repair={**REPAIR, "samples": "x"}), "'samples' .* at least 1, got 'x'"),
        (lambda d: d.update(repair={**REPAIR, "samples": 0}), "'samples' .* at least 1, got 0"),
        (lambda d: d.update(repair={**REPAIR, "seed": -1}), "'seed' .* at least 0, got -1"),
        (lambda d: d.update(repair={**REPAIR, "seed": None}), "'seed' .* at least 0, got None"),
        (lambda d: d.update(repair={**REPAIR, "aside": 0}), "'aside' .* at least 2, got 0"),
        (_set("C[0]", scores=["x"]), "the scores of 'C\\[0\\]' .* must be numbers, got .'x'."),
        (_set("C[0]", scores=[[1], [1, 2]]), "the scores of 'C\\[0\\]' .* must be numbers"),
        (_set("C[0]", scores=3), "without size, kind or kept indices"),
        (_set("C[0]", size=float("inf")), "without size, kind or kept indices"),
    ],
)
def test_fields_of_another_type(
    read_back: Callable[..., Plan], edit: Callable[..., object], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        read_back(edit)


def test_a_repair_may_leave_out_what_is_usual(read_back: Callable[..., Plan]) -> None:
    assert read_back(lambda d: d.update(repair={"compensation": "refit"})).repair
    assert read_back(lambda d: d.update(repair=REPAIR)).repair == REPAIR


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PlanError):
        read_plan(tmp_path / "plan.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the plan .*missing.json"):
        read_plan(tmp_path / "missing.json")


# -- the fingerprint --------------------------------------------------------------------------------


def _other_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("pads", [1, 1, 1, 1]))


def _other_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Sigmoid"


def _other_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "z"


@pytest.mark.parametrize("change", [_other_attribute, _other_operator, _other_name])
def test_another_structure_has_another_fingerprint(
    plan: Plan, change: Callable[[onnx.ModelProto], None]
) -> None:
    other = build(NET)
    change(other)
    with pytest.raises(PlanError, match="another structure"):
        keeps_of(plan, analysed(other)[1])


def test_an_empty_plan_changes_nothing(model: tuple[ir.Model, Analysis], plan: Plan) -> None:
    normal, analysis = model
    keeps = keeps_of(replace(plan, groups={}), analysis)
    assert (
        ir.to_proto(rewrite(normal, analysis, keeps)).graph.initializer
        == ir.to_proto(normal).graph.initializer
    )
