"""The oracle's half: the original model with the weights of removed slots set to zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Weight
from graphprune.analysis.weights import zero_of
from graphprune.dims import Keeps
from graphprune.dims.evaluate import cut, evaluate, positions
from graphprune.rewrite.editing import Editor
from graphprune.rewrite.vocabulary import mask_output, translate_ids
from graphprune.rules.effects import Alternatives, Lookup, Restored


def masked(model: ir.Model, analysis: Analysis, keeps: Keeps) -> ir.Model:
    """A copy of `model`, same shapes, in which every weight is zero wherever a removed slot is mentioned.

    Where layers go, the weights they end in are zero. Where slots compete (a softmax over experts, a TopK),
    the removed ones lose. Ids of removed rows of a vocabulary are read as another one, and their outputs are
    impossible.
    """
    zeroed = model.clone()
    graph = zeroed.graph
    editor = Editor(graph)
    for weight in analysis.weights.values():
        if not is_masked(weight, keeps):
            continue
        if weight.made is not None:
            _mask_made(editor, weight, keeps)
            continue
        value = graph.initializers[weight.name]
        tensor = value.const_value
        assert tensor is not None
        value.const_value = _lazily_zeroed(tensor, weight, keeps, zero_of(weight, analysis.facts))
    for effect in analysis.effects:
        if isinstance(effect, Alternatives) and any(a in keeps for a in effect.dim.atoms):
            _outdo(editor, effect, keeps)
        elif isinstance(effect, Lookup):
            translate_ids(editor, effect, keeps, masked=True)
        elif isinstance(effect, Restored):
            mask_output(editor, effect, keeps)
    return zeroed


def _outdo(editor: Editor, effect: Alternatives, keeps: Keeps) -> None:
    """Where slots compete, the removed ones are worth minus infinity."""
    node = editor.nodes[effect.node]
    value = node.inputs[effect.index]
    assert value is not None
    rank = effect.rank - effect.axis
    kept = editor.constant(evaluate(effect.dim, keeps).reshape(-1, *[1] * (rank - 1)), f"{effect.node}_kept")
    worst = editor.constant(np.array(-np.inf if effect.lowest else np.inf, np.float32), "worst")
    if editor.graph.opset_imports.get("", 0) >= 15:
        worst = editor.node("CastLike", [worst, value], f"{effect.node}_worst", node)
    elif value.dtype not in (None, ir.DataType.FLOAT):
        worst = editor.node("Cast", [worst], f"{effect.node}_worst", node, to=value.dtype)
    editor.set_input(node, effect.index, editor.node("Where", [kept, value, worst], effect.node, node))


def _lazily_zeroed(
    tensor: ir.TensorProtocol, weight: Weight, keeps: Keeps, zero: NDArray[np.generic]
) -> ir.LazyTensor:
    shape = ir.Shape(weight.shape)

    def make() -> ir.Tensor[Any]:
        zeroed = zero_removed(tensor.numpy(), weight, keeps, zero)
        return ir.Tensor(zeroed, dtype=tensor.dtype, shape=shape, name=weight.name)

    return ir.LazyTensor(make, dtype=tensor.dtype, shape=shape, name=weight.name)


def is_masked(weight: Weight, keeps: Keeps) -> bool:
    """Whether the masked original holds zeros in this weight."""
    return weight.masked and (goes(weight, keeps) or any(a in keeps for d in weight.dims for a in d.atoms))


def goes(weight: Weight, keeps: Keeps) -> bool:
    """Whether all of a weight is zero, because the layer that ends in it goes."""
    return weight.layer in keeps and not keeps[weight.layer].count


def masked_weights(analysis: Analysis, keeps: Keeps) -> dict[str, NDArray[Any]]:
    """The initializers that the masked original changes, with their new values."""
    return {
        w.name: zero_removed(analysis.facts.weights[w.name].numpy(), w, keeps, zero_of(w, analysis.facts))
        for w in analysis.weights.values()
        if w.made is None and is_masked(w, keeps)
    }


def kept_elements(weight: Weight, keeps: Keeps) -> NDArray[np.bool_]:
    """Which elements of a weight mention no removed slot; shape of the weight."""
    ones = _zero_slots(np.ones(weight.shape, np.int8), weight, keeps, np.zeros((), np.int8))
    return np.asarray(ones, bool)


def zero_removed(
    array: NDArray[np.generic], weight: Weight, keeps: Keeps, zero: NDArray[np.generic]
) -> NDArray[np.generic]:
    """`array` (shape of the weight) with `zero`, stretched over it, wherever a removed slot is mentioned.

    It is zero throughout if its layer goes.
    """
    if goes(weight, keeps):
        return np.array(np.broadcast_to(zero.astype(array.dtype), array.shape))
    return _zero_slots(array, weight, keeps, zero)


def _zero_slots(
    array: NDArray[np.generic], weight: Weight, keeps: Keeps, zero: NDArray[np.generic]
) -> NDArray[np.generic]:
    array = np.array(array, order="C")
    zeros = np.broadcast_to(zero, array.shape)
    if any(keeps[a].outer for d in weight.dims for a in d.atoms if a in keeps):
        kept = cut(np.arange(array.size).reshape(array.shape), weight.dims, keeps).ravel()
        removed = np.ones(array.size, dtype=bool)
        removed[kept] = False
        array.reshape(-1)[removed] = zeros.reshape(-1)[removed]
        return array
    for axis, dim in enumerate(weight.dims):
        if any(a in keeps for a in dim.atoms):
            removed = np.ones(dim.size, dtype=bool)
            removed[positions(dim, keeps)] = False
            place = (slice(None),) * axis + (removed,)
            array[place] = zeros[place]
    return array


def _mask_made(editor: Editor, weight: Weight, keeps: Keeps) -> None:
    """Weights made by ConstantOfShape are multiplied by a mask."""
    assert weight.made is not None
    value = next(
        n.outputs[0] for n in editor.nodes.values() if n.outputs and n.outputs[0].name == weight.name
    )
    node = value.producer()
    assert node is not None
    users = list(value.uses())
    dtype = (
        np.float32 if "value" not in node.attributes else node.attributes["value"].as_tensor().numpy().dtype
    )
    result = value
    for axis, dim in enumerate(weight.dims):
        if any(a in keeps for a in dim.atoms):
            shape = [1] * len(weight.dims)
            shape[axis] = dim.size
            mask = np.zeros(dim.size, dtype=dtype)
            mask[positions(dim, keeps)] = 1
            factor = editor.constant(mask.reshape(shape), f"{weight.name}_mask")
            made = editor.node_after("Mul", [result, factor], f"{weight.name}_masked", node)
            result, node = made.outputs[0], made
    for user, index in users:
        editor.set_input(user, index, result)
