import numpy as np
import pytest

from graphprune.errors import UsageError
from graphprune.runtime import open_session
from graphprune.runtime.options import LEVELS

CHAIN = "g (float[n, 4] x) => (float[n, 4] y) { a = Identity(x) b = Relu(a) y = Identity(b) }"


@pytest.mark.parametrize("level", LEVELS)
def test_levels(build, level, tmp_path):
    with open_session(build(CHAIN), optimise=level, optimised=tmp_path / "seen.onnx") as session:
        assert session.run({"x": np.array([[-1, 0, 1, 2]], np.float32)})["y"].tolist() == [[0, 0, 1, 2]]
    assert (tmp_path / "seen.onnx").stat().st_size > 0


def test_no_such_level(build):
    with pytest.raises(UsageError, match="unknown optimisation level 'most': choose one of none, basic"):
        open_session(build(CHAIN), optimise="most")


def test_no_threads(build):
    with pytest.raises(UsageError, match="at least 1, got 0"):
        open_session(build(CHAIN), threads=0)
