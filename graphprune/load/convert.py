"""Gives a model back as the kind of object that came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from graphprune.load.copying import copy_model
from graphprune.load.legacy import lower_constants
from graphprune.load.source import Form
from graphprune.load.tensors import inlined, replace_tensors

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs


def to_form(model: ir.Model, form: Form) -> onnx.ModelProto | ir.Model | gs.Graph:
    """Returns `model` as `form`: an onnx.ModelProto for "path" and "proto", an ir.Model, or a gs.Graph.

    The result is a copy. A proto or a gs.Graph holds all weights in memory, and a gs.Graph has no place for
    documentation strings and metadata of nodes and values.
    """
    ours = copy_model(model)
    if form == "ir":
        return ours
    lower_constants(ours)
    replace_tensors(ours, inlined)
    proto = ir.to_proto(ours)
    if form != "graphsurgeon":
        return proto
    import onnx_graphsurgeon as gs

    return gs.import_onnx(proto)
