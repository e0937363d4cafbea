"""The Python API: what goes in comes out in the same form, and nothing given is ever changed."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

import graphprune
from graphprune.errors import GraphPruneError, OutputError, PlanError, TargetError, UsageError


def hidden_size(model: onnx.ModelProto) -> int:
    """Columns of the first weight."""
    return next(t.dims[1] for t in model.graph.initializer if t.name == "first_weight")


def result_of(session_of: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The output of a model of one input and one output."""
    return np.asarray(ReferenceEvaluator(session_of).run(None, {"x": x})[0])


def test_public_names() -> None:
    assert graphprune.__all__ == [
        "GraphPruneError",
        "Plan",
        "Result",
        "__version__",
        "analyse",
        "apply",
        "bench",
        "evaluate",
        "prune",
        "rotate",
        "verify",
    ]
    for name in graphprune.__all__:
        assert getattr(graphprune, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'shrink'"):
        _ = graphprune.shrink  # type: ignore[attr-defined]


def test_submodule_and_function_do_not_shadow_each_other() -> None:
    importlib.import_module("graphprune.analysis")
    importlib.import_module("graphprune.plan")
    assert callable(graphprune.analyse)
    assert callable(graphprune.apply)


# -- forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_path(kind: Callable[[Path], Any], small_path: Path) -> None:
    before = small_path.read_bytes()
    result = graphprune.prune(kind(small_path), ratio=0.5)
    assert isinstance(result.model, onnx.ModelProto)
    assert hidden_size(result.model) == 6
    assert small_path.read_bytes() == before
    assert sorted(p.name for p in small_path.parent.iterdir()) == ["small.onnx"]


def test_proto(small: onnx.ModelProto) -> None:
    before = small.SerializeToString(deterministic=True)
    result = graphprune.prune(small, ratio=0.5)
    assert isinstance(result.model, onnx.ModelProto)
    assert hidden_size(result.model) == 6
    assert small.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(result.model, full_check=True)


def test_ir(small: onnx.ModelProto) -> None:
    given = ir.from_proto(small)
    before = ir.to_proto(given).SerializeToString(deterministic=True)
    result = graphprune.prune(given, ratio=0.5)
    assert isinstance(result.model, ir.Model)
    assert result.model.graph.initializers["first_weight"].shape == [8, 6]
    assert ir.to_proto(given).SerializeToString(deterministic=True) == before


def test_graphsurgeon() -> None:
    draw = np.random.default_rng(3)
    x = gs.Variable("x", np.float32, ["batch", 8])
    hidden, active, y = (gs.Variable(n, np.float32) for n in ("hidden", "active", "y"))
    y.shape = ["batch", 4]
    first = gs.Constant("first_weight", draw.normal(size=(8, 12)).astype(np.float32))
    last = gs.Constant("last_weight", draw.normal(size=(12, 4)).astype(np.float32))
    nodes = [
        gs.Node("MatMul", "one", inputs=[x, first], outputs=[hidden]),
        gs.Node("Relu", "two", inputs=[hidden], outputs=[active]),
        gs.Node("MatMul", "three", inputs=[active, last], outputs=[y]),
    ]
    given = gs.Graph(nodes=nodes, inputs=[x], outputs=[y], opset=17, name="net")
    before = gs.export_onnx(given).SerializeToString(deterministic=True)
    result = graphprune.prune(given, ratio=0.5, recipe="plain")
    assert isinstance(result.model, gs.Graph)
    assert result.model.tensors()["first_weight"].shape == [8, 6]
    assert [n.op for n in result.model.nodes] == ["MatMul", "Relu", "MatMul"]
    assert gs.export_onnx(given).SerializeToString(deterministic=True) == before
    onnx.checker.check_model(gs.export_onnx(result.model), full_check=True)


def test_something_else() -> None:
    with pytest.raises(UsageError, match="int"):
        graphprune.prune(3)


# -- results ------------------------------------------------------------------------------------


def test_result_is_the_masked_original(small: onnx.ModelProto) -> None:
    """Independent of the built-in check: zero the removed columns by hand."""
    result = graphprune.prune(small, ratio=0.5, recipe="plain", verify=False)
    masked = copy.deepcopy(small)
    for key, weight, axis in (
        ("first_weight[1]", "first_weight", 1),
        ("second_weight[1]", "second_weight", 1),
    ):
        kept = result.plan.groups[key].kept
        tensors = {t.name: t for t in masked.graph.initializer}
        for name, along in ((weight, axis), *((("first_bias", 0),) if weight == "first_weight" else ())):
            array = onnx.numpy_helper.to_array(tensors[name]).copy()
            removed = np.setdiff1d(np.arange(array.shape[along]), kept)
            array[(slice(None),) * along + (removed,)] = 0
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
    x = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_allclose(result_of(result.model, x), result_of(masked, x), rtol=1e-5, atol=1e-6)
    assert np.abs(result_of(small, x) - result_of(masked, x)).max() > 1e-3


def test_output_is_the_returned_model(small_path: Path, tmp_path: Path) -> None:
    result = graphprune.prune(small_path, ratio=0.5, output=tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == result.model
    assert result.report["output"] == str(tmp_path / "out.onnx")


def test_report_is_json_ready(small: onnx.ModelProto) -> None:
    report = graphprune.prune(small, benchmark=True).report
    assert json.loads(json.dumps(report)) == report
    assert report["model"] is None
    assert report["after"]["latency_ms"] > 0


def test_ratio_is_a_half_by_default(small: onnx.ModelProto) -> None:
    assert hidden_size(graphprune.prune(small).model) == 6


def test_dry_run_makes_no_model(small: onnx.ModelProto) -> None:
    result = graphprune.prune(small, dry_run=True)
    assert result.model is None
    assert result.report["after"]["params"] < result.report["before"]["params"]
    assert result.plan.groups


def test_metadata_survives(small: onnx.ModelProto) -> None:
    small.metadata_props.append(onnx.StringStringEntryProto(key="author", value="somebody"))
    small.producer_name = "maker"
    pruned = graphprune.prune(small).model
    assert {p.key: p.value for p in pruned.metadata_props} == {"author": "somebody"}
    assert pruned.producer_name == "maker"
    assert pruned.opset_import == small.opset_import
    assert [d.dim_param for d in pruned.graph.input[0].type.tensor_type.shape.dim] == ["batch", ""]


def test_own_ratios(small: onnx.ModelProto) -> None:
    """A key is one dimension, a pattern every dimension that a weight of the name has."""
    for pattern, shape in (("second_weight[1]", (6, 8)), ("second*", (10, 8)), ("last*", (6, 8))):
        model = graphprune.prune(small, ratio=0.5, ratios={pattern: 0.2}).model
        assert {t.name: tuple(t.dims) for t in model.graph.initializer}["second_weight"] == shape


def test_progress_names_the_stages(small: onnx.ModelProto) -> None:
    stages: list[str] = []
    graphprune.prune(small, progress=stages.append)
    assert stages == [
        "load",
        "normalise",
        "analyse",
        "calibrate",
        "score",
        "allocate",
        "repair",
        "rewrite",
        "validate",
    ]


def test_plan_round_trip(small: onnx.ModelProto, tmp_path: Path) -> None:
    first = graphprune.prune(small, criterion="random", seed=4)
    (tmp_path / "plan.json").write_text(first.plan.to_json())
    for plan in (first.plan, tmp_path / "plan.json", str(tmp_path / "plan.json")):
        assert graphprune.apply(plan, small).model == first.model


def test_plan_for_another_model(small: onnx.ModelProto, bundled: Callable[[str], Path]) -> None:
    plan = graphprune.prune(small, dry_run=True).plan
    with pytest.raises(PlanError, match="another structure"):
        graphprune.apply(plan, bundled("resnet_se"))


def test_analyse(small: onnx.ModelProto) -> None:
    analysis = graphprune.analyse(small)
    sizes = {g.key: (g.size, bool(g.frozen)) for g in analysis.groups}
    assert sizes == {
        "first_weight[0]": (8, True),
        "first_weight[1]": (12, False),
        "second_weight[1]": (10, False),
        "last_weight[1]": (4, True),
    }
    assert (
        analysis.operators_of(analysis.by_key["second_weight[1]"])
        == [n.name for n in analysis.facts.nodes if n.op in ("MatMul", "Relu")][-3:]
    )


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "arguments"),
    [
        (UsageError, 2, {"ratio": 2.0}),
        (UsageError, 2, {"criterion": "best"}),
        (UsageError, 2, {"target": "speed=3"}),
        (UsageError, 2, {"seed": -1}),
        (UsageError, 2, {"seed": 0.5}),
        (OutputError, 2, {"output": "/nowhere/at/all/out.onnx"}),
        (OutputError, 2, {"output": ""}),
        (TargetError, 4, {"target": "params=0.001"}),
    ],
)
def test_errors_have_a_common_base(
    error: type[GraphPruneError], code: int, arguments: dict[str, Any], small: onnx.ModelProto
) -> None:
    with pytest.raises(GraphPruneError) as caught:
        graphprune.prune(small, **arguments)
    assert type(caught.value) is error
    assert caught.value.exit_code == code


def test_every_function_refuses_a_seed_that_is_none(small: onnx.ModelProto, small_path: Path) -> None:
    plan = graphprune.prune(small, recipe="plain").plan
    for call in (
        lambda: graphprune.apply(plan, small, seed=-1),
        lambda: graphprune.analyse(small, seed=-1),
        lambda: graphprune.rotate(small, "noise", seed=-1),
        lambda: graphprune.verify(small, small, seed=-1),
        lambda: graphprune.bench(small_path, seed=-1),
    ):
        with pytest.raises(UsageError, match="the seed must be a whole number of at least 0, got -1"):
            call()


@pytest.mark.parametrize("options", [("--seed", "-1"), ("-o", "")])
def test_the_command_line_refuses_them_too(options: tuple[str, ...], cli: Any, small_path: Path) -> None:
    done = cli(small_path, "--recipe", "plain", "-q", *options)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert [file.name for file in small_path.parent.iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", ""), "no target is named in ''"),
        (("--target", " , "), "no target is named"),
        (("--calib", ""), "the calibration inputs have no name"),
        (("--calib", "noise", "--calib-samples", "0"), "must be at least 1, got 0"),
        (("--preprocess", "foo=1"), "cannot read 'foo=1'"),
        (("--provider", "tpu"), "unknown execution provider 'tpu'"),
    ],
)
def test_options_are_not_taken_silently(
    options: tuple[str, ...], message: str, cli: Any, small_path: Path
) -> None:
    done = cli(small_path, "--recipe", "plain", "--no-benchmark", "-q", *options)
    assert done.code == 2
    assert message in done.complaint
    assert [file.name for file in small_path.parent.iterdir()] == ["small.onnx"]


def test_a_provider_that_is_not_installed_matters_to_the_benchmark_only(small: onnx.ModelProto) -> None:
    assert graphprune.prune(small, recipe="plain", provider="dml").model is not None


def test_inputs_that_nobody_learns_from_judge(small: onnx.ModelProto) -> None:
    calib = {"x": np.zeros((4, 8), np.float32)}
    report = graphprune.prune(small, recipe="plain", calib=calib, benchmark=False).report
    assert "which nothing was learnt from" in json.dumps(report)


@pytest.mark.parametrize(
    ("name", "text", "several"),
    [
        ("target", "macs=0.5", ["macs=0.5"]),
        ("structures", "neurons", ["neurons"]),
        ("structures", "neurons, channels", ["neurons", "channels"]),
        ("only", "first*", ["first*"]),
        ("exclude", "first*", ["first*"]),
    ],
)
def test_a_text_is_a_list_of_one(name: str, text: str, several: list[str], small: onnx.ModelProto) -> None:
    one, many = (graphprune.prune(small, recipe="plain", **{name: given}).plan for given in (text, several))
    assert one.groups == many.groups
    assert one.options == many.options
    assert one.groups
