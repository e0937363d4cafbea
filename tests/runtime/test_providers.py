"""Execution providers by name; what needs a GPU runs where there is one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError, RuntimeMissingError, UsageError
from graphprune.runtime import ort
from graphprune.runtime.providers import choose_providers, list_providers
from graphprune.runtime.session import Session, open_session

LINEAR = "g (float[n, 64] x) => (float[n, 32] y) { y = MatMul(x, w) }"
INSTALLED = {e.provider.name for e in list_providers() if e.installed}
NVIDIA = pytest.mark.skipif("cuda" not in INSTALLED, reason="needs onnxruntime-gpu and an NVIDIA GPU")


@pytest.fixture
def both(monkeypatch):
    """As if the build for NVIDIA GPUs were installed."""
    names = ["CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort.onnxruntime(), "get_available_providers", lambda: names)


def names(wanted):
    return [p.name for p in choose_providers(wanted)]


def test_the_cpu_is_always_there():
    assert "cpu" in INSTALLED
    assert names("cpu") == ["cpu"]
    assert names("") == ["cpu"]


def test_a_list_is_an_order_of_preference(both):
    assert names("tensorrt, cuda") == ["tensorrt", "cuda", "cpu"]
    assert names("cuda,cpu") == names("CPU,CUDA") == names("CUDAExecutionProvider") == ["cuda", "cpu"]
    assert names("cuda,cuda") == ["cuda", "cpu"]


@pytest.mark.parametrize(
    "entry", [e for e in list_providers() if not e.installed], ids=lambda e: e.provider.name
)
def test_what_is_missing_says_what_brings_it(entry):
    with pytest.raises(RuntimeMissingError) as caught:
        choose_providers(entry.provider.name)
    told = entry.provider.package or "a build of its own"
    assert told in str(caught.value)
    assert entry.provider.full in str(caught.value)


def test_a_provider_that_the_runtime_knows_but_the_table_does_not():
    known = {e.provider.full for e in list_providers()}
    other = next(n for n in ort.onnxruntime().get_all_providers() if n not in known)
    with pytest.raises(RuntimeMissingError, match="a build of its own"):
        choose_providers(other)


def test_no_such_provider():
    with pytest.raises(UsageError, match=r"unknown execution provider 'abacus': choose one of cpu, cuda"):
        choose_providers("cpu,abacus")


def test_bound_runs_on_plain_memory(build, rng):
    """The binding is that of a device; here the device is the CPU."""
    weight = rng.standard_normal((64, 32)).astype(np.float32)
    with open_session(build(LINEAR, w=weight)) as opened:
        run = Session(opened._inner, None, "cpu").bound({"x": np.ones((2, 64), np.float32)})
        run()
        run()
        with pytest.raises(ModelError, match="did not run"):
            Session(opened._inner, None, "cpu").bound({})()


@NVIDIA
@pytest.mark.parametrize("provider", ["cuda", "cuda,cpu"])
def test_a_gpu_computes_the_same(build, rng, provider):
    model = build(LINEAR, w=rng.standard_normal((64, 32)).astype(np.float32))
    feeds = {"x": rng.standard_normal((8, 64)).astype(np.float32)}
    with open_session(model, provider=provider) as there, open_session(model) as here:
        assert there.providers[0] == "CUDAExecutionProvider"
        np.testing.assert_allclose(there.run(feeds)["y"], here.run(feeds)["y"], rtol=1e-2, atol=1e-2)
        there.bound(feeds)()


@NVIDIA
def test_kernels_of_a_gpu_are_profiled(build, rng):
    from graphprune.normalise import normalise
    from graphprune.runtime.profile import profile

    model: ir.Model = normalise(build(LINEAR, w=rng.standard_normal((64, 32)).astype(np.float32)))
    found = profile(model, {"x": np.ones((8, 64), np.float32)}, provider="cuda")
    assert "CUDAExecutionProvider" in {k.provider for k in found.kernels}
