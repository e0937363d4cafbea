"""Writes docs/frameworks.md: what graphprune makes of the same networks from every framework.

Every file of models/frameworks and every rewritten trained model is pruned at random and held against the
masked original. The rewriters are optional (pip install --group rewriters).
"""

from __future__ import annotations

import argparse
import json
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx

from graphprune.report.data import reached
from graphprune.testing import Outcome, canonical_groups, prune_at_random

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = ROOT / "models" / "frameworks"
MADE_WITH = {
    "torch-torchscript": ("PyTorch, TorchScript exporter", "export-torch"),
    "torch-dynamo": ("PyTorch, dynamo exporter", "export-torch"),
    "keras": ("Keras, its own export", "export-keras"),
    "tf2onnx": ("TensorFlow, tf2onnx", "export-keras"),
    "jax": ("JAX and flax, jax2onnx", "export-jax"),
    "paddle": ("PaddlePaddle, paddle2onnx", "export-paddle"),
    "mxnet": ("MXNet, its own export", "export-mxnet"),
    "sklearn": ("scikit-learn, skl2onnx", "export-sklearn"),
}
NETWORKS = ("cnn", "mlp", "transformer", "lstm")


def main() -> None:
    """Prune everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "frameworks.md", metavar="FILE")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    text = (FRAMEWORKS / "README.md").read_text().split("\n", 1)[1]
    text = text.replace("../../docs/", "")  # the page lies there itself
    parts = ["# Frameworks", text.strip(), _versions(), *_networks(), _rewritten()]
    options.out.write_text("\n\n".join(parts) + "\n")


def _versions() -> str:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = ["| framework and exporter | made with |", "|---|---|"]
    for words, group in MADE_WITH.values():
        lines.append(f"| {words} | {', '.join(groups[group]).replace('==', ' ')} |")
    return "\n".join(lines)


def _networks() -> Iterator[str]:
    for network in NETWORKS:
        lines = [
            f"## {network}",
            "",
            "| exporter | opset | nodes | groups cut | weights reached | error | change | same groups |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
        ]
        known: Counter[Any] | None = None
        for name, (words, _) in MADE_WITH.items():
            path = FRAMEWORKS / f"{network}.{name}.onnx"
            if not path.exists():
                continue
            model = onnx.load(path)
            outcome = prune_at_random(str(path))
            groups = canonical_groups(outcome.analysis)
            known = groups if known is None else known
            opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
            row = [words, str(opset), str(len(model.graph.node)), *_figures(outcome)]
            lines.append(f"| {' | '.join(row)} | {'yes' if groups == known else 'NO'} |")
        yield "\n".join([*lines, "", _in_words(known or Counter())])


def _figures(outcome: Outcome) -> list[str]:
    found = outcome.equivalence
    share = reached(outcome.analysis)
    checked = f"{found.error:.1e}" if found.status == "equal" else found.status
    cut = str(len(outcome.decision.keeps))
    return [cut, f"{share['exact']:.0%} / {share['any']:.0%}", checked, f"{found.change:.2f}"]


def _in_words(groups: Counter[Any]) -> str:
    rows = sorted(groups.elements(), key=lambda row: (-row[2], row))
    return "Groups: " + "; ".join(
        f"{size} {kind} ({elements} weights{'' if exact else ', approximate'})"
        for kind, size, elements, exact in rows
    )


def _rewritten() -> str:
    lines = [
        "## Rewritten files",
        "",
        "The trained models of `models/` as they are, and after other tools have rewritten them. Groups are",
        "compared as above. onnxsim stores the tied embedding of `textformer` once for each of its uses: the",
        "groups are the same, but the residual width reaches more elements.",
        "",
        "| model | rewritten by | nodes | groups cut | weights reached | error | change | same groups |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for name in sorted(json.loads((ROOT / "models" / "models.json").read_text())):
        path = ROOT / "models" / f"{name}.onnx"
        known: Counter[Any] | None = None
        for tool, rewrite in _rewriters().items():
            model = rewrite(onnx.load(path))
            outcome = prune_at_random(model)
            groups = canonical_groups(outcome.analysis)
            known = groups if known is None else known
            row = [name, tool, str(len(model.graph.node)), *_figures(outcome), _difference(groups, known)]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _difference(groups: Counter[Any], known: Counter[Any]) -> str:
    if groups == known:
        return "yes"
    bare = [Counter((k, s, e) for k, s, _, e in g.elements()) for g in (groups, known)]
    return "yes, with more elements" if bare[0] == bare[1] else "NO"


def _rewriters() -> dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]]:
    found: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {"nothing": lambda model: model}
    try:
        import onnxslim

        found[f"onnxslim {version('onnxslim')}"] = onnxslim.slim
    except (ImportError, PackageNotFoundError):
        pass
    try:
        import onnxsim

        found[f"onnxsim {version('onnxsim')}"] = lambda model: onnxsim.simplify(model)[0]
    except (ImportError, PackageNotFoundError):
        pass
    return found


if __name__ == "__main__":
    main()
