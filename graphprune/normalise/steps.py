"""The steps of normalisation, in order."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from graphprune.load.copying import copy_model
from graphprune.load.view import view_ir
from graphprune.load.wellformed import is_sorted
from graphprune.normalise.blocked import undo_blocks
from graphprune.normalise.bodies import open_bodies
from graphprune.normalise.constants import lift_constants
from graphprune.normalise.dead import remove_dead
from graphprune.normalise.fold import fold_constants
from graphprune.normalise.functions import inline_functions
from graphprune.normalise.invariants import capture_invariants
from graphprune.normalise.names import name_nodes, separate_scopes
from graphprune.normalise.picked import bypass_joins
from graphprune.normalise.sharing import unshare, unshare_made
from graphprune.normalise.value_info import drop_value_info


def sort_nodes(model: ir.Model) -> None:
    """Puts every node after the nodes that it reads, in place; a graph in order keeps its order."""
    if not is_sorted(view_ir(model).graph):
        model.graph.sort()


STEPS: tuple[Callable[[ir.Model], None], ...] = (
    inline_functions,
    separate_scopes,
    sort_nodes,
    name_nodes,
    undo_blocks,  # it needs shapes that the runtime wrote
    drop_value_info,
    lift_constants,
    open_bodies,
    capture_invariants,
    fold_constants,
    bypass_joins,
    remove_dead,
    unshare_made,
    unshare,  # last: it counts the uses that are left
)
"""Each changes the model in place and keeps its results, its inputs and its outputs."""


def normalise(model: ir.Model) -> ir.Model:
    """Returns a new model that computes exactly what `model` does, in the form that analysis expects.

    Names and order of graph inputs and outputs stay, names of nodes and tensors stay where they exist.
    The weights' data is shared with `model`, which is unchanged. The nodes of `model` must be in order, as
    they are after `load`.
    """
    ours = copy_model(model)
    for step in STEPS:
        step(ours)
    return ours
