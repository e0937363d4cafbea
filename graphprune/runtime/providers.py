"""Execution providers by short name: what there is, what is installed, what brings the rest.

An execution provider is what a model runs on: the processor, or an accelerator through its maker's library.
Each comes with a build of ONNX Runtime of its own, of which only one can be installed in an environment.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphprune.errors import RuntimeMissingError, UsageError
from graphprune.runtime.ort import onnxruntime

CPU = "cpu"
_SUFFIX = "executionprovider"


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider.

    Attributes:
        name: what users call it.
        full: the runtime's name of it.
        package: what to install for it, as the argument of pip; "" where there is no wheel.
        hardware: what it runs on.
        device: the runtime's name of the memory that it computes in; "" for the processor's own.
    """

    name: str
    full: str
    package: str
    hardware: str
    device: str = ""


_TABLE = (
    Provider(CPU, "CPUExecutionProvider", '"graphprune[cpu]"', "any processor"),
    Provider("cuda", "CUDAExecutionProvider", '"graphprune[cuda]"', "NVIDIA GPUs", "cuda"),
    Provider("tensorrt", "TensorrtExecutionProvider", '"graphprune[cuda]" tensorrt', "NVIDIA GPUs", "cuda"),
    Provider("rocm", "ROCMExecutionProvider", "onnxruntime-rocm", "AMD GPUs", "cuda"),
    Provider("migraphx", "MIGraphXExecutionProvider", "onnxruntime-migraphx", "AMD GPUs"),
    Provider("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino", "Intel processors, GPUs, NPUs"),
    Provider("dml", "DmlExecutionProvider", "onnxruntime-directml", "GPUs under Windows", "dml"),
    Provider("coreml", "CoreMLExecutionProvider", "onnxruntime", "Apple devices"),
    Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn", "Qualcomm NPUs"),
    Provider("webgpu", "WebGpuExecutionProvider", "onnxruntime-webgpu", "GPUs through WebGPU"),
    Provider("cann", "CANNExecutionProvider", "onnxruntime-cann", "Huawei Ascend"),
    Provider("xnnpack", "XnnpackExecutionProvider", "", "Arm and x86 processors"),
    Provider("dnnl", "DnnlExecutionProvider", "", "Intel processors"),
    Provider("vitisai", "VitisAIExecutionProvider", "", "AMD NPUs"),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A provider and whether the installed runtime has it."""

    provider: Provider
    installed: bool


def list_providers() -> tuple[Listed, ...]:
    """Every provider that is known, and those the installed runtime has besides."""
    installed = set(onnxruntime().get_available_providers())
    known = {p.full for p in _TABLE}
    others = (Provider(_short(n), n, "", "") for n in sorted(installed - known))
    return tuple(Listed(p, p.full in installed) for p in (*_TABLE, *others))


def choose_providers(wanted: str) -> tuple[Provider, ...]:
    """The providers that a comma list names, the preferred one first; the CPU always comes last.

    Raises:
        UsageError: no such provider exists.
        RuntimeMissingError: one is not installed; says which package brings it.
    """
    listed = list_providers()
    by_name = {e.provider.name: e for e in listed} | {_short(e.provider.full): e for e in listed}
    every = {_short(name) for name in onnxruntime().get_all_providers()}
    chosen: dict[str, Provider] = {}
    for name in (part.strip() for part in wanted.split(",") if part.strip()):
        entry = by_name.get(_short(name))
        if entry is None and _short(name) in every:
            raise RuntimeMissingError(
                f"the installed ONNX Runtime has no {name}: it needs a build of its own"
            )
        if entry is None:
            known = ", ".join(e.provider.name for e in listed)
            raise UsageError(f"unknown execution provider {name!r}: choose one of {known}")
        if not entry.installed:
            raise RuntimeMissingError(_missing(entry.provider))
        chosen[entry.provider.name] = entry.provider
    cpu = chosen.pop(CPU, _TABLE[0])
    return (*chosen.values(), cpu)


def _short(name: str) -> str:
    """A provider's name as users write it.

    >>> _short("CUDAExecutionProvider")
    'cuda'
    """
    return name.lower().removesuffix(_SUFFIX)


def _missing(provider: Provider) -> str:
    here = f"the installed ONNX Runtime has no {provider.full}"
    if not provider.package:
        return f"{here}, and no package on the Python index brings it: it needs a build of its own"
    return (
        f"{here}: pip uninstall onnxruntime, then pip install {provider.package} "
        f"(for {provider.hardware}); only one build of the runtime can be installed"
    )
