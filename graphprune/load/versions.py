"""Versions: of the IR, of the operator sets, and what to do about those we do not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from graphprune.errors import ModelError
from graphprune.load.view import ModelView, NodeView

OLDEST_OPSET = 7
_DOMAIN_WORDS = {"": "the default ONNX domain"}


def check_versions(ir_version: int, model: ModelView) -> None:
    """Raises ModelError for an IR or opset version that the installed onnx does not know, or too old."""
    _check_ir_version(ir_version)
    _check_imports(model.graph.all_nodes(), model.opsets, model)
    for key, function in model.functions.items():
        # Some exporters let functions rely on the imports of the model.
        _check_imports(function.all_nodes(), {**model.opsets, **model.function_opsets[key]}, model)


def newest_opsets() -> dict[str, int]:
    """Returns the newest version of each domain that the installed onnx knows."""
    columns = ("", "ai.onnx.ml", "ai.onnx.preview.training")
    rows = onnx.helper.VERSION_TABLE
    return {
        domain: max(int(row[2 + i]) for row in rows if len(row) > 2 + i) for i, domain in enumerate(columns)
    }


def _check_ir_version(version: int) -> None:
    if not version:
        raise ModelError("the model does not say its IR version (`ir_version`); export it again.")
    if version > onnx.IR_VERSION:
        raise ModelError(
            f"the model has IR version {version}, but the installed onnx {onnx.__version__} reads versions "
            f"up to {onnx.IR_VERSION}; upgrade onnx."
        )


def _check_imports(nodes: Iterable[NodeView], opsets: Mapping[str, int], model: ModelView) -> None:
    first_use: dict[str, NodeView] = {}
    for node in nodes:
        if node.function not in model.functions:
            first_use.setdefault(node.domain, node)
    newest = newest_opsets()
    for domain, node in first_use.items():
        words = _DOMAIN_WORDS.get(domain, f"domain '{domain}'")
        if domain not in opsets:
            raise ModelError(
                f"{node} is an operator of {words}, but the model imports no opset for it; "
                "add an opset_import entry."
            )
        _check_version(words, opsets[domain], newest.get(domain), OLDEST_OPSET if domain == "" else 1)


def _check_version(words: str, version: int, newest: int | None, oldest: int) -> None:
    if newest is not None and version > newest:
        raise ModelError(
            f"the model uses opset {version} of {words}, but the installed onnx {onnx.__version__} knows "
            f"opsets up to {newest}; upgrade onnx, or export with an older opset."
        )
    if version < oldest:
        raise ModelError(
            f"the model uses opset {version} of {words}, but graphprune reads opset {oldest} and newer; "
            f"convert it with onnx.version_converter.convert_version(model, {max(oldest, 13)})."
        )
