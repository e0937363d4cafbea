"""Trains and exports the held-out networks: `python tools/heldout/make.py FOLDER [NAME ...]`.

FOLDER/NAME.onnx and NAME.pt (the weights, for pruners of modules) are written; a network whose file exists is
skipped, unless it is named. Seeds are fixed; a network takes up to a minute on one CPU thread. Fashion-MNIST
is read from the folder that FASHION_MNIST names. FOLDER/heldout.json has the metric of each file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from subjects import SUBJECTS, Subject
from tasks import ROOT, TASKS, Part, evaluate, part
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(ROOT))
from models.train.common import Recipe, prepare, train  # noqa: TID251

OPSET = 18


def build(subject: Subject) -> nn.Module:
    """The network, not trained."""
    module, name = subject.build
    made: nn.Module = getattr(importlib.import_module(module), name)()
    return made


class _Several(nn.Module):
    """Takes several inputs as one tuple, as the training loop gives them."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run the network."""
        made: Tensor = self.inner(*inputs)
        return made


def _batches(data: Part, size: int) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    inputs = [torch.from_numpy(np.ascontiguousarray(a)) for a in data.inputs.values()]
    answers = torch.from_numpy(np.ascontiguousarray(data.answers))
    while True:
        order = torch.randperm(len(answers))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            yield tuple(i[rows] for i in inputs), answers[rows]


def _by_class(made: Tensor, answers: Tensor) -> Tensor:
    return functional.cross_entropy(made.flatten(0, -2), answers.flatten(), label_smoothing=0.05)


def _by_reading(made: Tensor, answers: Tensor) -> Tensor:
    """Connectionist temporal classification, blank first."""
    n, t, _ = made.shape
    lengths = torch.full((n,), t), torch.full((n,), answers.shape[1])
    return functional.ctc_loss(made.transpose(0, 1).log_softmax(-1), answers + 1, *lengths)


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "denoise": functional.mse_loss,
    "strips": _by_reading,
}


def learn(name: str, subject: Subject) -> nn.Module:
    """Train the network."""
    prepare()
    module = build(subject)
    data = _batches(part(subject.task, "train"), subject.batch)
    recipe = Recipe(name, subject.task, subject.steps, subject.rate)
    train(_Several(module), data, recipe, _LOSSES.get(subject.task, _by_class))
    return module.eval()


def examples(subject: Subject, count: int = 2) -> dict[str, np.ndarray]:
    """Inputs of a few samples, drawn by lot."""
    draw = np.random.RandomState(0)
    return {
        name: draw.randint(0, high, (count, *shape)).astype(np.int64)
        if high
        else draw.normal(0, 1, (count, *shape)).astype(np.float32)
        for name, (shape, high) in TASKS[subject.task].given.items()
    }


def export(module: nn.Module, subject: Subject, given: dict[str, np.ndarray], path: Path) -> None:
    """Write the file; the number of samples is free."""
    result = "clean" if subject.task == "denoise" else "logits"
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in given}
    if subject.dynamo:
        options: dict[str, Any] = {
            "dynamo": True,
            "external_data": False,
            "dynamic_shapes": tuple(axes.values()),
        }
    else:
        options = {"dynamo": False, "dynamic_axes": {**axes, result: {0: "batch"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(torch.from_numpy(a) for a in given.values()),
            str(path),
            opset_version=OPSET,
            input_names=list(given),
            output_names=[result],
            verbose=False,
            **options,
        )


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="networks to make anew; all that are missing by default")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    record = args.folder / "heldout.json"
    for name, subject in SUBJECTS.items():
        path = args.folder / f"{name}.onnx"
        if name not in args.names and (args.names or path.exists()):
            continue
        start = time.process_time()
        module = learn(name, subject)
        torch.save(module.state_dict(), path.with_suffix(".pt"))
        part_path = path.with_suffix(".part")
        export(module, subject, examples(subject), part_path)
        found = json.loads(record.read_text()) if record.exists() else {}
        found[name] = {
            "value": round(evaluate(part_path, subject.task), 4),
            "parameters": sum(p.numel() for p in module.parameters()),
            "seconds": round(time.process_time() - start),
        }
        part_path.rename(path)
        record.write_text(json.dumps(found, indent=1) + "\n")
        print(name, found[name], flush=True)


if __name__ == "__main__":
    main()
