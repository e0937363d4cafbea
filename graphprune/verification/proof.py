"""Mask equivalence of a file: is it the original with the weights of removed slots at zero?

With a plan, what the plan says is done once more, the repair included, and the file must compute what the
masked result computes. Without one, the kept slots are read from the two files. A file that was repaired on
inputs that are gone, or trained after pruning, can still be shown to be the original network with its own
weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from graphprune.analysis import Analysis, analyse_model
from graphprune.errors import CalibrationError, ModelError, PlanError
from graphprune.inputs import Wanted
from graphprune.pipeline import run_plan
from graphprune.plan import Plan, fingerprint, keeps_of
from graphprune.run import Settings
from graphprune.statistics import find_linear, open_biases
from graphprune.validate import Equivalence, check_equivalence
from graphprune.verification.adopt import adopt_weights
from graphprune.verification.recover import recover_keeps
from graphprune.verification.twins import find_twins

MASKED = "the masked original"
REPAIRED = "the masked original, repaired as the plan says"
OWN = "the masked original network with the pruned model's own weights"


@dataclass(frozen=True, slots=True)
class Proof:
    """Outcome of the comparison.

    Attributes:
        equivalence: "equal", "different" or "not checked", with the figures and the reason.
        reference: what the pruned model was compared with; "" if it was not.
        kept_from: where the kept slots are known from: "plan", "weights" or "".
    """

    equivalence: Equivalence
    reference: str = ""
    kept_from: str = ""


def prove_with_plan(
    original: Any,
    normal: ir.Model,
    analysis: Analysis,
    pruned: ir.Model,
    plan: Plan,
    *,
    own_weights: bool,
    wanted: Wanted,
    seed: int,
) -> Proof:
    """Compare a pruned model with what a plan makes of the original.

    Args:
        original: anything that `load` reads.
        normal: the original, normalised.
        analysis: of it.
        pruned: as it was loaded.
        plan: says what is kept, and how it was repaired.
        own_weights: take the weights from the pruned model.
        wanted: inputs for the repair, where those the plan names are not there.
        seed: of random inputs.

    Raises:
        PlanError: the plan does not fit the original.
    """
    keeps = keeps_of(plan, analysis)
    if own_weights:
        return _own(normal, analysis, pruned, plan, seed)
    plain = check_equivalence(normal, analysis, keeps, pruned, seed=seed)
    if not plain.failed:
        return Proof(plain, MASKED if plain.status == "equal" else "", "plan")
    if plan.repair:
        repaired = _repeated(original, pruned, plan, wanted, seed)
        if not repaired.failed:
            return Proof(repaired, REPAIRED if repaired.status == "equal" else "", "plan")
    own = _own(normal, analysis, pruned, plan, seed)
    if own.equivalence.status != "equal":
        return Proof(repaired if plan.repair else plain, REPAIRED if plan.repair else MASKED, "plan")
    what = "a repair on other inputs" if plan.repair else "a repair"
    note = (
        f"the network is the one of the plan, but {own.equivalence.note}: if this comes from {what}, or from "
        "training since, say --own-weights"
    )
    return Proof(replace(plain, note=note), MASKED, "plan")


def prove_by_weights(normal: ir.Model, analysis: Analysis, pruned: ir.Model, *, seed: int) -> Proof:
    """Compare a pruned model with the masked original, the kept slots being read from the weights.

    Args:
        normal: the original, normalised.
        analysis: of it.
        pruned: as it was loaded.
        seed: of random inputs.
    """
    keeps, why = recover_keeps(analysis, find_twins(analysis, pruned))
    if why:
        return Proof(Equivalence("not checked", note=f"{why}; give the plan (--plan)"))
    equivalence = check_equivalence(normal, analysis, keeps, pruned, seed=seed)
    return Proof(equivalence, MASKED if equivalence.status != "not checked" else "", "weights")


def _repeated(original: Any, pruned: ir.Model, plan: Plan, wanted: Wanted, seed: int) -> Equivalence:
    """The comparison with the masked original after the plan's repair."""
    quiet = Settings(verify=False, benchmark=False, wanted=Wanted(memory=wanted.memory))
    try:
        run = run_plan(original, plan, quiet, seed)
    except CalibrationError as error:
        if wanted.calibration is None:
            return Equivalence(
                "not checked",
                note=f"the plan's repair cannot be repeated ({error}): give its inputs with --calib, or say "
                "--own-weights",
            )
        run = run_plan(original, plan, replace(quiet, wanted=wanted), seed)
    return check_equivalence(run.normal, run.analysis, run.decision.keeps, pruned, seed=seed)


def _own(normal: ir.Model, analysis: Analysis, pruned: ir.Model, plan: Plan, seed: int) -> Proof:
    """The comparison with the original network that has the pruned model's weights."""
    try:
        opened, recording, names = open_biases(normal, analysis.recording, find_linear(analysis))
        ready = replace(analyse_model(opened, recording), opened=names, spared=analysis.spared)
        keeps = keeps_of(replace(plan, fingerprint=fingerprint(ready.facts)), ready)
        adopted, changed, why = adopt_weights(opened, ready, keeps, find_twins(ready, pruned))
    except (ModelError, PlanError) as error:
        return Proof(Equivalence("not checked", note=str(error)))
    if adopted is None:
        return Proof(Equivalence("not checked", note=why))
    found = check_equivalence(adopted, analyse_model(adopted, recording), keeps, pruned, seed=seed)
    if found.status != "equal":
        return Proof(found, OWN, "plan")
    note = f"{len(changed)} weights have values of their own"
    if len(changed) == 1:
        note = f'the weight "{changed[0]}" has values of its own'
    return Proof(replace(found, note=note), OWN, "plan")
