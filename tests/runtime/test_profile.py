"""Where the time goes: every node belongs to the kernel that computes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphprune.analysis import CostModel
from graphprune.errors import ModelError
from graphprune.normalise import normalise
from graphprune.runtime.profile import profile
from graphprune.testing import analysed

NET = """g (float[n, 8, 8, 8] x) => (float[n, 16, 8, 8] y)
{ a = Conv <pads = [1, 1, 1, 1]> (x, v) b = Relu(a) c = Conv(b, w) y = Relu(c) }"""
BODY = """g (float[4, 4] x, bool c) => (float[4, 4] y)
{ y = If (c) <then_branch = yes () => (float[4, 4] p) { q = MatMul(x, w) p = Relu(q) },
              else_branch = no () => (float[4, 4] r) { r = Neg(x) }> }"""


def _owners(found):
    return {frozenset(k.nodes) for k in found.kernels if k.nodes}


def test_fused_nodes_belong_to_one_kernel(build, rng):
    model = normalise(
        build(
            NET,
            v=rng.standard_normal((32, 8, 3, 3)).astype(np.float32),
            w=rng.standard_normal((16, 32, 1, 1)).astype(np.float32),
        )
    )
    first, second = (frozenset(str(n.name) for n in list(model.graph)[k : k + 2]) for k in (0, 2))
    found = profile(model, {"x": np.ones((2, 8, 8, 8), np.float32)}, threads=1)
    assert {first, second} <= _owners(found)
    assert found.run_ms > 0
    assert found.kernel_ms == pytest.approx(sum(k.ms for k in found.kernels))


def test_time_inside_bodies_counts_once(build, rng):
    model = normalise(build(BODY, w=rng.standard_normal((4, 4)).astype(np.float32)))
    found = profile(model, {"x": np.ones((4, 4), np.float32), "c": np.array(True)})
    assert [k.op for k in found.kernels] == ["If"]


def test_a_model_that_does_not_run(build):
    model = normalise(build("g (float[n] x) => (float[a, b] y) { y = Reshape(x, s) }", s=np.array([4, -1])))
    with pytest.raises(ModelError, match="did not run"):
        profile(model, {"x": np.ones(3, np.float32)})


@pytest.mark.parametrize("name", ["resnet_se", "densenet", "unet", "bilstm", "vit", "textformer"])
def test_every_multiplying_node_of_the_bundled_models_has_a_kernel(bundled, name):
    path: Path = bundled(name)
    normal, analysis = analysed(str(path))
    found = profile(normal, analysis.recording.feeds, runs=2, threads=1)
    macs = CostModel(analysis).macs_by_node()
    owned = [n for k in found.kernels for n in k.nodes]
    assert set(macs) <= set(owned)
    assert len(owned) == len(set(owned))
    for kernel in found.kernels:
        assert sum(n in macs for n in kernel.nodes) <= 1
