"""Exports one architecture with one exporter and checks the file; run by export.py in a process of its own.

A request is JSON with the keys name, exporter, init, opset and file.
"""

from __future__ import annotations

import json
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

DEFAULT_OPSET = {"torchscript": 17, "dynamo": 20}
ERROR_CHARS = 600


def export(asked: str) -> dict[str, Any]:
    """Export as the request says and return the record of it."""
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    record: dict[str, Any] = {"status": "build-failed"}
    try:
        _run(json.loads(asked), record)
    except Exception as error:
        record["error"] = _describe(error)
    return {**record, "seconds": round(time.perf_counter() - started, 1)}


def _run(request: dict[str, Any], record: dict[str, Any]) -> None:
    """Build, export, check; `record["status"]` always names the step that is under way."""
    import torch
    import tweaks
    from architectures import architectures
    from case import SEED
    from facts import describe
    from randomise import randomise

    torch.set_num_threads(1)
    row = architectures()[request["name"]]
    tweaks.apply(row.tweaks)
    torch.manual_seed(SEED)
    built = row.build()
    if request["init"] == "random":
        randomise(built.module, tuple(built.inputs.values()), SEED)
    record["status"] = "export-failed"
    opset = request["opset"] or DEFAULT_OPSET[request["exporter"]]
    record["opset"], record["dynamic"] = opset, _export(built, request["exporter"], opset, request["file"])
    record |= describe(request["file"])
    record["status"] = "check-failed"
    from check import check

    record["check"] = check(request["file"], built, record["dynamic"])
    record["status"] = "ok"


def _export(built: Any, exporter: str, opset: int, file: str) -> bool:
    """Export with open axes or, where that fails, with fixed ones; return which it was."""
    try:
        _export_once(built, exporter, opset, file, True)
        return True
    except Exception as first:
        try:
            _export_once(built, exporter, opset, file, False)
            return False
        except Exception:
            raise first from None


def _export_once(built: Any, exporter: str, opset: int, file: str, dynamic: bool) -> None:
    import torch

    common: dict[str, Any] = {"input_names": list(built.inputs), "opset_version": opset, "verbose": False}
    args = tuple(built.inputs.values())
    axes = {name: dict(built.dynamic.get(name, {})) for name in built.inputs}
    with torch.no_grad():
        if exporter == "torchscript":
            open_axes = axes if dynamic else None
            torch.onnx.export(built.module, args, file, dynamo=False, dynamic_axes=open_axes, **common)
        else:
            shapes = tuple(axes.values()) if dynamic else None
            torch.onnx.export(
                built.module, args, file, dynamo=True, external_data=False, dynamic_shapes=shapes, **common
            )


def _describe(error: BaseException) -> str:
    """Return the first cause of an error: its class, its first lines and where it was raised."""
    while error.__cause__ is not None:  # the exporters wrap what went wrong in advice
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" [{Path(frames[-1].filename).name}:{frames[-1].lineno}]" if frames else ""
    return f"{type(error).__name__}: {str(error).strip()[:ERROR_CHARS]}{where}"
