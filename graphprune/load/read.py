"""load(): whatever describes a model, checked and turned into a Source."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError

from graphprune.errors import ModelError, UsageError
from graphprune.load.copying import copy_model
from graphprune.load.data import check_inline_data, settle_external
from graphprune.load.inline import read_without_weights, restore_weights
from graphprune.load.operators import check_operators
from graphprune.load.parse import read_proto
from graphprune.load.raw_text import has_raw_text, hide_raw_text, restore_raw_text
from graphprune.load.source import Form, Source
from graphprune.load.sparse import densify, has_sparse
from graphprune.load.tensors import external_tensors, weight_bytes
from graphprune.load.versions import check_versions
from graphprune.load.view import ModelView, canonical, view_ir, view_proto
from graphprune.load.wellformed import check_structure, is_sorted

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs


def load(source: str | os.PathLike[str] | onnx.ModelProto | ir.Model | gs.Graph) -> Source:
    """Returns the model that `source` is or names; `source` itself is never changed.

    External data stays on disk and is mapped when it is looked at.

    Raises:
        ModelError: The model cannot be read, or is not valid; the message says where, what, and what to do.
        UsageError: `source` is nothing that can hold a model.
    """
    match source:
        case str() | os.PathLike():
            return _load_path(Path(source))
        case onnx.ModelProto():
            return _load_proto(source, "proto")
        case ir.Model():
            return _load_ir(source)
    if _is_graphsurgeon(source):
        return _load_graphsurgeon(source)
    raise UsageError(
        f"a model must be a path, an onnx.ModelProto, an onnx_ir.Model or an onnx_graphsurgeon.Graph, "
        f"not {type(source).__name__}."
    )


def _load_path(path: Path) -> Source:
    lean = read_without_weights(path)
    proto = read_proto(path) if lean is None else lean
    try:
        model = _from_proto(proto, path.absolute().parent)
        if lean is not None:
            restore_weights(model, path)
        home = path.resolve().parent if path.is_symlink() else None
        outside = settle_external(model, path.absolute().parent, home)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error.__cause__
    size = path.stat().st_size + outside
    return Source(model, path, size, "path", bool(external_tensors(model)), _notes(proto))


def _load_proto(proto: onnx.ModelProto, form: Form) -> Source:
    model = _from_proto(proto, None)
    if tensors := external_tensors(model):
        raise ModelError(
            f"initializer '{tensors[0].name}' has its data in file '{tensors[0].location}', but a model in "
            "memory does not say in which folder; give the path of the model file instead."
        )
    # The tensors are the caller's own messages: give each a name of its own before anything renames it.
    return Source(copy_model(model), None, _proto_bytes(proto, model), form, False, _notes(proto))


def _load_ir(given: ir.Model) -> Source:
    view = view_ir(given)
    check_versions(given.ir_version, view)
    check_structure(view)
    check_operators(view)
    if not all(map(is_sorted, (view.graph, *view.functions.values()))):
        raise ModelError(
            "the nodes of the given ir.Model are not in topological order; call model.graph.sort()."
        )
    model = copy_model(given)
    _resolve_aliases(model)
    outside = settle_external(model, None)
    external = bool(external_tensors(model))
    size = weight_bytes(model) if external or weight_bytes(model) > 2**31 else _ir_bytes(model)
    return Source(model, None, max(size, outside), "ir", external)


def _load_graphsurgeon(graph: Any) -> Source:
    import onnx_graphsurgeon as gs

    try:
        proto = gs.export_onnx(graph, do_type_check=False)
    except Exception as error:  # it raises whatever numpy and protobuf raise
        raise ModelError(f"the onnx_graphsurgeon graph cannot be exported ({_first_line(error)}).") from error
    return _load_proto(proto, "graphsurgeon")


def _is_graphsurgeon(source: object) -> bool:
    return any(kind.__module__.split(".")[0] == "onnx_graphsurgeon" for kind in type(source).__mro__)


def _from_proto(proto: onnx.ModelProto, folder: Path | None) -> ir.Model:
    try:
        view = _checked_view(proto)
        model = _deserialised(_prepared(proto, folder))
    except UnicodeDecodeError as error:
        raise ModelError("the model has a name that is not UTF-8 text; export it again.") from error
    _resolve_aliases(model)
    if not all(map(is_sorted, (view.graph, *view.functions.values()))):
        for graph in (model.graph, *(function.graph for function in model.functions.values())):
            graph.sort()
    return model


def _checked_view(proto: onnx.ModelProto) -> ModelView:
    if not proto.HasField("graph"):
        raise ModelError(
            "the file is a protobuf message without a graph, so not a model; give an exported model."
        )
    view = view_proto(proto)
    if view.graph.nodes:
        check_versions(proto.ir_version, view)
    check_structure(view)
    check_operators(view)
    check_inline_data(proto)
    return view


def _prepared(proto: onnx.ModelProto, folder: Path | None) -> onnx.ModelProto:
    """Returns a proto that onnx_ir reads without loss; `proto` itself is changed only if it is our own."""
    if not has_sparse(proto) and not has_raw_text(proto):
        return proto
    ours = proto
    if folder is None:
        ours = onnx.ModelProto()
        ours.CopyFrom(proto)
    densify(ours, folder)
    hide_raw_text(ours)
    return ours


def _deserialised(proto: onnx.ModelProto) -> ir.Model:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about keys of external data that other tools add
            model = ir.from_proto(proto)
    except Exception as error:  # onnx_ir wraps whatever went wrong below in errors of its own
        raise ModelError(
            f"the model cannot be read ({_first_line(error)}); check it with onnx.checker."
        ) from error
    restore_raw_text(model)
    return model


def _resolve_aliases(model: ir.Model) -> None:
    """Makes `ai.onnx` the default domain in the imports, as onnx_ir does in the nodes."""
    for opsets in (model.graph.opset_imports, *(f.opset_imports for f in model.functions.values())):
        resolved = {canonical(domain): version for domain, version in opsets.items()}
        opsets.clear()
        opsets.update(resolved)


def _notes(proto: onnx.ModelProto) -> tuple[str, ...]:
    if not proto.training_info:
        return ()
    return (
        "the model's training_info is not carried over: it describes the training of the original weights.",
    )


def _proto_bytes(proto: onnx.ModelProto, model: ir.Model) -> int:
    try:
        return int(proto.ByteSize())
    except (EncodeError, ValueError):  # over 2 GB
        return weight_bytes(model)


def _ir_bytes(model: ir.Model) -> int:
    return _proto_bytes(ir.to_proto(model), model)


def _first_line(error: BaseException) -> str:
    """Returns the first line of the innermost cause: the outer ones only repeat whole messages."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
