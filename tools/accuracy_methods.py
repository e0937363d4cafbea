"""The methods that tools/accuracy.py compares: ours by the options of each, rivals by name.

A model is made ready once for each seed and choice of inputs, and pruned to one budget after another; methods
that differ in nothing but the repair share their scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.decide import Options, parse_targets
from graphprune.inputs import Wanted
from graphprune.pipeline import Workbench, on_bench
from graphprune.run import Run, Settings

L1 = {"criterion": "l1", "reducer": "first", "normaliser": "mean"}
L2 = {"criterion": "l2-group", "normaliser": "mean"}
AUTO = {"recipe": "auto"}
_KINDS = ("channels", "neurons", "heads", "kv-groups", "groups", "hidden", "experts")
OURS: Mapping[str, Mapping[str, Any]] = {
    "random": {"criterion": "random"},
    "l1": L1,
    "l2 group": L2,
    "lamp": {"recipe": "lamp"},
    "lamp with residual streams": {"recipe": "lamp", "structures": (*_KINDS, "residual")},
    "l2 group + refit": {**L2, "compensation": "refit"},
    "auto without repair": {**AUTO, "compensation": "none"},
    "auto with refit only": {**AUTO, "compensation": "refit"},
    "auto": AUTO,
    "auto without data": AUTO,
}
RIVALS = ("Torch-Pruning", "onnxsim")
# Other recipes, measured by name only.
OTHERS: Mapping[str, Mapping[str, Any]] = {
    name: {"recipe": name}
    for name in ("flap", "obspa-id", "obspa-ood", "obspa-free", "ziplm", "gp-free", "gp-best")
} | {"auto on other data": AUTO}
ON_OTHER_DATA = ("obspa-ood", "auto on other data")  # calibrated on inputs of another data set
# The default with one part replaced.
ABLATIONS: Mapping[str, Mapping[str, str]] = {
    f"{kind}: {name}": {**AUTO, kind: name}
    for kind, names in {
        "criterion": ("l2-group", "wanda", "act-norm"),
        "allocation": ("uniform", "waterfill"),
        "normaliser": ("mean",),
        "compensation": ("none", "bias", "refit-c", "refit"),
    }.items()
    for name in names
}
_MIN_KEEP = 0.03  # of a group's slots; the budgets go far


class NotPossibleError(Exception):
    """A pruner cannot do this; says why."""


class Ours:
    """Prunes one model by the methods of this project.

    Args:
        path: of the model.
        calibration: feeds of single samples or batches, or arrays by input name.
        other: makes inputs of another data set; None where there is none.
    """

    def __init__(self, path: Path, calibration: Any, other: Callable[[], Any] | None = None) -> None:
        self._path, self._calibration, self._other = path, calibration, other
        self._key: object = None
        self._bench: Workbench | None = None
        self._own = ""
        self.told: dict[str, Any] = {}

    def prune(self, method: str, share: float, seed: int, out: Path) -> float:
        """Write the pruned model; gives the share of multiply-adds that is left.

        Raises:
            GraphPruneError: the budget cannot be reached, among others.
            NotPossibleError: the method takes inputs of another data set, and there are none.
        """
        asked = {**OURS, **ABLATIONS, **OTHERS}[method]
        options = Options(
            ratio=None, targets=parse_targets([f"macs={share}"]), min_keep=_MIN_KEEP, seed=seed, **asked
        )
        data = self._data(method, seed)
        settings = Settings(out, force=True, benchmark=False, wanted=Wanted(data))
        bench = self._bench_for(options, settings, method)
        run = bench.prune(options, settings)
        self.told = told(run)
        return run.decision.after.macs / run.decision.before.macs

    def _data(self, method: str, seed: int) -> Any:
        if method.endswith("without data"):
            return None
        if method not in ON_OTHER_DATA:
            return shuffled(self._calibration, seed)
        if self._other is None:
            raise NotPossibleError("no inputs of another data set for this model")
        return shuffled(self._other(), seed)

    def _bench_for(self, options: Options, settings: Settings, method: str) -> Workbench:
        repaired = bool(options.recipe or options.compensation)
        scored = (options.criterion, options.reducer, options.normaliser, options.allocation)
        data = (method in ON_OTHER_DATA, settings.wanted.calibration is None)
        key = (options.recipe, *scored, options.structures, repaired, data, options.seed)
        if self._bench is None or key != self._key:
            prepared = dataclasses.replace(
                options, compensation="" if options.recipe else options.compensation
            )
            self._bench, self._key = on_bench(self._path, prepared, settings, lambda bench: bench), key
            self._own = self._bench.parts.compensation
        compensation = options.compensation or self._own
        self._bench.parts = dataclasses.replace(self._bench.parts, compensation=compensation)
        return self._bench


def told(run: Run) -> dict[str, Any]:
    """What a run says of its result without labels: what `--dry-run` would say, and its warnings."""
    found: dict[str, Any] = {}
    if run.fidelity:
        worst = min(run.fidelity, key=lambda f: f.cosine if f.top1 is None else f.top1)
        found["agreement"] = round(worst.cosine if worst.top1 is None else worst.top1, 4)
        found["relative_error"] = round(worst.relative_error, 4)
        if worst.drop is not None:
            found["expected_drop"] = round(worst.drop, 4)
    if run.warnings:
        found["warnings"] = list(run.warnings)
    return found


def shuffled(calibration: Any, seed: int) -> Any:
    """The same inputs in another order, so that others are kept aside; seed 0 leaves them as they are."""
    if not seed:
        return calibration
    random = np.random.default_rng(seed)
    if isinstance(calibration, Mapping):
        order = random.permutation(len(next(iter(calibration.values()))))
        return {name: array[order] for name, array in calibration.items()}
    feeds: Sequence[Any] = calibration
    return [feeds[k] for k in random.permutation(len(feeds))]
