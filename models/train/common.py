"""What every training program shares: one loop, one export, one record.

Training is one pass of AdamW under a one-cycle learning rate, on one CPU thread, from a fixed seed. What is
measured is the ONNX file, by `models/evaluate.py`: the number in `models.json` is not the module's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.evaluate import TASK_KEY, evaluate  # noqa: TID251  (this is models/ itself)

MODELS = Path(__file__).resolve().parents[1]
Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model's training: what it is called, what it is measured on, and for how long it learns."""

    name: str
    task: str
    steps: int
    peak_rate: float = 3e-3
    weight_decay: float = 0.02


@dataclass(frozen=True, slots=True)
class Signature:
    """How a model is exported: an example input, names, dynamic axes (axis -> name), and which exporter."""

    example: Tensor
    input: str
    output: str
    axes: Mapping[int, str]
    output_axes: Mapping[int, str]
    dynamo: bool


def prepare(seed: int = 0) -> None:
    """Fix the seed and use one thread, so that a run can be repeated."""
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def batches(
    inputs: Tensor, answers: Tensor, size: int, change: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Batch]:
    """Yield shuffled batches for ever; `change` is the augmentation of a batch of inputs."""
    while True:
        order = torch.randperm(len(inputs))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            batch = inputs[rows]
            yield (change(batch) if change else batch), answers[rows]


def flip_and_shift(batch: Tensor) -> Tensor:
    """Mirror half of the pictures (n, 1, h, w) and move the whole batch by up to two pixels."""
    mirrored = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(-1), batch)
    down, right = torch.randint(-2, 3, (2,)).tolist()
    return mirrored.roll((down, right), (-2, -1))


def train(model: nn.Module, data: Iterator[Batch], recipe: Recipe, loss: Loss) -> None:
    """Train in place and leave the model in evaluation mode."""
    model.to(
        memory_format=torch.channels_last
    )  # a third faster for the convolutions; says nothing to the others
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.peak_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, total_steps=recipe.steps, pct_start=0.2
    )
    start, mean = time.time(), 0.0
    for step in range(1, recipe.steps + 1):
        inputs, answers = next(data)
        value = loss(model(inputs), answers)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += (value.item() - mean) / min(step, 50)
        if step % 100 == 0 or step == recipe.steps:
            print(
                f"{recipe.name} step {step}/{recipe.steps} loss {mean:.4f} {time.time() - start:.0f} s",
                flush=True,
            )
    model.eval()


def export(model: nn.Module, signature: Signature, path: Path) -> None:
    """Write the ONNX file, opset 18, without traces of the machine it was made on."""
    if signature.dynamo:
        options = {"dynamo": True, "external_data": False, "dynamic_shapes": (dict(signature.axes),)}
    else:
        axes = {signature.input: dict(signature.axes), signature.output: dict(signature.output_axes)}
        options = {"dynamo": False, "dynamic_axes": axes}
    torch.onnx.export(
        model, (signature.example,), str(path), opset_version=18,
        input_names=[signature.input], output_names=[signature.output], **options,
    )  # fmt: skip


def _tidy(path: Path, task: str) -> None:
    """Drop the exporters' stack traces (they hold paths) and name the task."""
    model = onnx.load(path)
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.helper.set_model_props(model, {TASK_KEY: task})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _verify(model: nn.Module, signature: Signature, path: Path) -> None:
    """Compare the file with the module on another batch size than the one it was exported with."""
    import onnxruntime as ort

    example = signature.example.repeat_interleave(3, 0).flip(0)
    with torch.no_grad():
        expected = model(example).numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {signature.input: example.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def publish(model: nn.Module, signature: Signature, recipe: Recipe) -> None:
    """Export, check against the module, measure the file, and record it in `models.json`."""
    path = MODELS / f"{recipe.name}.onnx"
    export(model, signature, path)
    _tidy(path, recipe.task)
    _verify(model, signature, path)
    found = evaluate(path)
    record = MODELS / "models.json"
    table = json.loads(record.read_text()) if record.exists() else {}
    table[recipe.name] = {
        "task": found["task"],
        "metric": found["metric"],
        "value": found["value"],
        "file": path.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "exporter": "dynamo" if signature.dynamo else "torchscript",
    }
    record.write_text(json.dumps(dict(sorted(table.items())), indent=2) + "\n")
    print(recipe.name, found, f"{path.stat().st_size / 1e6:.2f} MB", flush=True)
