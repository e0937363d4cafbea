"""The part of a network that can be fitted as a whole to its outputs: all that gradients reach from there.

It goes back from the outputs (where those are chosen, counted or squashed: from what that is done to) through
every operator that has a gradient. What leads to an operator without one stays as it is, and so does what
is before it: otherwise weights would move of whose effect a part is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.links import Links, read_by
from graphprune.gradient import differentiable

_LINEAR = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_NORMS = frozenset({"LayerNormalization", "RMSNormalization", "InstanceNormalization"})
_SHARES = frozenset({"Softmax", "LogSoftmax"})
_SQUASHED = frozenset({*_SHARES, "Sigmoid"})
_SHAPES = frozenset({"Shape", "Size"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """Nodes that are fitted together.

    Attributes:
        nodes: in topological order; each depends on a weight that may change, or computes a shape for one
            that does.
        inputs: tensors they read from outside, weights left out.
        weights: initializers that may change.
        ends: tensors that are compared with those of the original, and the axis of each along which classes
            lie if it holds scores of any.
        scores: the ends that do, because they are squashed into shares or tell words of the vocabulary.
    """

    nodes: tuple[NodeFacts, ...]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    ends: dict[str, int]
    scores: frozenset[str]


def find_stretch(facts: GraphFacts) -> Stretch | None:
    """The part of a graph that can be fitted to its outputs; None if there is nothing to fit."""
    links = Links.of(facts)
    reached, ends = find_way(facts)
    inside = {n.name for n in reached}
    read = dict.fromkeys(n for node in reached for n in node.inputs if n in facts.weights)
    free = [n for n in read if _may_change(n, facts, links, inside)]
    moved = set(free)
    nodes = []
    for node in reached:
        if any(n in moved for n in node.inputs):
            moved.update(o for o in node.outputs if o)
            nodes.append(node)
    ends = {n: a for n, a in ends.items() if n in moved}
    if not ends or not free:
        return None
    nodes = _with_shapes(nodes, facts, links)
    inputs = tuple(n for n in read_by(nodes) if n not in facts.weights)
    squashed = {n.inputs[0] for n in facts.nodes if n.op in _SHARES and not n.domain}
    words = {n for n, axis in ends.items() if axis == -1 and _tells_words(n, facts, links)}
    return Stretch(tuple(nodes), inputs, tuple(free), ends, frozenset((squashed | words) & ends.keys()))


def _with_shapes(nodes: list[NodeFacts], facts: GraphFacts, links: Links) -> list[NodeFacts]:
    """The nodes and those that compute shapes which they read, where these follow from what is there already.

    Otherwise the whole network would have to run on every input only to know what shapes it has.
    """
    given = read_by(nodes)
    known = {*given, *facts.weights, *facts.inputs, *(o for n in nodes for o in n.outputs)}
    known -= facts.shaped - facts.weights.keys()
    found = {n.name for n in nodes}
    for name in given:
        if name in facts.shaped and (makers := _makers(name, known, facts, links)) is not None:
            found |= makers
    return [n for n in facts.nodes if n.name in found]


def _makers(name: str, known: set[str], facts: GraphFacts, links: Links) -> set[str] | None:
    """The nodes between what is known and a shape; None where it needs more."""
    found: set[str] = set()
    stack = [name]
    while stack:
        name = stack.pop()
        if not name or name in known:
            continue
        node = links.producer.get(name)
        if node is None or name not in facts.shaped:
            return None
        if node.name not in found:
            found.add(node.name)
            stack.extend(node.inputs)
    return found


def find_way(facts: GraphFacts) -> tuple[list[NodeFacts], dict[str, int]]:
    """The nodes that gradients pass on from the outputs, in order, and the ends that they start from.

    With each end comes the axis along which classes lie, if it holds scores of any.
    """
    ends = _ends(facts, Links.of(facts))
    return _reached(facts, set(ends)), ends


def _ends(facts: GraphFacts, links: Links) -> dict[str, int]:
    """The tensors that outputs are made of, as near to them as there are gradients."""
    found: dict[str, int] = {}
    stack, seen = list(reversed(facts.outputs)), set()
    while stack:
        name = stack.pop()
        node = links.producer.get(name)
        if node is None or name in seen or name in facts.shaped or name in facts.constant:
            continue
        seen.add(name)
        if node.op in _SQUASHED and not node.domain:
            found[node.inputs[0]] = int(node.attributes.get("axis", -1))
        elif differentiable(node) and not node.bodies:
            found.setdefault(name, _class_axis(name, links))
        else:
            stack.extend(n for n in (*node.inputs, *node.captured) if n)
    return found


def _before_additions(name: str, links: Links) -> NodeFacts | None:
    """What makes a tensor, biases that are added left out."""
    node = links.producer.get(name)
    while node is not None and node.op == "Add":
        node = next((links.producer[n] for n in node.inputs if n in links.producer), None)
    return node


def _tells_words(name: str, facts: GraphFacts, links: Links) -> bool:
    """Whether a product has a column for each row of the largest table that an input is looked up in."""
    node = _before_additions(name, links)
    if node is None or node.domain or node.op not in ("MatMul", "Gemm"):
        return False
    weight, axis = node.inputs[1], 0 if node.attributes.get("transB") else 1
    before = links.producer.get(weight)
    if before is not None and before.op == "Transpose":
        weight, axis = before.inputs[0], 1 - axis
    if weight not in facts.weights or facts.weights[weight].shape.rank() != 2:
        return False
    columns = int(facts.weights[weight].shape.numpy()[axis])
    return columns == max((_rows_looked_up(n, facts, links) for n in facts.nodes), default=0)


def _rows_looked_up(node: NodeFacts, facts: GraphFacts, links: Links) -> int:
    """The rows of a table that an input of the model indexes."""
    if node.op != "Gather" or node.domain or node.inputs[0] not in facts.weights:
        return 0
    index = node.inputs[1]
    while (before := links.producer.get(index)) is not None and before.op in ("Cast", "Identity", "Reshape"):
        index = before.inputs[0]
    return int(facts.weights[node.inputs[0]].shape.numpy()[0]) if index in facts.inputs else 0


def _class_axis(name: str, links: Links) -> int:
    """Channels of what a convolution gives, else the last axis."""
    node = _before_additions(name, links)
    return 1 if node is not None and node.op in ("Conv", "ConvTranspose") else -1


def _reached(facts: GraphFacts, ends: set[str]) -> list[NodeFacts]:
    """Nodes behind which everything on the way to the ends has a gradient, in order."""
    needed, barred = set(ends), set[str]()
    found = []
    for node in reversed(facts.nodes):
        outputs = {o for o in node.outputs if o}
        if outputs <= facts.shaped | facts.constant or node.op in _SHAPES:
            continue
        read = {n for n in (*node.inputs, *node.captured) if n}
        if outputs & barred:
            barred |= read
        elif outputs & needed:
            only_chooses = node.op == "TopK" and node.outputs[0] not in needed
            if differentiable(node) and not node.bodies and not only_chooses:
                found.append(node)
                needed |= read
            else:
                barred |= read
    return found[::-1]


def _may_change(name: str, facts: GraphFacts, links: Links, inside: set[str]) -> bool:
    """Weights and biases of linear operators and of norms that nothing else reads."""
    tensor = facts.weights[name]
    readers = links.readers[name]
    if tensor.dtype != ir.DataType.FLOAT or links.uses.get(name) != len(readers) or name in facts.outputs:
        return False
    return all(r.name in inside and _role(name, r, facts, links) for r in readers)


def _role(name: str, reader: NodeFacts, facts: GraphFacts, links: Links) -> bool:
    """Whether it is a weight, a scale or a bias to this reader."""
    if reader.domain:
        return False
    if reader.op in ("MatMul", "Einsum"):
        rank = facts.weights[name].shape.rank()
        return rank > 1 and any(n not in facts.constant for n in reader.inputs)
    if reader.op in ("Gather", "GatherND"):  # weights of the experts that are chosen; not tables of words
        chosen = name == reader.inputs[0] and reader.inputs[1] not in facts.constant
        return chosen and facts.weights[name].shape.rank() > 2
    if reader.op in _LINEAR | _RECURRENT | _NORMS:
        return name in reader.inputs[1:4] and reader.inputs[0] not in facts.constant
    if reader.op == "BatchNormalization":
        return name in reader.inputs[1:3]
    if reader.op not in ("Add", "Mul"):
        return False
    other = next((n for n in reader.inputs if n != name), "")
    before = links.producer.get(other)
    if before is None or other in facts.constant:
        return False
    biased = reader.op == "Add" and before.op in _LINEAR and facts.weights[name].shape.rank() > 0
    return biased or _along_one_axis(facts.weights[name])


def _along_one_axis(tensor: ir.TensorProtocol) -> bool:
    """Whether it holds one number for each channel: norms and layer scales are often written that way."""
    return sum(n > 1 for n in tensor.shape.numpy()) == 1
