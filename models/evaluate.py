"""Measure a model of this folder, or a pruned descendant of one, on the committed test split.

    python models/evaluate.py models/resnet_se.onnx
    python models/evaluate.py small.onnx --task fashion --batch 1
    python models/evaluate.py models/vit.onnx --calibration calibration.npz

The task is read from the ONNX metadata key `graphprune.task`; `--task` overrides it. Every metric is a share
in [0, 1] and higher is better. Only numpy and onnxruntime are needed: the splits lie in `models/data/`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

DATA = Path(__file__).resolve().parent / "data"
TASK_KEY = "graphprune.task"
CANVAS = 40  # height and width of a segmentation scene, in pixels

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Split:
    """Model-ready inputs, by input name, and the right answers, both with the sample axis first."""

    inputs: Inputs
    answers: np.ndarray


@dataclass(frozen=True, slots=True)
class Task:
    """What is measured: the metric's name, where its splits come from, and how many answers are right.

    `score` takes a batch of outputs and of answers and returns (points won, points possible).
    """

    metric: str
    load: Callable[[str], Split]
    score: Callable[[np.ndarray, np.ndarray], tuple[float, float]]


def images(raw: np.ndarray) -> np.ndarray:
    """Return uint8 (n, 28, 28) pictures as float32 (n, 1, 28, 28), centred and scaled as in training."""
    return ((raw[:, None].astype(np.float32) / 255) - 0.286) / 0.353


def scenes(raw: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Compose each item of clothing into a cluttered scene and return the scenes and the items' masks.

    Args:
        raw: uint8 items (n, 28, 28).
        seed: of the placement, bars and noise; `RandomState` gives the same stream on every numpy.

    Returns:
        float32 scenes (n, 1, 40, 40) and float32 masks of zeros and ones of the same shape.
    """
    draw = np.random.RandomState(seed)
    scene = draw.uniform(0, 0.5, (len(raw), 1, 1)) * np.linspace(0, 1, CANVAS)[None, None, :]
    scene = np.broadcast_to(scene, (len(raw), CANVAS, CANVAS)).copy()
    mask = np.zeros_like(scene)
    for row, item in enumerate(raw):
        _bars(scene[row], draw)
        top, left = draw.randint(0, CANVAS - 28 + 1, 2)
        inside = item > 12
        window = slice(top, top + 28), slice(left, left + 28)
        scene[row][window] = np.where(inside, item / 255, scene[row][window])
        mask[row][window] = inside
    scene += draw.normal(0, 0.15, scene.shape)
    return scene[:, None].astype(np.float32), mask[:, None].astype(np.float32)


def _bars(scene: np.ndarray, draw: np.random.RandomState) -> None:
    """Paint three bright bars of random place and size, so that brightness alone does not give the mask."""
    for _ in range(3):
        top, left = draw.randint(0, CANVAS, 2)
        height, width = draw.randint(3, 14, 2)
        scene[top : top + height, left : left + width] = draw.uniform(0.2, 0.9)


def _fashion(split: str) -> Split:
    with np.load(DATA / "fashion.npz") as data:
        return Split({"image": images(data[f"{split}_images"])}, data[f"{split}_labels"].astype(np.int64))


def _segment(split: str) -> Split:
    with np.load(DATA / "fashion.npz") as data:
        scene, mask = scenes(data[f"{split}_images"], seed={"test": 1, "calibration": 2}[split])
    return Split({"scene": scene}, mask)


def _passages(split: str) -> Split:
    with np.load(DATA / "passages.npz") as data:
        return Split(
            {"tokens": data[f"{split}_tokens"].astype(np.int64)}, data[f"{split}_labels"].astype(np.int64)
        )


def _source(split: str) -> Split:
    with np.load(DATA / "source.npz") as data:
        text = data[f"{split}_bytes"].astype(np.int64)
    return Split({"bytes": text[:, :-1]}, text[:, 1:])


def _top1(outputs: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    return float((outputs.argmax(-1) == answers).sum()), float(answers.size)


def _overlap(outputs: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """Intersection over union of each scene, added up; an output is a logit, so positive means inside."""
    axes = (1, 2, 3)
    guess, truth = outputs > 0, answers > 0.5
    shares = (guess & truth).sum(axes) / np.maximum((guess | truth).sum(axes), 1)
    return float(shares.sum()), float(len(shares))


TASKS: Mapping[str, Task] = {
    "fashion": Task("accuracy", _fashion, _top1),
    "segment": Task("mean_iou", _segment, _overlap),
    "passages": Task("accuracy", _passages, _top1),
    "source": Task("next_byte_accuracy", _source, _top1),
}


def _session(model_path: str | Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])


def _task_of(session: ort.InferenceSession, name: str | None) -> str:
    found = name or session.get_modelmeta().custom_metadata_map.get(TASK_KEY)
    if found not in TASKS:
        raise SystemExit(
            f"the model names no known task (found {found!r}); give --task, one of {', '.join(TASKS)}"
        )
    return str(found)


def evaluate(
    model_path: str | Path, task: str | None = None, batch: int = 50, split: Split | None = None
) -> dict[str, Any]:
    """Run the model on its test split, or on another one.

    Args:
        model_path: an ONNX file; its first output is compared with the answers.
        task: one of `TASKS`; by default the one the file names in its metadata.
        batch: samples in each run.
        split: inputs and right answers; by default those committed for the task.

    Returns:
        `task`, `metric` (its name), `value` (a share in [0, 1], higher is better) and `samples`.
    """
    session = _session(model_path)
    name = _task_of(session, task)
    split = split or TASKS[name].load("test")
    names = dict(zip((i.name for i in session.get_inputs()), split.inputs.values(), strict=True))
    won = possible = 0.0
    for start in range(0, len(split.answers), batch):
        part = slice(start, start + batch)
        outputs = session.run(None, {key: value[part] for key, value in names.items()})
        points = TASKS[name].score(np.asarray(outputs[0]), split.answers[part])
        won, possible = won + points[0], possible + points[1]
    return {
        "task": name,
        "metric": TASKS[name].metric,
        "value": round(won / possible, 4),
        "samples": len(split.answers),
    }


def calibration(model_path: str | Path, task: str | None = None) -> dict[str, np.ndarray]:
    """Return the unlabelled calibration split as the model's inputs: name -> array, samples first."""
    session = _session(model_path)
    split = TASKS[_task_of(session, task)].load("calibration")
    return dict(zip((i.name for i in session.get_inputs()), split.inputs.values(), strict=True))


def main() -> None:
    """Print the measurement as one line of JSON, or write the calibration inputs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--task", choices=sorted(TASKS))
    parser.add_argument("--batch", type=int, default=50, help="samples in each run")
    parser.add_argument("--calibration", type=Path, help="write the calibration inputs to this .npz and stop")
    args = parser.parse_args()
    if args.calibration:
        np.savez_compressed(args.calibration, **calibration(args.model, args.task))  # type: ignore[arg-type]
        return
    print(json.dumps(evaluate(args.model, args.task, args.batch)))


if __name__ == "__main__":
    main()
