"""How far rounding alone moves the outputs of a model: measured, by changing last bits of what it is given.

A computed result is the exact one for operands that differ in their last places (Wilkinson, *Rounding Errors
in Algebraic Processes*, 1963), so what a model makes of such operands is what another order of summation may
make of it. Changing them at random is Monte Carlo arithmetic (Parker, UCSD CS97-547, 1997). It also shows how
coarse a kernel is: a sigmoid made from a tanh has steps of 3e-8 however small its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.runtime.session import open_session
from graphprune.validate.compare import Outputs, is_real

Array = NDArray[Any]
Feeds = Mapping[str, Array]

DRAWS = 4
_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def jittered_outputs(model: ir.Model, feeds: Sequence[Feeds], seed: int = 0) -> Iterator[list[Outputs]]:
    """Outputs for each of the feeds, several times: inputs and weights are off by their last bit at random.

    Whole numbers stay, because they are exact (masks, counts), and so do scales and biases: they are added or
    multiplied once, in no order.
    """
    for draw in range(DRAWS):
        random = np.random.default_rng((seed, draw))
        moved = model.clone()
        for name, value in moved.graph.initializers.items():
            stored = value.const_value
            if stored is None or len(stored.shape) < 2 or not stored.dtype.is_floating_point():
                continue
            value.const_value = ir.Tensor(jittered(stored.numpy(), random), dtype=stored.dtype, name=name)
        with open_session(moved, optimise=False, lean=True) as session:
            yield [session.run({n: jittered(np.asarray(a), random) for n, a in f.items()}) for f in feeds]


def jittered(array: Array, random: np.random.Generator) -> Array:
    """Real numbers moved to one of their two neighbours at random; whole ones as they are."""
    if not is_real(array) or not array.size:
        return array
    wide = array.astype(np.float64)
    fractions = np.isfinite(wide) & (wide != np.round(wide))
    bits = np.ascontiguousarray(array).view(_BITS[array.dtype.itemsize])
    steps = random.integers(0, 2, array.shape, dtype=np.int8) * 2 - 1
    moved = (bits + steps.astype(bits.dtype)).view(array.dtype)  # one below wraps around to the same bits
    return np.where(fractions, moved, array)
