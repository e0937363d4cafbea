"""Two files held against each other: with a plan, without one, and where they do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import graphprune
from graphprune.errors import PlanError
from graphprune.plan import Plan
from graphprune.verification import Verification
from graphprune.verification.proof import MASKED, OWN, REPAIRED

Pair = tuple[onnx.ModelProto, onnx.ModelProto, Plan]


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).normal(size=(96, 8)).astype(np.float32)}


@pytest.fixture
def plain(small: onnx.ModelProto) -> Pair:
    found = graphprune.prune(small, recipe="plain")
    return small, found.model, found.plan


@pytest.fixture
def repaired(small: onnx.ModelProto, inputs: dict[str, np.ndarray], tmp_path: Path) -> Pair:
    np.savez(tmp_path / "inputs.npz", **inputs)
    found = graphprune.prune(small, target="macs=0.6", calib=tmp_path / "inputs.npz")
    assert found.plan.repair
    return small, found.model, found.plan


def verify(pair: tuple[Any, Any], **given: Any) -> Verification:
    return graphprune.verify(*pair, **{"consumers": "none", **given})


def changed(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> onnx.ModelProto:
    """A copy with another value of a weight."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensor = next(t for t in copy.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).copy(), name))
    return copy


# -- files that are what they should be -----------------------------------------------------------


def test_with_a_plan(plain: Pair) -> None:
    found = verify(plain[:2], plan=plain[2])
    assert (found.passed, found.complaint) == (True, "")
    assert (found.proof.equivalence.status, found.proof.reference) == ("equal", MASKED)
    assert found.proof.kept_from == "plan"


def test_without_a_plan(plain: Pair) -> None:
    found = verify(plain[:2])
    assert (found.proof.equivalence.status, found.proof.reference) == ("equal", MASKED)
    assert found.proof.kept_from == "weights"
    assert found.proof.equivalence.change > 1e-3  # something was cut, and it was seen


@pytest.mark.parametrize("name", ["resnet_se", "vit", "textformer", "bilstm"])
def test_kept_slots_are_read_from_real_models(name: str, bundled: Callable[[str], Path]) -> None:
    """Groups, heads and gates, with widths that keep other slots in every head."""
    pruned = graphprune.prune(bundled(name), 0.4, recipe="plain", structures=None, verify=False).model
    found = verify((bundled(name), pruned))
    assert (found.proof.equivalence.status, found.proof.kept_from) == ("equal", "weights")


def test_nothing_cut_is_the_original(small: onnx.ModelProto) -> None:
    found = verify((small, small))
    assert found.proof.equivalence.status == "equal"
    assert found.fidelity[0].sqnr_db is None


def test_a_repair_is_repeated(repaired: Pair) -> None:
    found = verify(repaired[:2], plan=repaired[2])
    assert (found.proof.equivalence.status, found.proof.reference) == ("equal", REPAIRED)


def test_a_repair_on_inputs_that_have_moved(
    repaired: Pair, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "inputs.npz").unlink()
    found = verify(repaired[:2], plan=repaired[2])
    assert found.proof.equivalence.status == "not checked"
    assert "inputs.npz: no such file" in found.proof.equivalence.note
    assert "--calib" in found.proof.equivalence.note
    again = verify(repaired[:2], plan=repaired[2], calib=inputs)
    assert again.proof.reference == REPAIRED
    own = verify(repaired[:2], plan=repaired[2], own_weights=True)
    assert (own.proof.equivalence.status, own.proof.reference) == ("equal", OWN)


def test_a_model_that_was_trained_since(plain: Pair) -> None:
    tuned = changed(plain[1], "second_weight", lambda a: a * np.float32(1.1))
    found = verify((plain[0], tuned), plan=plain[2])
    assert not found.passed
    assert 'the weight "second_weight" has values of its own' in found.complaint
    assert "--own-weights" in found.complaint
    own = verify((plain[0], tuned), plan=plain[2], own_weights=True)
    assert (own.passed, own.proof.reference) == (True, OWN)
    without = verify((plain[0], tuned))
    assert without.proof.equivalence.status == "not checked"
    assert "repaired, or trained since pruning; give the plan" in without.proof.equivalence.note


# -- files that are not ---------------------------------------------------------------------------


def test_wrong_slots_are_found(plain: Pair) -> None:
    """The rows of a weight in another order: every number is the original's, and yet it is another network."""
    wrong = changed(plain[1], "second_weight", lambda a: a[::-1])
    with_plan = verify((plain[0], wrong), plan=plain[2])
    assert not with_plan.passed
    without = verify((plain[0], wrong))
    assert without.proof.equivalence.status == "not checked"
    assert "no cut of the original's" in without.proof.equivalence.note


def test_another_graph_is_found_even_with_its_own_weights(plain: Pair) -> None:
    """A network that computes something else is not excused by its weights."""
    other = onnx.ModelProto()
    other.CopyFrom(plain[1])
    next(n for n in other.graph.node if n.op_type == "Relu").op_type = "Elu"
    for given in ({}, {"plan": plain[2]}, {"plan": plain[2], "own_weights": True}):
        found = verify((plain[0], other), **given)
        assert not found.passed, given
        assert "differs by" in found.complaint


def test_another_plan_does_not_fit(plain: Pair) -> None:
    groups = dict(plain[2].groups)
    key = "first_weight[1]"
    groups[key] = replace(groups[key], kept=groups[key].kept[:-1])
    found = verify(plain[:2], plan=replace(plain[2], groups=groups))
    assert not found.passed
    own = verify(plain[:2], plan=replace(plain[2], groups=groups), own_weights=True)
    assert own.proof.equivalence.status == "not checked"
    assert "if cut as said" in own.proof.equivalence.note


def test_a_changed_interface_is_found(plain: Pair) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(plain[1])
    other.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    found = verify((plain[0], other))
    assert not found.passed
    assert found.complaint.startswith('the interface of the model changed: output "y" has shape [rows,4]')
    assert found.fidelity == ()


def test_a_file_that_the_checker_refuses(plain: Pair, tmp_path: Path) -> None:
    """The runtime is more lenient than the checker: it does not look at the declared shapes inside."""
    other = onnx.ModelProto()
    other.CopyFrom(plain[1])
    other.graph.value_info.append(
        onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["batch", 99])
    )
    found = verify((plain[0], other))
    assert not found.passed
    assert found.complaint.startswith("ONNX's checker refuses the pruned model, but not the original")


def test_a_plan_of_another_model(plain: Pair, bundled: Callable[[str], Path]) -> None:
    with pytest.raises(PlanError, match="another structure"):
        verify((bundled("vit"), bundled("vit")), plan=plain[2])


# -- what else is reported ------------------------------------------------------------------------


def test_agreement_on_given_inputs(plain: Pair, inputs: dict[str, np.ndarray]) -> None:
    found = verify(plain[:2], calib=inputs, calib_samples=40)
    assert (found.samples, found.judged_on) == (40, "arrays")
    assert found.fidelity[0].relative_error > 0.01


def test_programs_are_tried(plain: Pair) -> None:
    found = verify(plain[:2], consumers=["ort-optimised", "ort-dynamic"])
    assert [(c.name, c.status) for c in found.consumers] == [("ort-optimised", "ok"), ("ort-dynamic", "ok")]
    exact, quantised = found.consumers
    assert exact.error is not None
    assert exact.allowed is not None
    assert exact.error <= exact.allowed
    assert quantised.allowed is None
    assert quantised.fidelity[0].cosine > 0.9
