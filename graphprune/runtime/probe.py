"""Exposes the shape of every tensor of a model, and the few values that are shapes themselves.

Fetching tensors would take gigabytes. Instead a `Shape` node is put behind each tensor and only those
tiny outputs are fetched. The model file on disk is extended; the model in memory stays as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from graphprune.runtime.positions import SHAPE_POSITIONS

_PREFIX = "graphprune.shape."
_NAME_IN_ERROR = re.compile(re.escape(_PREFIX) + r"(\d+)")

# These make something else than a tensor, or may.
_NOT_TENSOR = frozenset(
    {
        "Optional",
        "OptionalGetElement",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceMap",
        "SplitToSequence",
        "ZipMap",
        "DictVectorizer",
        "CastMap",
    }
)
# Their outputs can be large although all they are given are sizes.
_EXPANDING = frozenset(
    {"ConstantOfShape", "Expand", "Tile", "Resize", "Pad", "EyeLike", "CenterCropPad", "Col2Im"}
)
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
# Constants larger than this do not take part in shape arithmetic.
_SMALL = 4096


@dataclass(frozen=True, slots=True)
class Probes:
    """What is fetched to learn about a model.

    Attributes:
        shapes: tensor name -> name of the output that holds its shape.
        values: names of tensors that are fetched themselves.
        shape_only: tensors whose value follows from sizes and constants alone, whatever the data.
    """

    shapes: Mapping[str, str]
    values: tuple[str, ...]
    shape_only: frozenset[str]

    @property
    def outputs(self) -> tuple[str, ...]:
        """All names to fetch."""
        return (*self.shapes.values(), *self.values)


def plan_probes(model: ir.Model) -> Probes:
    """Decide what to fetch from `model`."""
    tensors = [value for node in model.graph for value in node.outputs if value.name and is_tensor(value)]
    shape_only, derived = _shape_arithmetic(model.graph)
    wanted = {
        value for value in _at_shape_positions(model.graph) if value.name and is_tensor(value)
    } | derived
    values = tuple(str(value.name) for value in tensors if value in wanted)
    rest = [str(value.name) for value in tensors if value not in wanted]
    return Probes(
        shapes={name: f"{_PREFIX}{index}" for index, name in enumerate(rest)},
        values=values,
        shape_only=frozenset(str(value.name) for value in shape_only),
    )


def without(probes: Probes, complaint: str) -> Probes | None:
    """`probes` less the one that the runtime complained of, or None when it was about something else."""
    match = _NAME_IN_ERROR.search(complaint)
    if match is None:
        return None
    shapes = {name: output for name, output in probes.shapes.items() if output != match.group(0)}
    return Probes(shapes, probes.values, probes.shape_only)


def add_probes(path: Path, probes: Probes) -> None:
    """Extend the model file at `path`, whose weights lie beside it, by the outputs of `probes`."""
    proto = onnx.load(path, load_external_data=False)
    graph = proto.graph
    # A wrong intermediate shape from an exporter would only mislead the runtime.
    del graph.value_info[:]
    if all(opset.domain not in ("", "ai.onnx") for opset in proto.opset_import):
        proto.opset_import.add(domain="", version=onnx.defs.onnx_opset_version())
    for name, output in probes.shapes.items():
        graph.node.add(op_type="Shape", name=output, input=[name], output=[output])
        graph.output.add(name=output)
    present = {output.name for output in graph.output}
    for name in probes.values:
        if name not in present:
            graph.output.add(name=name)
    path.write_bytes(proto.SerializeToString())


def is_tensor(value: ir.Value | None) -> bool:
    """Whether `value` is a plain tensor, as far as types and operators tell."""
    if value is None:
        return False
    if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
        return False
    node = value.producer()
    if node is None or isinstance(value.type, ir.TensorType):
        return True
    if node.op_type in _NOT_TENSOR:
        return False
    if node.op_type == "Identity":
        return is_tensor(node.inputs[0])
    if node.op_type in ("If", "Loop"):
        return all(is_tensor(inner) for inner in _made_by_bodies(node, value))
    return True


def _made_by_bodies(node: ir.Node, value: ir.Value) -> list[ir.Value]:
    """The body outputs that become `value`."""
    at = node.outputs.index(value)
    # A Loop's body gives its condition first.
    offset = 1 if node.op_type == "Loop" else 0
    bodies = [attr.as_graph() for attr in node.attributes.values() if attr.type == ir.AttributeType.GRAPH]
    return [body.outputs[at + offset] for body in bodies if at + offset < len(body.outputs)]


def _at_shape_positions(graph: ir.Graph) -> set[ir.Value]:
    """Computed tensors that some node, in a body perhaps, reads as a size, axis or offset."""
    found: set[ir.Value] = set()
    for node in graph.all_nodes():
        for position in SHAPE_POSITIONS.get(node.op_type, ()):
            if position < len(node.inputs) and (value := node.inputs[position]) is not None:
                found.add(value)
    return found


def _shape_arithmetic(graph: ir.Graph) -> tuple[set[ir.Value], set[ir.Value]]:
    """Tensors that sizes and constants alone decide; and the small ones of them that stem from a Shape."""
    known: set[ir.Value] = set(graph.initializers.values())
    derived: set[ir.Value] = set()
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        starts = node.op_type in ("Shape", "Size")
        if not starts and not all(value in known for value in inputs):
            continue
        if node.op_type in _RANDOM or any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
            continue
        known.update(node.outputs)
        stems = starts or any(value in derived for value in inputs)
        if stems and node.op_type not in _EXPANDING and all(starts or _is_small(value) for value in inputs):
            derived.update(node.outputs)
    return known - set(graph.initializers.values()), derived


def _is_small(value: ir.Value) -> bool:
    return value.const_value is None or value.const_value.size <= _SMALL
