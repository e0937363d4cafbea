"""What must hold for every graph: the properties, each with a sentence of its own when it breaks."""

from __future__ import annotations

import json
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from graphprune.analysis import Analysis
from graphprune.decide import Decision, Options, decide
from graphprune.dims import kept_size
from graphprune.load import save
from graphprune.plan import keeps_of, make_plan
from graphprune.plan.plan import parse_plan
from graphprune.rewrite import rewrite
from graphprune.testing import analysed
from graphprune.validate import check_contract, check_equivalence, check_file

ATTEMPTS: tuple[tuple[float, tuple[str, ...] | None, str], ...] = (
    (0.5, None, "random"),
    (0.3, ("groups", "head-dim"), "random"),
    (0.7, ("channels", "neurons", "head-dim"), "l2-group"),
    (0.99, None, "random"),
)
"""Ratio, structures and criterion of the cuts that are tried."""


class Broken(Exception):
    """A property does not hold; the message says which."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was seen while all properties held.

    Attributes:
        runnable: False if the runtime rejects the graph itself, so that nothing was checked.
        groups: how many dimensions were cut, over all attempts.
        change: the largest move of the outputs by masking.
        barriers: operators the analysis could not follow.
    """

    runnable: bool
    groups: int = 0
    change: float = 0.0
    barriers: int = 0
    note: str = ""


def accepted(model: onnx.ModelProto) -> str:
    """Why the runtime or the checker rejects a graph as it is, or an empty string."""
    import onnxruntime as ort

    try:
        onnx.checker.check_model(model, full_check=True)
        for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
            options = ort.SessionOptions()
            options.log_severity_level = 4
            options.graph_optimization_level = level
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return " ".join(str(error).split())[:300]
    return ""


def check(model: onnx.ModelProto, seed: int = 0) -> Checked:
    """Hold one graph against all properties.

    Raises:
        Broken: one does not hold.
    """
    if reason := accepted(model):
        return Checked(False, note=reason)
    try:
        return _check(model, seed)
    except Broken:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise Broken(
            f"exception {type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
        ) from error


def _check(model: onnx.ModelProto, seed: int) -> Checked:
    bytes_before = model.SerializeToString(deterministic=True)
    normal, analysis = analysed(model)
    if analysis.recording.method != "run":
        return Checked(False, note=analysis.recording.note)
    normal_before = _bytes(normal)
    _empty_cut(normal, analysis, seed)
    groups, change = 0, 0.0
    for ratio, structures, criterion in ATTEMPTS:
        options = Options(ratio=ratio, structures=structures, criterion=criterion, seed=seed)
        decision = decide(analysis, options)
        if decision.keeps:
            groups += len(decision.keeps)
            change = max(change, _cut(normal, analysis, decision, f"ratio {ratio}, {structures}", seed))
    options = Options(ratio=0.5, criterion="random", seed=seed)
    _plan_repeats(model, normal, analysis, options)
    if _bytes(normal) != normal_before or model.SerializeToString(deterministic=True) != bytes_before:
        raise Broken("planning or rewriting changed its input")
    return Checked(True, groups, change, len(analysis.barriers))


def _bytes(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


def _empty_cut(normal: ir.Model, analysis: Analysis, seed: int) -> None:
    same = check_equivalence(normal, analysis, {}, rewrite(normal, analysis, {}), seed=seed)
    if same.status != "equal":
        raise Broken(f"an empty cut changes the model: {same}")


def _cut(normal: ir.Model, analysis: Analysis, decision: Decision, what: str, seed: int) -> float:
    pruned = rewrite(normal, analysis, decision.keeps)
    found = check_equivalence(normal, analysis, decision.keeps, pruned, seed=seed)
    cut = ", ".join(
        f"{analysis.by_atom[a].key}({analysis.by_atom[a].kind}) {analysis.by_atom[a].size}->{s.count}"
        for a, s in decision.keeps.items()
    )
    if found.status != "equal":
        raise Broken(f"not mask-equivalent at {what}: {found}; cut {cut}")
    if differences := check_contract(normal, pruned):
        raise Broken(f"the contract is broken at {what}: {differences}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pruned.onnx"
        save(pruned, path)
        if complaint := check_file(path):
            raise Broken(f"the checker complains at {what}: {complaint}; cut {cut}")
    _sizes_follow(pruned, analysis, decision)
    return found.change


def _sizes_follow(pruned: ir.Model, analysis: Analysis, decision: Decision) -> None:
    """Every weight has the sizes its expressions evaluate to, and something really got smaller."""
    for name, weight in analysis.weights.items():
        value = pruned.graph.initializers.get(name)
        if value is None or value.const_value is None:
            continue
        expected = tuple(kept_size(d, decision.keeps) for d in weight.dims)
        if tuple(value.const_value.numpy().shape) != expected:
            raise Broken(f"weight {name} has shape {value.const_value.shape}, its dimensions say {expected}")


def _plan_repeats(model: onnx.ModelProto, normal: ir.Model, analysis: Analysis, options: Options) -> None:
    """A plan that went through JSON makes the identical model from a fresh analysis."""
    decision = decide(analysis, options)
    text = make_plan(analysis, decision, options, {}).to_json()
    again, fresh = analysed(model)
    keeps = keeps_of(parse_plan(json.loads(text), "plan"), fresh)
    if {analysis.by_atom[a].key for a in decision.keeps} != {fresh.by_atom[a].key for a in keeps}:
        raise Broken("a plan read again cuts other groups")
    if _bytes(rewrite(again, fresh, keeps)) != _bytes(rewrite(normal, analysis, decision.keeps)):
        raise Broken("a plan read again makes another model")
