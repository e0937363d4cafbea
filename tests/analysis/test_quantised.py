"""What integers stand for, held against the runtime's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.analysis.quantised import Quantised, laid_along
from graphprune.analysis.weights import real_values
from graphprune.testing import analysed
from tests.hard_cases.oracle import run
from tests.rules.building import build

_PRODUCT = """net (float[32, 32] x) => (float[32, 6] y)
    <uint8[6, 2, {blob}] W, {scale} S, {zero} Z>
    {{ y = com.microsoft.MatMulNBits <N = 6, K = 32, block_size = 16, bits = {bits}> (x, W, S, Z) }}"""


@pytest.mark.parametrize(
    ("bits", "scale", "zero"),
    [
        (4, "float[6, 2]", "uint8[6, 1]"),
        (4, "float[12]", "uint8[6]"),
        (4, "float[6, 2]", "float[6, 2]"),
        (8, "float[6, 2]", "uint8[6, 2]"),
    ],
)
def test_bytes_of_a_packed_weight_have_the_norm_of_their_numbers(bits: int, scale: str, zero: str) -> None:
    text = _PRODUCT.format(bits=bits, blob=2 * bits, scale=scale, zero=zero)
    model, analysis = analysed(build(text))
    matrix = np.asarray(run(model, {"x": np.eye(32, dtype=np.float32)})[0])  # (k, n): what the weights are
    found = real_values(analysis.weights["W"], analysis.facts)
    pairs = matrix.T.reshape(6, 2, 2 * bits, 8 // bits)
    np.testing.assert_allclose(found, np.sqrt((pairs**2).sum(-1)), rtol=1e-5)


def test_bytes_of_a_table_whose_last_block_is_cut_short() -> None:
    text = """net (int64[n] ids) => (float[n, 40] y) <uint8[9, 20] E, float[9, 3] S, uint8[9, 2] Z>
    { y = com.microsoft.GatherBlockQuantized <block_size = 16, quantize_axis = 1, bits = 4> (E, ids, S, Z) }"""
    model, analysis = analysed(build(text))
    rows = np.asarray(run(model, {"ids": np.arange(9)})[0])
    found = real_values(analysis.weights["E"], analysis.facts)
    np.testing.assert_allclose(found, np.sqrt((rows.reshape(9, 20, 2) ** 2).sum(-1)), rtol=1e-5)


@pytest.mark.parametrize(("size", "blocks"), [(6, 2), (4, 3), (9, 2)])
@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_are_as_long_as_the_operator_says(size: int, blocks: int, axis: int) -> None:
    """Ten slots in two blocks may be 5 + 5, 6 + 4 and up to 9 + 1."""
    stored, scales = ([10, 7], [blocks, 7]) if axis == 0 else ([7, 10], [7, blocks])
    text = f"""net (float[n, {stored[0]}] x) => (float[n, {stored[1]}] y)
    <int8{stored} Q, float{scales} S, int8{scales} Z>
    {{ w = DequantizeLinear <axis = {axis}, block_size = {size}> (Q, S, Z) y = MatMul(x, w) }}"""
    model, analysis = analysed(build(text, opset=21))
    matrix = np.asarray(run(model, {"x": np.eye(stored[0], dtype=np.float32)})[0])
    np.testing.assert_allclose(real_values(analysis.weights["Q"], analysis.facts), matrix, rtol=1e-5)


def test_scales_run_along_their_axes() -> None:
    companion = np.arange(6).reshape(2, 3)
    plain, blocks = Quantised("s", "", (0, 2)), Quantised("s", "", (0, 1), block=2)
    assert laid_along(companion, plain, (2, 5, 3)).shape == (2, 1, 3)
    assert laid_along(companion, blocks, (4, 3)).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert laid_along(np.ones((1, 1)), plain, (4, 3)).shape == ()
