"""Plans in memory and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.analysis import Analysis
from graphprune.decide import Decision, Options
from graphprune.dims import Keeps, Slots
from graphprune.errors import PlanError
from graphprune.plan.fields import check_fields
from graphprune.plan.fingerprint import fingerprint

FORMAT = 1


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """One group of a plan.

    Attributes:
        size: slots before.
        kind: what the dimension is.
        kept: kept indices, ascending; nested lists where it keeps others for each slot of `outer`. A layer
            keeps its one slot, 0, or nothing.
        outer: keys of the groups (or `#id` of other atoms) it depends on.
        scores: of the slots, rounded, nested like `kept` is.
    """

    size: int
    kind: str
    kept: list[Any]
    outer: tuple[str, ...] = ()
    scores: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to repeat a prune exactly.

    Attributes:
        fingerprint: structure of the model it was made for.
        groups: by key.
        reasons: why the other groups are left alone, by key.
        options: what was asked for.
        versions: of graphprune and what it stands on.
        repair: how the remaining weights were repaired: compensation, inputs, seed; empty if they were not.
    """

    fingerprint: str
    groups: Mapping[str, PlannedGroup]
    reasons: Mapping[str, str]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    repair: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def make_plan(
    analysis: Analysis,
    decision: Decision,
    options: Options,
    versions: Mapping[str, str],
    structure: str = "",
    inputs: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan that repeats a decision.

    Args:
        analysis: the analysis the decision was made on.
        decision: which slots to keep.
        options: what was asked for.
        versions: of graphprune and what it stands on.
        structure: fingerprint of the model; of the analysed one by default.
        inputs: the calibration inputs that a repair was made with.
    """
    groups: dict[str, PlannedGroup] = {}
    for atom, slots in decision.keeps.items():
        group = analysis.by_atom[atom]
        scores = np.round(decision.scores[atom], 6).tolist() if atom in decision.scores else []
        groups[group.key] = PlannedGroup(
            group.size,
            group.kind,
            slots.index.tolist(),
            tuple(_name(analysis, o) for o in slots.outer),
            scores,
        )
    asked = {k: v for k, v in asdict(options).items() if v not in (None, (), {}, "")}
    asked["targets"] = [t.text for t in options.targets]
    repair = {}
    parts = decision.parts
    if inputs is not None and parts is not None and (parts.compensation != "none" or parts.basis):
        repair = {"compensation": parts.compensation, "seed": options.seed, **inputs}
    return Plan(
        structure or fingerprint(analysis.facts),
        groups,
        dict(decision.candidates.reasons),
        asked,
        dict(versions),
        repair,
    )


def _name(analysis: Analysis, atom: int) -> str:
    return analysis.by_atom[atom].key if atom in analysis.by_atom else f"#{atom}"


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan file.

    Raises:
        PlanError: missing, not JSON, or not a plan.
    """
    where = Path(path)
    try:
        data = json.loads(where.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"cannot read the plan {where}: {error.strerror or error}") from None
    except ValueError as error:
        raise PlanError(f"the plan {where} is not valid JSON ({error}): write one with --plan") from None
    return parse_plan(data, str(where))


def parse_plan(data: Any, where: str) -> Plan:
    """A plan from its JSON data.

    Raises:
        PlanError: not a plan, or of a newer format.
    """
    if not isinstance(data, dict) or not {"fingerprint", "groups"} <= data.keys():
        raise PlanError(f"{where} is JSON but not a plan (no fingerprint and groups): write one with --plan")
    if data.get("format") != FORMAT:
        raise PlanError(f"the plan {where} has format {data.get('format')}, this version reads {FORMAT}")
    try:
        groups = {
            str(key): PlannedGroup(
                int(g["size"]),
                str(g["kind"]),
                list(g["kept"]),
                tuple(g.get("outer") or ()),
                list(g.get("scores") or ()),
            )
            for key, g in data["groups"].items()
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise PlanError(
            f"the plan {where} has a group without size, kind or kept indices ({error!r})"
        ) from None
    check_fields(data, where)
    return Plan(
        str(data["fingerprint"]),
        groups,
        data.get("reasons") or {},
        data.get("options") or {},
        data.get("versions") or {},
        data.get("repair") or {},
    )


def keeps_of(plan: Plan, analysis: Analysis) -> Keeps:
    """The kept slots a plan asks for, checked against the model.

    Raises:
        PlanError: the plan was made for another structure, or a group or index does not exist.
    """
    found = fingerprint(analysis.facts)
    if plan.fingerprint != found:
        raise PlanError(
            f"the plan was made for a model of another structure (fingerprint {plan.fingerprint[:12]}, this "
            f"model has {found[:12]}): make a new plan from this model"
        )
    keeps: dict[int, Slots] = {}
    for key, planned in plan.groups.items():
        group = analysis.by_key.get(key)
        if group is None:
            raise PlanError(f'the plan cuts "{key}", which this model does not have')
        if group.frozen:
            raise PlanError(f'the plan cuts "{key}", which cannot be cut: {group.frozen}')
        keeps[group.atom] = _slots(analysis, key, planned)
    return keeps


def _slots(analysis: Analysis, key: str, planned: PlannedGroup) -> Slots:
    group = analysis.by_key[key]
    try:
        read = np.array(planned.kept)
    except ValueError:  # rows of different lengths
        read = np.array(None)
    if read.size and read.dtype.kind != "i":
        raise PlanError(f'the kept indices of "{key}" in the plan do not form a table of whole numbers')
    index = read.astype(np.int64)
    outer = group.outer if index.ndim > 1 else ()
    shape = tuple(analysis.atom_sizes[o] for o in outer)
    if not group.least and not index.size and planned.size == group.size:
        return Slots(np.zeros(0, np.int64))
    if planned.size != group.size:
        raise PlanError(
            f'the plan does not fit "{key}": it has {group.size} slots, the plan says {planned.size}'
        )
    if np.shape(planned.scores)[-1] not in (0, group.size):
        raise PlanError(f'the plan does not fit "{key}": its scores must be {group.size}, one for each slot')
    if not index.size:
        raise PlanError(f'the plan does not fit "{key}": it keeps none of the {group.size} slots')
    if index.shape[:-1] != shape:
        wanted = f"one list for each of {' x '.join(map(str, shape))}" if shape else "one list of indices"
        raise PlanError(
            f'the plan does not fit "{key}": it takes {wanted}, the plan has a table of shape {index.shape}'
        )
    if index.min() < 0 or index.max() >= group.size or (np.diff(index, axis=-1) <= 0).any():
        raise PlanError(f'the kept indices of "{key}" must ascend and lie between 0 and {group.size - 1}')
    if index.shape[-1] < group.least:
        raise PlanError(
            f'"{key}" must keep at least {group.least} of its slots: as many are chosen each time'
        )
    return Slots(index, outer)
