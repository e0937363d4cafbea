"""One function for each program: it opens the model, runs it on every batch, and returns its outputs.

All have the same form: the path of the model, the batches (arrays by input name), and a folder to write to.
Whatever goes wrong is raised as the program raises it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Batches = Sequence[Arrays]


def openvino(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs of the model compiled by OpenVINO for the CPU, in full precision."""
    import openvino as ov

    compiled = ov.Core().compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [name for name, _ in _ports(model, "output")]
    found: list[Arrays] = []
    for feeds in batches:
        result = compiled(dict(feeds))
        found.append({n: np.array(result[compiled.output(n)]) for n in names})
    return found


def optimised(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs of the file that ONNX Runtime writes after all of its optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return _in_runtime(folder / "optimised.onnx", batches)


def dynamic(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs after dynamic quantisation by ONNX Runtime."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Signed weights have no convolution in the runtime.
    quantize_dynamic(_prepared(model, folder), folder / "dynamic.onnx", weight_type=QuantType.QUInt8)
    return _in_runtime(folder / "dynamic.onnx", batches)


def static(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs after static quantisation by ONNX Runtime, calibrated on the batches."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Arrays] = iter(batches)

        def get_next(self) -> Any:
            return next(self._left, None)

    quantize_static(
        _prepared(model, folder), folder / "static.onnx", Reader(), QuantFormat.QDQ, per_channel=True
    )
    return _in_runtime(folder / "static.onnx", batches)


def onnxslim(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs after onnxslim."""
    import onnxslim as slimmer

    slimmer.slim(str(model), str(folder / "slim.onnx"))
    return _in_runtime(folder / "slim.onnx", batches)


def onnxsim(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs after onnxsim."""
    import onnx
    import onnxsim as simplifier

    simplified, _ = simplifier.simplify(str(model))
    onnx.save(simplified, folder / "sim.onnx")
    return _in_runtime(folder / "sim.onnx", batches)


def onnx2torch(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    """Outputs of the ONNX model that PyTorch exports of the module that onnx2torch makes.

    The module itself must give the same outputs as that export.
    """
    import onnx2torch as converter
    import torch

    module = converter.convert(str(model)).eval()
    inputs = [name for name, _ in _ports(model, "input")]
    outputs = [name for name, _ in _ports(model, "output")]
    found: list[Arrays] = []
    back: list[Arrays] = []
    for number, feeds in enumerate(batches):
        arguments = tuple(torch.from_numpy(np.array(feeds[name])) for name in inputs)
        with torch.no_grad():
            given = module(*arguments)
        given = given if isinstance(given, list | tuple) else [given]
        found.append({n: t.numpy() for n, t in zip(outputs, given, strict=True)})
        exported = folder / f"exported-{number}.onnx"  # of fixed shape: free ones are not ours to judge
        torch.onnx.export(
            module, arguments, str(exported), dynamo=False, input_names=inputs, output_names=outputs
        )
        # A size that the module ignores is no input of the export.
        kept = {name for name, _ in _ports(exported, "input")}
        back += _in_runtime(exported, [{n: a for n, a in feeds.items() if n in kept}])
        for name in outputs:
            if not np.allclose(found[-1][name], back[-1][name], rtol=1e-3, atol=1e-3):
                raise ValueError(f"PyTorch and its own export of the module differ in output {name!r}")
    return found


def _ports(model: Path, which: str) -> list[tuple[str, str]]:
    """Names and types of the inputs or outputs of a file."""
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    stored = {t.name for t in graph.initializer}
    ports = graph.input if which == "input" else graph.output
    return [(p.name, p.type.WhichOneof("value") or "") for p in ports if p.name not in stored]


def _prepared(model: Path, folder: Path) -> Path:
    """The model as ONNX Runtime wants it before quantisation; itself where that fails."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = folder / "prepared.onnx"
    try:
        quant_pre_process(model, ready, skip_symbolic_shape=True)
    except Exception:  # advice of the runtime, not a condition
        return model
    return ready


def _in_runtime(model: Path, batches: Batches) -> list[Arrays]:
    from graphprune.runtime.session import open_session

    with open_session(model) as session:
        return [session.run(feeds) for feeds in batches]
