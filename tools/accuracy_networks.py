"""The torch networks of models/train with the weights of the committed files, for pruners of modules.

Operators of the file and modules of the network are paired in the order in which they run. Where the exporter
folded a batch normalisation into a convolution, the module gets the folded weight and a bias, and no
normalisation. A network is used only if its outputs are those of the file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from accuracy_methods import NotPossibleError
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
_ALLOWED = 1e-4  # of the largest output
_CLASSES = {
    "bilstm": "BiLSTM",
    "densenet": "build",
    "resnet_se": "build",
    "textformer": "Textformer",
    "unet": "UNet",
    "vit": "ViT",
}


@dataclass(slots=True)
class Network:
    """A torch network with the weights of a file.

    Attributes:
        module: the network.
        example: inputs of two samples; a tuple if there are several.
        keep: modules that give the outputs, whose width is not to be cut.
        heads: number of heads of the projections of attention.
        parameters: bare parameters and the axis along which their channels lie.
    """

    module: nn.Module
    example: Tensor | tuple[Tensor, ...]
    keep: list[nn.Module]
    heads: dict[nn.Module, int] = field(default_factory=dict)
    parameters: dict[nn.Parameter, int] = field(default_factory=dict)


def network(name: str, path: Path) -> Network:
    """The network of a bundled model.

    Raises:
        NotPossibleError: its outputs are not those of the file.
    """
    source = importlib.import_module(f"models.train.{name}")
    module: nn.Module = getattr(source, _CLASSES[name])().eval()
    model = onnx.load(path)
    example = _example(model)
    _fill(module, example, model)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: example.numpy()})[0]
    with torch.no_grad():
        found = module(example).numpy()
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    if error > _ALLOWED:
        raise NotPossibleError(f"the torch network gives other outputs than the file (error {error:.1e})")
    return _known(name, source, module, example)


def _known(name: str, source: Any, module: Any, example: Tensor) -> Network:
    """What a user of a pruner of modules says of a network, and how its forward follows the new widths."""
    if name == "vit":
        for block in module.blocks:
            _follow_widths(block.attention, source.HEADS)
        heads = {block.attention.qkv: source.HEADS for block in module.blocks}
        return Network(module, example, [module.head], heads, {module.token: 2, module.places: 2})
    if name == "textformer":
        norms = [n for b in module.blocks for n in (b.norm1, b.norm2)] + [module.norm]
        attention = [b.attention for b in module.blocks]  # its forward has the width of heads as a constant
        projections = [p for a in attention for p in (a.query, a.key, a.value)]
        return Network(module, example, projections, {}, {n.scale: 0 for n in norms})
    last = module.head if hasattr(module, "head") else module[-1]
    return Network(module, example, [last])


def _follow_widths(attention: Any, heads: int) -> None:
    """Attention whose reshapes take the width that is left; the scale stays that of the original."""
    attention.heads, attention.scale = heads, (attention.out.in_features // heads) ** -0.5
    attention.forward = MethodType(_attend, attention)  # a method, so that a copy has one of its own


def _attend(self: Any, x: Tensor) -> Tensor:
    n, t, _ = x.shape
    query, key, value = self.qkv(x).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=self.scale)
    return self.out(mixed.transpose(1, 2).flatten(2))


def _example(model: onnx.ModelProto) -> Tensor:
    (given,) = [i for i in model.graph.input if i.name not in {t.name for t in model.graph.initializer}]
    sizes = [d.dim_value or (2 if k == 0 else 40) for k, d in enumerate(given.type.tensor_type.shape.dim)]
    random = np.random.default_rng(0)
    if given.type.tensor_type.elem_type == onnx.TensorProto.INT64:
        return torch.from_numpy(random.integers(1, 100, sizes))
    return torch.from_numpy(random.standard_normal(sizes).astype(np.float32))


# -- weights ------------------------------------------------------------------------------------


def _fill(module: nn.Module, example: Tensor, model: onnx.ModelProto) -> None:
    """Copy every weight of the file to where it belongs."""
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, array in arrays.items():
        if name in state and state[name].shape == array.shape:
            state[name].data.copy_(torch.from_numpy(array.copy()))
    for name, inner in list(module.named_modules()):
        if isinstance(inner, nn.BatchNorm2d) and f"{name}.running_mean" not in arrays:
            _replace(module, name, nn.Identity())
    operators = list(_operators(model, arrays))
    modules = _in_order(module, example)
    if len(operators) != len(modules):
        raise NotPossibleError(f"{len(operators)} operators with weights, {len(modules)} modules")
    for (kind, weights), inner in zip(operators, modules, strict=True):
        _SETTERS[kind](inner, weights)


def _replace(module: nn.Module, name: str, by: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, by)


def _operators(
    model: onnx.ModelProto, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Convolutions, products and LSTMs that read weights, in the order of the file."""
    for node in model.graph.node:
        if node.op_type in _SETTERS and node.input[1] in arrays:
            yield node.op_type, [arrays[n] for n in node.input[1:4] if n in arrays]


def _in_order(module: nn.Module, example: Tensor) -> list[nn.Module]:
    """Modules with weights in the order in which they run."""
    found: list[nn.Module] = []
    hooks = [
        inner.register_forward_hook(lambda m, *_: found.append(m))
        for inner in module.modules()
        if isinstance(inner, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    for lstm in (m for m in module.modules() if isinstance(m, nn.LSTM)):
        hooks.append(lstm.register_forward_hook(lambda m, *_: found.extend(_layers(m))))
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    return found


class _Layer(nn.Module):
    """One layer of an LSTM."""

    def __init__(self, lstm: nn.LSTM, number: int) -> None:
        super().__init__()
        self.__dict__["lstm"], self.number = lstm, number


def _layers(lstm: nn.LSTM) -> list[nn.Module]:
    return [_Layer(lstm, k) for k in range(lstm.num_layers)]


def _set(parameter: Tensor, array: np.ndarray) -> None:
    parameter.data.copy_(torch.from_numpy(np.array(array, order="C")))


def _set_convolution(module: Any, weights: list[np.ndarray]) -> None:
    _set(module.weight, weights[0])
    if len(weights) > 1:
        if module.bias is None:
            module.bias = nn.Parameter(torch.zeros(len(weights[1])))
        _set(module.bias, weights[1])


def _set_product(module: Any, weights: list[np.ndarray]) -> None:
    _set(module.weight, weights[0].T)  # its bias is an addition of its own, with the name of the parameter


def _set_gemm(module: Any, weights: list[np.ndarray]) -> None:
    _set(module.weight, weights[0])
    _set(module.bias, weights[1])


def _set_lstm(layer: Any, weights: list[np.ndarray]) -> None:
    """ONNX has gates in the order i, o, f, c and torch i, f, c, o; ONNX has both biases in one."""
    for direction, suffix in enumerate(("", "_reverse")):
        w, r, b = (a[direction] for a in weights)
        half = len(b) // 2
        parts = {"weight_ih": w, "weight_hh": r, "bias_ih": b[:half], "bias_hh": b[half:]}
        for name, array in parts.items():
            i, o, f, c = np.split(array, 4)
            _set(getattr(layer.lstm, f"{name}_l{layer.number}{suffix}"), np.concatenate([i, f, c, o]))


_SETTERS: dict[str, Callable[[Any, list[np.ndarray]], None]] = {
    "Conv": _set_convolution,
    "ConvTranspose": _set_convolution,
    "MatMul": _set_product,
    "Gemm": _set_gemm,
    "LSTM": _set_lstm,
}
