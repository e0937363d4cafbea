"""Sizes that an exporter wrote into the graph as constants, although it declared them free.

A model traced with a sequence of 12 may reshape to 12, or take 12 steps, for ever after. It then runs at
that size alone, and only its own constants tell which it is.
"""

from collections import Counter

import onnx_ir as ir

from graphprune.runtime.consumers import stored_numbers

_READERS = frozenset({"Reshape", "Expand", "Concat", "Slice", "Tile", "ConstantOfShape"})
_ELEMENTWISE = frozenset({"Add", "Div", "Mul", "Sub", "Where"})
_LARGEST = 4096
_LONGEST_SHAPE = 8
_FEWEST_STEPS = 5  # fewer are axes of a shape, or queries, keys and values


def stale_sizes(model: ir.Model, most: int = 8) -> tuple[int, ...]:
    """Numbers above one in the graph's constant shapes, the most frequent first; then lengths of tables."""
    counts: Counter[int] = Counter()
    for node in model.graph:
        if node.op_type not in _READERS:
            continue
        for value in node.inputs:
            if value is None or value.dtype not in (None, ir.DataType.INT64):
                continue
            numbers = stored_numbers(value, _LONGEST_SHAPE)
            if numbers is not None and numbers.dtype.kind == "i":
                counts.update({int(number) for number in numbers.reshape(-1) if 1 < number <= _LARGEST})
    written = (number for number, _ in counts.most_common(most))
    return tuple(dict.fromkeys((*_unrolled(model), *written, *_tabled(model, most))))


def _tabled(model: ir.Model, most: int) -> tuple[int, ...]:
    """Lengths of stored tables that meet a tensor element by element, such as one row for each position."""
    counts: Counter[int] = Counter()
    for node in model.graph:
        if node.op_type not in _ELEMENTWISE:
            continue
        for value in node.inputs:
            if value is not None and value.const_value is not None:
                sizes = value.const_value.shape.numpy()
                counts.update({size for size in sizes[:-1] if 1 < size <= _LARGEST})
    return tuple(size for size, _ in counts.most_common(most))


def _unrolled(model: ir.Model) -> tuple[int, ...]:
    """The length of a loop that was written out step by step: positions 0, 1, 2, … are picked one by one."""
    picked: set[int] = set()
    for node in model.graph:
        index = node.inputs[1] if node.op_type == "Gather" and len(node.inputs) > 1 else None
        numbers = None if index is None else stored_numbers(index, 1)
        if numbers is not None and numbers.size == 1 and 0 <= int(numbers.reshape(-1)[0]) < _LARGEST:
            picked.add(int(numbers.reshape(-1)[0]))
    length = next(k for k in range(len(picked) + 1) if k not in picked)
    return (length,) if length >= _FEWEST_STEPS else ()
