"""Vector-Jacobian products of elementwise operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Product, Values, default_domain, of_binary, of_unary

Array = NDArray[Any]

_ROOT = float(np.sqrt(2 / np.pi))


def _sigmoid(x: Array) -> Array:
    return np.asarray(scipy.special.expit(x))


def _gelu(x: Array) -> Array:
    inner = 0.5 * (1 + scipy.special.erf(x * float(np.sqrt(0.5))))
    return np.asarray(inner + x * np.exp(-0.5 * x * x) / float(np.sqrt(2 * np.pi)))


def _gelu_tanh(x: Array) -> Array:
    inner = np.tanh(_ROOT * (x + 0.044715 * x**3))
    slope = (1 - inner * inner) * _ROOT * (1 + 3 * 0.044715 * x * x)
    return np.asarray(0.5 * (1 + inner) + 0.5 * x * slope)


def _any_gelu(node: NodeFacts, x: Array, y: Array) -> Array:
    return _gelu_tanh(x) if node.attributes.get("approximate") == "tanh" else _gelu(x)


def _swish(x: Array, alpha: float) -> Array:
    gate = _sigmoid(alpha * x)
    return np.asarray(gate + alpha * x * gate * (1 - gate))


def _attribute(node: NodeFacts, name: str, default: float) -> float:
    return float(node.attributes.get(name, default))


def _elu(node: NodeFacts, x: Array, y: Array) -> Array:
    return np.where(x > 0, 1, y + _attribute(node, "alpha", 1.0)).astype(x.dtype)


def _selu(node: NodeFacts, x: Array, y: Array) -> Array:
    alpha, gamma = _attribute(node, "alpha", 1.67326319217681884765625), _attribute(node, "gamma", 1.0507010)
    return np.where(x > 0, gamma, y + alpha * gamma).astype(x.dtype)


def _hard_sigmoid(node: NodeFacts, x: Array, y: Array) -> Array:
    return (_attribute(node, "alpha", 0.2) * ((y > 0) & (y < 1))).astype(x.dtype)


def _hard_swish(node: NodeFacts, x: Array, y: Array) -> Array:
    slope = x / 3 + 0.5
    np.copyto(slope, 0, where=x <= -3)
    np.copyto(slope, 1, where=x >= 3)
    return np.asarray(slope.astype(x.dtype, copy=False))


def _mish(node: NodeFacts, x: Array, y: Array) -> Array:
    inner = np.tanh(np.logaddexp(0, x))
    return np.asarray(inner + x * (1 - inner * inner) * _sigmoid(x))


def _clip(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, y = values[node.inputs[0]], values[node.outputs[0]]
    return [given[0] * (x == y)]


def _where(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    chosen = values[node.inputs[0]]
    return [None, np.where(chosen, given[0], 0), np.where(chosen, 0, given[0])]


def _pow(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, power = values[node.inputs[0]], values[node.inputs[1]]
    return [given[0] * _inside(lambda: power * np.power(x, power - 1)).astype(x.dtype), None]


def _inside(slope: Callable[[], Array]) -> Array:
    """Zeros where it is beyond numbers, at the edge of what an operator can take.

    As at the size of a complex number that is zero, or in the branch that a Where does not choose.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        found = slope()
    known = np.isfinite(found)
    return found if known.all() else np.where(known, found, 0).astype(found.dtype, copy=False)


def _prelu(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, slope = values[node.inputs[0]], values[node.inputs[1]]
    return [given[0] * np.where(x > 0, 1, slope), given[0] * np.minimum(x, 0)]


def _extreme(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    """Max and Min of any number of tensors; the first of equals takes the gradient."""
    y, left, found = values[node.outputs[0]], np.ones((), bool), []
    for name in node.inputs:
        mine = (values[name] == y) & left
        left = left & ~mine
        found.append(given[0] * mine)
    return found


def _mean(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    return [given[0] / np.array(len(node.inputs), given[0].dtype)] * len(node.inputs)


def _sum(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    return [given[0]] * len(node.inputs)


def _cast(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[0]]
    return [given[0].astype(x.dtype) if x.dtype.kind == "f" else None]


def _bias_gelu(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[0]]
    if len(node.inputs) > 1 and node.inputs[1]:
        x = x + values[node.inputs[1]]
    slope = _gelu_tanh(x) if node.op == "FastGelu" else _gelu(x)
    return [given[0] * slope] * 2


_UNARY: dict[str, Product] = {
    "Abs": of_unary(lambda n, x, y: np.sign(x)),
    "Celu": of_unary(lambda n, x, y: np.where(x > 0, 1, 1 + y / _attribute(n, "alpha", 1.0)).astype(x.dtype)),
    "Cos": of_unary(lambda n, x, y: -np.sin(x)),
    "Elu": of_unary(_elu),
    "Erf": of_unary(lambda n, x, y: float(2 / np.sqrt(np.pi)) * np.exp(-x * x)),
    "Exp": of_unary(lambda n, x, y: y),
    "Gelu": of_unary(_any_gelu),
    "HardSigmoid": of_unary(_hard_sigmoid),
    "HardSwish": of_unary(_hard_swish),
    "LeakyRelu": of_unary(lambda n, x, y: np.where(x > 0, 1, _attribute(n, "alpha", 0.01)).astype(x.dtype)),
    "Log": of_unary(lambda n, x, y: _inside(lambda: 1 / x)),
    "Mish": of_unary(_mish),
    "Neg": of_unary(lambda n, x, y: np.array(-1, x.dtype)),
    "Reciprocal": of_unary(lambda n, x, y: _inside(lambda: -y * y)),
    "Relu": of_unary(lambda n, x, y: (x > 0).astype(x.dtype)),
    "Selu": of_unary(_selu),
    "Sigmoid": of_unary(lambda n, x, y: y * (1 - y)),
    "Sin": of_unary(lambda n, x, y: np.cos(x)),
    "Softplus": of_unary(lambda n, x, y: _sigmoid(x)),
    "Softsign": of_unary(lambda n, x, y: 1 / (1 + np.abs(x)) ** 2),
    "Sqrt": of_unary(lambda n, x, y: _inside(lambda: 0.5 / y)),
    "Swish": of_unary(lambda n, x, y: _swish(x, _attribute(n, "alpha", 1.0))),
    "Tanh": of_unary(lambda n, x, y: 1 - y * y),
    "ThresholdedRelu": of_unary(lambda n, x, y: (x > _attribute(n, "alpha", 1.0)).astype(x.dtype)),
}

_BINARY: dict[str, Product] = {
    "Add": of_binary(lambda g, a, b: g, lambda g, a, b: g),
    "Div": of_binary(
        lambda g, a, b: _inside(lambda: g / b), lambda g, a, b: _inside(lambda: -g * a / (b * b))
    ),
    "Mul": of_binary(lambda g, a, b: g * b, lambda g, a, b: g * a),
    "Sub": of_binary(lambda g, a, b: g, lambda g, a, b: -g),
}

ELEMENTWISE: dict[tuple[str, str], Product] = {
    **default_domain(_UNARY),
    **default_domain(_BINARY),
    **default_domain(
        {
            "Cast": _cast,
            "CastLike": _cast,
            "Clip": _clip,
            "Max": _extreme,
            "Mean": _mean,
            "Min": _extreme,
            "PRelu": _prelu,
            "Pow": _pow,
            "Sum": _sum,
            "Where": _where,
        }
    ),
    ("com.microsoft", "BiasGelu"): _bias_gelu,
    ("com.microsoft", "FastGelu"): _bias_gelu,
    ("com.microsoft", "Gelu"): _bias_gelu,
    ("com.microsoft", "QuickGelu"): of_unary(lambda n, x, y: _swish(x, _attribute(n, "alpha", 1.702))),
}
