import gc
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError, RuntimeMissingError, UsageError
from graphprune.runtime import Port, open_session, ort, storage

LINEAR = "g (float[n, 4] x) => (float[n, 3] y) { y = MatMul(x, w) }"


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """A temporary folder of our own, to see what is left in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def weight(rng) -> np.ndarray:
    return rng.standard_normal((4, 3)).astype(np.float32)


@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("optimise", [False, True])
def test_runs_a_model_in_memory(build, weight, rng, optimise, lean):
    x = rng.standard_normal((5, 4)).astype(np.float32)
    with open_session(build(LINEAR, w=weight), optimise=optimise, lean=lean, threads=1) as session:
        found = session.run({"x": x})
    assert list(found) == ["y"]
    np.testing.assert_allclose(found["y"], x @ weight, rtol=1e-5)


def test_tells_inputs_and_outputs(build, weight):
    with open_session(build(LINEAR, w=weight)) as session:
        assert session.inputs == (Port("x", "float32", ("n", 4)),)
        assert session.outputs == (Port("y", "float32", ("n", 3)),)
        assert session.inputs[0].is_tensor
        assert session.providers == ("CPUExecutionProvider",)


def test_runs_a_file(build, weight, tmp_path):
    path = tmp_path / "linear.onnx"
    ir.save(build(LINEAR, w=weight), path)
    for given in (path, str(path)):
        with open_session(given) as session:
            assert session.run({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 3)
    assert path.exists()


def test_fetches_only_what_is_asked(build):
    model = build("g (float[n] x) => (float[n] a, float[n] b) { a = Relu(x) b = Neg(x) }")
    with open_session(model) as session:
        assert list(session.run({"x": np.ones(2, np.float32)}, ["b"])) == ["b"]
        assert session.run({"x": np.ones(2, np.float32)}, []) == {}


def test_folder_is_removed_on_close(build, weight, temporary):
    session = open_session(build(LINEAR, w=weight))
    assert len(list(temporary.iterdir())) == 1
    session.close()
    session.close()
    assert list(temporary.iterdir()) == []
    with pytest.raises(RuntimeError, match="closed"):
        session.run({})


def test_folder_is_removed_with_the_session(build, weight, temporary):
    session = open_session(build(LINEAR, w=weight))
    del session
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_folder_is_removed_when_the_model_is_refused(build, temporary):
    with pytest.raises(ModelError, match=r"ONNX Runtime refuses the model: .*Nonsense"):
        open_session(build("g (float[n] x) => (float[n] y) { y = com.example.Nonsense(x) }"))
    assert list(temporary.iterdir()) == []


def test_model_in_memory_stays_as_it_is(build, weight):
    model = build(LINEAR, w=weight)
    before = ir.to_proto(model).SerializeToString()
    with open_session(model, lean=True):
        pass
    assert ir.to_proto(model).SerializeToString() == before


def test_refusal_is_one_short_line(build):
    model = build("g (float[n] x) => (float[n] y) { y = Reshape(x, s) }", s=np.array([1.5]))
    with pytest.raises(ModelError) as caught:
        open_session(model)
    message = str(caught.value)
    assert message.startswith("ONNX Runtime refuses the model: Type Error: Type 'tensor(double)'")
    assert "\n" not in message
    assert "graphprune-" not in message


def test_failed_run_gives_the_reason(build, capfd):
    model = build(
        "g (float[n] x) => (float[a, b] y) { [folding] y = Reshape(x, s) }", s=np.array([4, -1], np.int64)
    )
    with (
        open_session(model) as session,
        pytest.raises(ModelError, match=r"did not run in ONNX Runtime: .*Input shape:\{3\}, requested shape"),
    ):
        session.run({"x": np.ones(3, np.float32)})
    assert capfd.readouterr().err == ""


def test_missing_input_is_named(build, weight):
    with open_session(build(LINEAR, w=weight)) as session, pytest.raises(ModelError, match="'x'"):
        session.run({})


def test_missing_file():
    with pytest.raises(ModelError, match=r"nowhere\.onnx: no such file"):
        open_session("nowhere.onnx")


def test_not_a_model(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"refuses .*text\.onnx: Protobuf parsing failed"):
        open_session(path)


def test_opset_from_the_future(build, weight):
    model = build(LINEAR, w=weight)
    model.graph.opset_imports[""] = 999
    with pytest.raises(ModelError, match="opset 999 is newer than this ONNX Runtime knows"):
        open_session(model)


def test_unknown_provider(build, weight):
    with pytest.raises(UsageError, match=r"unknown execution provider 'abacus': choose one of .*cpu"):
        open_session(build(LINEAR, w=weight), provider="abacus")


def test_provider_that_is_not_installed(build, weight, monkeypatch):
    monkeypatch.setattr(ort.onnxruntime(), "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeMissingError, match=r"no CUDAExecutionProvider.*graphprune\[cuda\]"):
        open_session(build(LINEAR, w=weight), provider="cuda")


def test_provider_that_does_not_start(build, weight, monkeypatch):
    """The runtime falls back to the CPU in silence; a measurement must not."""
    runtime = ort.onnxruntime()
    real = runtime.InferenceSession
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        runtime, "InferenceSession", lambda path, options, providers: real(path, options, providers[1:])
    )
    with pytest.raises(RuntimeMissingError, match="CUDAExecutionProvider could not start"):
        open_session(build(LINEAR, w=weight), provider="cuda")


def test_without_the_runtime(build, weight, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ort.onnxruntime.cache_clear()
    try:
        with pytest.raises(RuntimeMissingError) as caught:
            open_session(build(LINEAR, w=weight))
    finally:
        ort.onnxruntime.cache_clear()
    assert str(caught.value) == ort.MISSING
    assert 'pip install "graphprune[cpu]"' in ort.MISSING


def test_runtime_is_imported_late():
    code = "import sys, graphprune.runtime; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_half_precision(build, rng):
    x = rng.standard_normal((3, 4)).astype(np.float16)
    with open_session(build("g (float16[n, 4] x) => (float16[n, 4] y) { y = Relu(x) }")) as session:
        assert session.inputs[0].dtype == "float16"
        found = session.run({"x": x})["y"]
    np.testing.assert_array_equal(found, np.maximum(x, 0))


def test_brain_floats_go_in_and_out(build):
    x = np.array([[1.5, -2, 3], [0, 7, -0.125]], ml_dtypes.bfloat16)
    model = build("g (bfloat16[n, 3] x) => (bfloat16[n, 3] y, int64[2] s) { y = Identity(x) s = Shape(x) }")
    with open_session(model) as session:
        found = session.run({"x": x})
    assert found["y"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found["y"], x)
    np.testing.assert_array_equal(found["s"], [2, 3])


def test_sequences_come_out_flat(build):
    model = build("g (float[n, 2] x) => (seq(float[1, 2]) parts) { parts = SplitToSequence <axis = 0> (x) }")
    with open_session(model) as session:
        assert not session.outputs[0].is_tensor
        found = session.run({"x": np.arange(4, dtype=np.float32).reshape(2, 2)})
    assert list(found) == ["parts[0]", "parts[1]"]
    np.testing.assert_array_equal(found["parts[1]"], [[2, 3]])


def _external(build, weight, folder) -> ir.Model:
    folder.mkdir()
    ir.save(build(LINEAR, w=weight), folder / "m.onnx", external_data="w.data", size_threshold_bytes=0)
    return ir.load(folder / "m.onnx")


@pytest.mark.parametrize("link_above", [0, 10**9])
@pytest.mark.parametrize("lean", [False, True])
def test_mapped_weights(build, weight, tmp_path, monkeypatch, link_above, lean):
    """Weights in a file of their own are linked when large and copied when small."""
    monkeypatch.setattr(storage, "_LINK_ABOVE", link_above)
    model = _external(build, weight, tmp_path / "model")
    with open_session(model, lean=lean) as session:
        found = session.run({"x": np.eye(4, dtype=np.float32)})["y"]
    np.testing.assert_allclose(found, weight, rtol=1e-6)
    assert isinstance(model.graph.initializers["w"].const_value, ir.ExternalTensor)
    assert (tmp_path / "model" / "w.data").stat().st_nlink == 1


def test_linked_weights_are_not_read(build, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_LINK_ABOVE", 0)
    model = _external(build, weight, tmp_path / "model")

    def refuse(_):
        raise AssertionError("the weights were read")

    monkeypatch.setattr(ir.ExternalTensor, "numpy", refuse)
    folder = tmp_path / "out"
    folder.mkdir()
    path = storage.write_model(model, folder)
    assert (folder / "w.data").samefile(tmp_path / "model" / "w.data")
    with open_session(path) as session:
        assert session.inputs[0].name == "x"


def test_weights_are_copied_where_links_are_refused(build, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_LINK_ABOVE", 0)
    model = _external(build, weight, tmp_path / "model")
    runtime = ort.onnxruntime()
    real = runtime.InferenceSession

    def wary(path, *arguments, **named):
        if (Path(path).parent / "w.data").exists():
            raise RuntimeError("w.data has multiple hard links")
        return real(path, *arguments, **named)

    monkeypatch.setattr(runtime, "InferenceSession", wary)
    with open_session(model) as session:
        found = session.run({"x": np.eye(4, dtype=np.float32)})["y"]
    np.testing.assert_allclose(found, weight, rtol=1e-6)


def test_large_weights_go_beside_the_model(build, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_EXTERNAL_ABOVE", 1000)
    wide = np.tile(weight, (1, 200))
    path = storage.write_model(build(LINEAR.replace("3]", "600]"), w=wide), tmp_path)
    assert (tmp_path / storage.WEIGHTS_FILE).stat().st_size >= wide.nbytes
    assert path.stat().st_size < 1000
    with open_session(path) as session:
        np.testing.assert_allclose(session.run({"x": np.eye(4, dtype=np.float32)})["y"], wide, rtol=1e-6)


def test_files_of_small_weights_stay_open_for_those_who_look_at_them(build, weight, tmp_path):
    """A model whose every weight lies in another file is written for a lean session while views are alive."""
    mapped = _external(build, weight, tmp_path / "model")
    seen = mapped.graph.initializers["w"].const_value.numpy()
    with open_session(mapped, lean=True) as session:
        found = session.run({"x": np.eye(4, dtype=np.float32)})["y"]
    np.testing.assert_array_equal(found, weight)
    np.testing.assert_array_equal(seen, weight)
