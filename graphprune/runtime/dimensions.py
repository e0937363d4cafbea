"""The free dimensions of a model's inputs: which there are, and what a choice of sizes makes of them.

A free dimension is known by its *key*: its symbolic name, shared by every axis that has it, or
`(input name, axis)` where it has none. A name that is arithmetic on other names, such as
`past_sequence_length + sequence_length`, is not free: it follows from them.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence

import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.runtime.consumers import guessed_rank

Key = str | tuple[str, int]
Sizes = Mapping[Key, int]

_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}

# Exporters write these for "unknown"; two axes that share one need not be equal.
_NAMELESS = frozenset({"", "?", "None", "-1", "unk", "unknown"})


def real_inputs(model: ir.Model) -> tuple[ir.Value, ...]:
    """The graph's inputs that must be fed; up to IR 3 initializers are listed as inputs as well."""
    initializers = model.graph.initializers
    return tuple(value for value in model.graph.inputs if value.name not in initializers)


def input_dims(value: ir.Value) -> tuple[int | Key, ...]:
    """One entry per axis of an input: its fixed size, or the key of its free dimension.

    An input without a declared shape gets the rank that its consumers ask for.
    """
    name = str(value.name)
    if value.shape is None:
        return tuple((name, axis) for axis in range(guessed_rank(value)))
    return tuple(_entry(dim, name, axis) for axis, dim in enumerate(value.shape))


def free_dimensions(model: ir.Model) -> list[Key]:
    """The keys that sizes must be chosen for, in the order in which they first appear."""
    keys = dict.fromkeys(
        dim for value in real_inputs(model) for dim in input_dims(value) if not isinstance(dim, int)
    )
    return [key for key in keys if not _follows(key, keys)]


def resolve(dim: int | Key, sizes: Sizes) -> int:
    """The size of one entry of `input_dims`.

    Raises:
        ModelError: `sizes` does not cover it.
    """
    if isinstance(dim, int):
        return dim
    if dim in sizes:
        return sizes[dim]
    tree = _expression(dim)
    if tree is None or not all(name in sizes for name in _names(tree)):
        raise ModelError(f"no size was chosen for the free dimension {dim!r}")
    return max(_evaluate(tree, sizes), 0)


def input_shape(value: ir.Value, sizes: Sizes) -> tuple[int, ...]:
    """The concrete shape of an input under `sizes`."""
    return tuple(resolve(dim, sizes) for dim in input_dims(value))


def sizes_in(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> dict[Key, int] | None:
    """The sizes of the free dimensions in inputs of these shapes, or None where they contradict each other.

    Args:
        model: the model.
        shapes: of its inputs, by name; one axis less is a sample without its batch axis.
    """
    keys = set(free_dimensions(model))
    found: dict[Key, int] = {}
    for value in real_inputs(model):
        dims, shape = input_dims(value), tuple(shapes.get(str(value.name), ()))
        if len(shape) == len(dims) - 1:
            shape = (1, *shape)
        if len(shape) != len(dims):
            return None
        for dim, size in zip(dims, shape, strict=True):
            if not isinstance(dim, int) and dim in keys and found.setdefault(dim, size) != size:
                return None
    return found


def _entry(dim: int | ir.SymbolicDim, name: str, axis: int) -> int | Key:
    if isinstance(dim, int):
        # A negative size is another way of writing "unknown".
        return dim if dim >= 0 else (name, axis)
    if dim.value is None or dim.value in _NAMELESS:
        return (name, axis)
    return str(dim.value)


def _follows(key: Key, keys: Mapping[Key, None]) -> bool:
    """Whether `key` is arithmetic on other keys."""
    tree = _expression(key)
    return tree is not None and all(name in keys and name != key for name in _names(tree))


def _expression(key: Key) -> ast.expr | None:
    """`key` parsed as arithmetic on names and whole numbers, or None when it is just a name."""
    if not isinstance(key, str):
        return None
    try:
        tree = ast.parse(key.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return tree if isinstance(tree, ast.BinOp) and _is_arithmetic(tree) else None


def _is_arithmetic(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in _ARITHMETIC and _is_arithmetic(tree.left) and _is_arithmetic(tree.right)
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Constant) and type(tree.value) is int)


def _names(tree: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _evaluate(tree: ast.expr, sizes: Sizes) -> int:
    match tree:
        case ast.BinOp(left=left, op=op, right=right):
            divisor = _evaluate(right, sizes)
            if divisor == 0 and isinstance(op, (ast.Div, ast.FloorDiv, ast.Mod)):
                return 0
            return _ARITHMETIC[type(op)](_evaluate(left, sizes), divisor)
        case ast.Name(id=name):
            return sizes[name]
        case ast.Constant(value=int(value)):
            return value
    raise AssertionError(ast.dump(tree))
