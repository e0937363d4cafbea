"""Accuracy without training: methods side by side on trained models, at the same multiply-adds.

    python tools/accuracy.py                                  bundled models -> docs/accuracy/bundled.json
    python tools/accuracy.py --models vit,bilstm --macs 0.5 --methods auto,l1 --seeds 0,1,2
    python tools/accuracy.py --complete --methods auto        bundled, measured on all there is to test on too
    python tools/accuracy.py --tasks FOLDER --files OUT       other models -> docs/accuracy/deployed.json
    python tools/accuracy.py --heldout FOLDER                 tools/heldout's -> docs/accuracy/heldout.json
    python tools/accuracy_page.py                             the tables and plots of docs/accuracy.md

Every figure is written as it comes; what has one is skipped, so a run can be stopped and gone on with.

For `--tasks`, FOLDER holds a `collect.py` with `TASKS` (name: script, options, metric, value of the original)
and one script for each, with `evaluate(model_path, n=...)` that opens its model by its own name `session`;
OUT/NAME/model.onnx are the models. Calibration inputs are what the script feeds after its first `n` samples,
so none of those it is measured on; or NAME.pkl of `--feeds`, a pickled list of feeds recorded before.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import pickle
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from accuracy_methods import ABLATIONS, OURS, RIVALS, NotPossibleError, Ours

from graphprune.errors import GraphPruneError

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "models"), str(ROOT)]
import evaluate as bundled  # noqa: E402

FIGURES = ROOT / "docs" / "accuracy"
_SAME = 0.005  # of the metric; processors round differently
# Where a script's further samples are not others: what to draw the calibration inputs from instead.
# Files of installed packages are left out by the score.
_ELSEWHERE = {"magika_files": {"roots": [sysconfig.get_paths()["purelib"]]}}
_FEWEST, _MOST, _BYTES = 128, 1024, 64 << 20  # feeds of a script that are used


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and how it is measured.

    Attributes:
        metric: what the score is.
        dense: the score of the original.
        calibration: makes the inputs.
        score: of the model in a file.
        beside: files that the score reads beside the model.
        pins: free dimensions of the inputs that are fixed first.
        network: makes the torch network, for pruners of modules; None if there is none.
        complete: of the model in a file, the score on more samples; None where there are no more.
        other: makes inputs of another data set; None where there is none.
    """

    name: str
    path: Path
    metric: str
    dense: float
    calibration: Callable[[], Any]
    score: Callable[[Path], float]
    beside: tuple[Path, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict)
    network: Callable[[], Any] | None = None
    complete: Callable[[Path], Mapping[str, Any]] | None = None
    other: Callable[[], Any] | None = None


def of_bundled(names: Sequence[str], complete: bool) -> Iterator[Subject]:
    """The models of this repository, if asked for with all that their tasks can be tested on."""
    for name in names or sorted(json.loads((ROOT / "models/models.json").read_text())):
        path = ROOT / "models" / f"{name}.onnx"
        dense = bundled.evaluate(path)
        yield Subject(
            name,
            path,
            dense["metric"],
            dense["value"],
            lambda path=path: bundled.calibration(path),
            lambda file: float(bundled.evaluate(file)["value"]),
            network=lambda name=name, path=path: _bundled_network(name, path),
            complete=_complete(dense["task"]) if complete else None,
            other=lambda task=dense["task"]: _other_data(task),
        )


def _complete(task: str) -> Callable[[Path], Mapping[str, Any]]:
    """Scores on everything that a bundled model can be tested on, with how many samples that is."""
    split = importlib.import_module("models.train.complete").complete(task)
    return lambda file: bundled.evaluate(file, split=split)


@functools.cache
def _other_data(task: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = importlib.import_module("accuracy_other_data").other_data(task)
    return found


def _bundled_network(name: str, path: Path) -> Any:
    from accuracy_networks import network

    return network(name, path)


def of_heldout(folder: Path, names: Sequence[str]) -> Iterator[Subject]:
    """The networks that tools/heldout/make.py has trained."""
    sys.path.insert(0, str(ROOT / "tools" / "heldout"))
    subjects, tasks = (importlib.import_module(name) for name in ("subjects", "tasks"))
    for name in names or subjects.SUBJECTS:
        path, task = folder / f"{name}.onnx", subjects.SUBJECTS[name].task
        if not path.exists():
            print(f"{name}: not made yet", flush=True)
            continue
        yield Subject(
            name,
            path,
            tasks.TASKS[task].metric,
            round(tasks.evaluate(path, task), 4),
            lambda task=task: tasks.part(task, "calibration").inputs,
            lambda file, task=task: float(tasks.evaluate(file, task)),
            network=lambda name=name, path=path: importlib.import_module("rival").network(name, path),
        )


def of_tasks(
    tasks: Path, files: Path, names: Sequence[str], more: int, feeds: Path | None, pins: Mapping[str, int]
) -> Iterator[Subject]:
    """Models with a script each."""
    sys.path.insert(0, str(tasks))
    table = importlib.import_module("collect").TASKS
    for name in names or list(table):
        script, options, metric, dense = table[name]
        module = importlib.import_module(script)
        path = files / name / "model.onnx"
        kept = feeds and feeds / f"{name}.pkl"
        yield Subject(
            name,
            path,
            metric,
            dense,
            lambda m=module, p=path, o=options, k=kept: (
                spread(pickle.loads(k.read_bytes())) if k and k.exists() else recorded(m, p, o, more)
            ),
            lambda file, m=module, o=options, by=metric: float(m.evaluate(file, **o)[by]),
            tuple(p for p in path.parent.iterdir() if p.is_file() and p.suffix != ".onnx"),
            pins,
        )


def recorded(module: Any, path: Path, options: Mapping[str, Any], more: int) -> list[dict[str, np.ndarray]]:
    """What a script feeds to the model after the samples that it is measured on."""
    feeds: list[dict[str, np.ndarray]] = []
    real = module.session

    class Recorder:
        """A session that remembers what it was fed."""

        def __init__(self, *given: Any) -> None:
            self._inner = real(*given)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def run(self, outputs: Any, given: Mapping[str, Any], *rest: Any) -> Any:
            feeds.append({k: np.array(v) for k, v in given.items()})
            return self._inner.run(outputs, given, *rest)

    default = module.evaluate.__defaults__[1]
    elsewhere = _ELSEWHERE.get(module.__name__)
    module.session = Recorder
    try:
        module.evaluate(path, **options)
        scored = feeds.copy()
        feeds.clear()
        module.evaluate(path, **{**options, **(elsewhere or {"n": default + more})})
    finally:
        module.session = real
    if elsewhere:
        return spread(unseen(feeds, scored))
    return spread(feeds[len(scored) :] or feeds)


def unseen(feeds: list[Any], scored: list[Any]) -> list[Any]:
    """The samples of some batches that no other batch holds, one by one."""

    def samples(batches: list[Any]) -> Iterator[dict[str, np.ndarray]]:
        for feed in batches:
            count = min(map(len, feed.values()))
            yield from ({n: a[k : k + 1] for n, a in feed.items()} for k in range(count))

    seen = {tuple(a.tobytes() for a in s.values()) for s in samples(scored)}
    return [s for s in samples(feeds) if tuple(a.tobytes() for a in s.values()) not in seen]


def spread(feeds: list[Any]) -> list[Any]:
    """Some of many feeds, evenly taken; more of small ones."""
    size = sum(np.asarray(array).nbytes for array in feeds[0].values())
    return feeds[:: -(-len(feeds) // max(_FEWEST, min(_MOST, _BYTES // size)))]


def pinned(path: Path, pins: Mapping[str, int], folder: Path) -> Path:
    """The model with free dimensions of its inputs fixed; the file itself if there is nothing to fix."""
    if not pins:
        return path
    model = onnx.load(path)
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in pins:
                dim.dim_value = pins[dim.dim_param]
    onnx.save(model, folder / path.name)
    return folder / path.name


class Figures:
    """What was measured, in a file: records by model, method, share and seed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def of(self, subject: Subject) -> dict[str, Any]:
        """The records of one model by a text that names method, share and seed; those of another file go."""
        entry = self.found.get(subject.name)
        if entry is None or abs(entry["dense"] - subject.dense) > _SAME:
            entry = {"metric": subject.metric, "dense": subject.dense, "records": {}}
            self.found[subject.name] = entry
        records: dict[str, Any] = entry["records"]
        return records

    def forget(self, names: Sequence[str], methods: Sequence[str]) -> None:
        """Drop what was measured with these methods, of all models or of some."""
        for name, entry in self.found.items():
            if not names or name in names:
                kept = {k: r for k, r in entry["records"].items() if k.split(" | ")[0] not in methods}
                entry["records"] = kept
        self.save()

    def save(self) -> None:
        """Write all of them, a line each."""
        text = json.dumps(self.found, indent=1)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(text + "\n")


def measure(
    subject: Subject,
    figures: Figures,
    methods: Sequence[str],
    shares: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Fill in what is missing of one model."""
    records = figures.of(subject)
    wanted = [(m, share, seed) for seed in seeds for m in methods for share in shares]
    todo = [w for w in wanted if _lacks(records.get(key_of(*w)), subject)]
    if not todo:
        return
    if subject.complete:
        all_of_it = subject.complete(subject.path)
        figures.found[subject.name]["complete"] = {k: all_of_it[k] for k in ("value", "samples")}
    calibration = subject.calibration()
    pruners: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in subject.beside:
            shutil.copy(file, folder)
        path, out = pinned(subject.path, subject.pins, Path(folder)), Path(folder) / "pruned.onnx"
        for method, share, seed in todo:
            start, busy = time.perf_counter(), time.process_time()
            record: dict[str, Any] = {}
            family = method if method in RIVALS else "ours"
            try:
                if family not in pruners:
                    pruners[family] = _pruner(family, subject, path, calibration)
                record["macs"] = round(pruners[family].prune(method, share, seed, out), 4)
                record["seconds"] = round(time.perf_counter() - start, 1)
                record["processor_seconds"] = round(time.process_time() - busy, 1)
                record["value"] = round(subject.score(out), 4)
                if subject.complete:
                    record["complete"] = subject.complete(out)["value"]
                record |= pruners[family].told
            except (GraphPruneError, NotPossibleError) as error:
                record["why"] = f"{type(error).__name__}: {error}"
            records[key_of(method, share, seed)] = record
            figures.save()
            print(f"{subject.name} {key_of(method, share, seed)}: {record}", flush=True)


def _lacks(record: Mapping[str, Any] | None, subject: Subject) -> bool:
    """Whether something of it is still to be measured."""
    return record is None or (subject.complete is not None and "value" in record and "complete" not in record)


def key_of(method: str, share: float, seed: int) -> str:
    """How a record is called."""
    return f"{method} | {share} | {seed}"


def _pruner(family: str, subject: Subject, path: Path, calibration: Any) -> Any:
    if family == "ours":
        return Ours(path, calibration, subject.other)
    from accuracy_rivals import make_rival

    return make_rival(family, subject.network, path, subject.score)


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default="", help="names, by comma; all by default")
    parser.add_argument("--macs", default="0.9,0.8,0.7,0.5,0.3", help="shares of the multiply-adds to leave")
    parser.add_argument("--methods", default=",".join((*OURS, *RIVALS)), help="by comma; or 'ablations'")
    parser.add_argument("--seeds", default="0", help="numbers, by comma")
    parser.add_argument("--tasks", type=Path, help="a folder of scripts that measure models")
    parser.add_argument("--files", type=Path, help="where their models are")
    parser.add_argument("--heldout", type=Path, help="where tools/heldout/make.py has put its networks")
    parser.add_argument("--complete", action="store_true", help="test bundled models on all there is too")
    parser.add_argument("--feeds", type=Path, help="a folder of pickled calibration inputs, for --tasks")
    parser.add_argument("--pin", default="", help="NAME=SIZE of free dimensions to fix first, for --tasks")
    parser.add_argument("--more", type=int, default=128, help="samples for calibration, for --tasks")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    parser.add_argument("--forget", action="store_true", help="measure what has a figure again")
    args = parser.parse_args()
    names = [n for n in args.models.split(",") if n]
    methods = list(ABLATIONS) if args.methods == "ablations" else args.methods.split(",")
    kind = "deployed" if args.tasks else "heldout" if args.heldout else "bundled"
    figures = Figures(args.json or FIGURES / f"{kind}.json")
    if args.forget:
        figures.forget(names, methods)
    pins = {name: int(size) for name, _, size in (p.partition("=") for p in args.pin.split(",") if p)}
    if args.tasks:
        subjects = of_tasks(args.tasks, args.files, names, args.more, args.feeds, pins)
    elif args.heldout:
        subjects = of_heldout(args.heldout, names)
    else:
        subjects = of_bundled(names, args.complete)
    for subject in subjects:
        measure(
            subject,
            figures,
            methods,
            [float(m) for m in args.macs.split(",")],
            [int(s) for s in args.seeds.split(",")],
        )


if __name__ == "__main__":
    main()
