"""The report as plain data: what `--json` writes and what the screen shows. Described in docs/report.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from graphprune.analysis import Analysis, Cost
from graphprune.report.layers import layers_as_data
from graphprune.report.sensitivity import sensitivity
from graphprune.runtime.environment import environment
from graphprune.version import __version__

if TYPE_CHECKING:
    from graphprune.run import Run

FORMAT = 1


def make_report(run: Run, command: str | None = None) -> dict[str, Any]:
    """Everything about a run as JSON-ready data.

    Args:
        run: a finished run.
        command: the command line that started it, if one did.
    """
    keeps = run.decision.keeps
    return {
        "format": FORMAT,
        "graphprune": __version__,
        "command": command,
        "model": str(run.source.path) if run.source.path else None,
        "output": str(run.settings.output) if run.settings.output and not run.settings.dry_run else None,
        "dry_run": run.settings.dry_run,
        "asked": dict(run.plan.options),
        "before": _figures(run.decision.before, run.source.size_bytes, run.latency_ms.get("before")),
        "after": _figures(run.decision.after, run.size_bytes, run.latency_ms.get("after")),
        "timed_on": run.timed_on or None,
        "provider": run.settings.provider,
        "method": _method(run),
        "groups": _groups(run),
        "not_cut": not_cut(run.analysis, run.decision.candidates.reasons),
        "layers": layers_as_data(run.analysis, keeps),
        "unread_macs": run.analysis.spared,
        "reached": reached(run.analysis),
        "equivalence": asdict(run.equivalence),
        "fidelity": [asdict(f) for f in run.fidelity],
        "judged_on": run.judged_on,
        "quality": None if run.quality is None else {k: v for k, v in run.quality.items() if k != "curve"},
        "curve": [] if run.quality is None else run.quality["curve"],
        "warnings": [
            *run.warnings,
            *run.decision.notes,
            *(run.decision.parts.notes if run.decision.parts else ()),
        ],
        "seconds": {k: round(v, 3) for k, v in run.seconds.items()},
        "shapes": {"method": run.analysis.recording.method, "note": run.analysis.recording.note},
        "environment": environment().as_data(),
    }


def _groups(run: Run) -> list[dict[str, Any]]:
    """The groups that were cut, with what their scores say of them."""
    keeps, found = run.decision.keeps, []
    for group in (g for g in run.analysis.by_atom.values() if g.atom in keeps):
        kept = keeps[group.atom].count
        scores = run.decision.scores.get(group.atom)
        if scores is None and group.key in run.plan.groups:
            scores = np.asarray(run.plan.groups[group.key].scores, dtype=np.float64)
        found.append(
            {
                "key": group.key,
                "kind": group.kind,
                "before": group.size,
                "after": kept,
                "members": len(group.members) or len(weights_in(run.analysis, group.atom)),
                "sensitivity": None if scores is None or not scores.size else sensitivity(scores, kept),
            }
        )
    return found


def weights_in(analysis: Analysis, layer: int) -> list[str]:
    """Names of the weights that go with a layer, by the atom that stands for it."""
    return sorted(analysis.dead(frozenset({layer})) & analysis.weights.keys())


def _method(run: Run) -> dict[str, Any]:
    """The parts that decided, the inputs they saw, and what was repaired."""
    parts, inputs = run.decision.parts, run.inputs
    used = parts.scored_by if parts and any(a > 0 for a in run.decision.scores) else []
    used = [*used, "allocation", "compensation"]
    used += [k for k in ("depth", "basis") if parts is not None and getattr(parts, k)]
    return {
        "recipe": parts.recipe if parts else None,
        "parts": {} if parts is None else {k: getattr(parts, k) for k in used},
        "notes": list(parts.notes) if parts else [],
        "rounding": dict(run.decision.rounding),
        "calibration": None
        if inputs is None
        else {
            "source": inputs.calibration.source,
            "samples": inputs.calibration.samples,
            "synthetic": inputs.calibration.synthetic,
        },
        "repaired": [
            {**asdict(o), "damping": None if o.damping == float("inf") else float(o.damping)}
            for o in run.repair.operators
        ],
    }


def _figures(cost: Cost, size_bytes: int | None, latency_ms: float | None) -> dict[str, Any]:
    return {"params": cost.params, "macs": cost.macs, "size_bytes": size_bytes, "latency_ms": latency_ms}


def not_cut(analysis: Analysis, reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """The groups that were left alone, largest share of the weights first."""
    found = [
        {"key": key, "kind": g.kind, "size": g.size, "params": _params_of(analysis, g.atom), "reason": reason}
        for key, reason in reasons.items()
        if (g := analysis.by_key.get(key)) is not None
    ]
    return sorted(found, key=lambda row: -int(row["params"]))


def _params_of(analysis: Analysis, atom: int) -> int:
    """Elements of all weights that have the dimension."""
    return sum(analysis.weights[w].count for w in {m.weight for m in analysis.by_atom[atom].members})


def reached(analysis: Analysis) -> dict[str, float]:
    """Share of the weights that some removable dimension runs through: exactly, and at all."""
    total = sum(w.count for w in analysis.weights.values() if w.real) or 1
    exact = {
        g.atom for g in analysis.groups if not g.frozen and not g.approximate and not g.asked and g.size > 1
    }
    every = {g.atom for g in analysis.groups if not g.frozen and g.size > 1}

    def share(atoms: set[int]) -> float:
        found = sum(
            w.count for w in analysis.weights.values() if w.real and any(d.atoms & atoms for d in w.dims)
        )
        return round(found / total, 4)

    return {"exact": share(exact), "any": share(every)}
