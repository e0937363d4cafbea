"""Exports architectures of tools/zoo on demand, each once and in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

EXPORT = Path(__file__).resolve().parents[2] / "tools" / "zoo" / "export.py"
NEEDED = ("torch", "torchvision", "timm", "transformers", "onnxscript", "onnxruntime")

Export = Callable[..., Path]


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`export(name, exporter, init="random")`: the exported file."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.skip(f"exporting needs {', '.join(missing)}")
    folders: dict[str, Path] = {}

    def exported(name: str, exporter: str, init: str = "random") -> Path:
        folder = folders.setdefault(init, tmp_path_factory.mktemp(init))
        file = f"{name}.{exporter}.onnx"
        if not (folder / file).exists():
            command = [sys.executable, EXPORT, folder, "--only", name, "--exporter", exporter, "--init", init]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        record = json.loads((folder / "index.json").read_text())[file]
        assert record["status"] == "ok", record.get("error")
        return folder / file

    return exported
