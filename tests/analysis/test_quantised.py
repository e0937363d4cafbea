"""What integers stand for, held against the runtime's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.analysis.quantised import laid_along
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


def test_scales_run_along_their_axes() -> None:
    companion = np.arange(6).reshape(2, 3)
    assert laid_along(companion, (0, 2), (2, 5, 3)).shape == (2, 1, 3)
    assert laid_along(companion, (0, 1), (4, 3)).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert laid_along(np.ones((1, 1)), (0,), (4, 3)).shape == ()
