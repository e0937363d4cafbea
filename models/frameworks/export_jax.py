"""Exports the networks of `sizes` from JAX (flax) by jax2onnx.

python models/frameworks/export_jax.py [NETWORK ...]
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import jax2onnx
import numpy as np
from flax import nnx
from sizes import (
    CLASSES,
    COLOURS,
    FEATURES,
    FIRST,
    FLAT,
    FORWARD,
    HEAD,
    HEADS,
    HIDDEN,
    IMAGE,
    LSTM_FIRST,
    LSTM_SECOND,
    NETWORKS,
    POOL,
    SECOND,
    SEQUENCE,
    STEM,
    WIDE,
    WIDTH,
)

OUT = Path(__file__).parent


class Cnn(nnx.Module):
    """See `sizes`; images are (n, image, image, colours), as is usual in JAX."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem, self.stem_norm = _conv(COLOURS, STEM, rngs), _norm(STEM, rngs)
        self.first, self.first_norm = _conv(STEM, STEM, rngs), _norm(STEM, rngs)
        self.second, self.second_norm = _conv(STEM, STEM, rngs), _norm(STEM, rngs)
        self.wide, self.wide_norm = _conv(STEM, WIDE, rngs), _norm(WIDE, rngs)
        self.hidden, self.classes = (
            nnx.Linear(FLAT, HIDDEN, rngs=rngs),
            nnx.Linear(HIDDEN, CLASSES, rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, image, image, colours) -> (n, classes)."""
        x = nnx.relu(self.stem_norm(self.stem(x)))
        inner = nnx.relu(self.first_norm(self.first(x)))
        x = nnx.relu(x + self.second_norm(self.second(inner)))
        x = nnx.max_pool(
            nnx.relu(self.wide_norm(self.wide(x))), window_shape=(POOL, POOL), strides=(POOL, POOL)
        )
        return self.classes(nnx.relu(self.hidden(x.reshape((x.shape[0], FLAT)))))


class Mlp(nnx.Module):
    """See `sizes`."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.second = nnx.Linear(FEATURES, FIRST, rngs=rngs), nnx.Linear(FIRST, SECOND, rngs=rngs)
        self.classes = nnx.Linear(SECOND, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, features) -> (n, classes)."""
        return self.classes(nnx.relu(self.second(nnx.relu(self.first(x)))))


class Transformer(nnx.Module):
    """See `sizes`."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.start = nnx.Linear(FEATURES, WIDTH, rngs=rngs)
        self.attention_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.forward_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.last_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            HEADS, WIDTH, qkv_features=HEADS * HEAD, decode=False, rngs=rngs
        )
        self.up, self.down = nnx.Linear(WIDTH, FORWARD, rngs=rngs), nnx.Linear(FORWARD, WIDTH, rngs=rngs)
        self.classes = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, sequence, features) -> (n, classes)."""
        x = self.start(x)
        x = x + self.attention(self.attention_norm(x))
        x = x + self.down(nnx.gelu(self.up(self.forward_norm(x))))
        return self.classes(jnp.mean(self.last_norm(x), axis=1))


class Layer(nnx.Module):
    """An LSTM as a `lax.scan` over time; flax's own cannot be traced by jax2onnx (see docs/frameworks.md)."""

    def __init__(self, inside: int, width: int, rngs: nnx.Rngs) -> None:
        self.width = width
        self.inputs = nnx.Linear(inside, 4 * width, rngs=rngs)
        self.states = nnx.Linear(width, 4 * width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, sequence, inside) -> (n, sequence, width)."""
        read, bias, carry = self.inputs.kernel[...], self.inputs.bias[...], self.states.kernel[...]

        def step(
            state: tuple[jax.Array, jax.Array], row: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            hidden, cell = state
            gates = jnp.dot(row, read) + bias + jnp.dot(hidden, carry)
            enter, forget, new, leave = jnp.split(gates, 4, axis=-1)
            cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
            hidden = jax.nn.sigmoid(leave) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zeros = jnp.zeros((x.shape[0], self.width), x.dtype)
        _, rows = jax.lax.scan(step, (zeros, zeros), jnp.transpose(x, (1, 0, 2)))
        return jnp.transpose(rows, (1, 0, 2))


class Lstm(nnx.Module):
    """See `sizes`."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = Layer(FEATURES, LSTM_FIRST, rngs)
        self.second = Layer(LSTM_FIRST, LSTM_SECOND, rngs)
        self.classes = nnx.Linear(LSTM_SECOND, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, sequence, features) -> (n, classes)."""
        return self.classes(self.second(self.first(x))[:, -1])


BUILDERS: dict[str, tuple[Callable[[nnx.Rngs], Any], tuple[int, ...]]] = {
    "cnn": (Cnn, (IMAGE, IMAGE, COLOURS)),
    "mlp": (Mlp, (FEATURES,)),
    "transformer": (Transformer, (SEQUENCE, FEATURES)),
    "lstm": (Lstm, (SEQUENCE, FEATURES)),
}


def _conv(inside: int, outside: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(inside, outside, (3, 3), padding="SAME", use_bias=False, rngs=rngs)


def _norm(width: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(width, use_running_average=True, rngs=rngs)


def _liven(module: nnx.Module) -> None:
    """Random norms, as after training."""
    draw = np.random.default_rng(0)
    for _, part in nnx.iter_graph(module):
        if isinstance(part, nnx.BatchNorm | nnx.LayerNorm):
            width = part.scale.shape
            part.scale.value = jnp.asarray(draw.uniform(0.5, 1.5, width), jnp.float32)
            part.bias.value = jnp.asarray(draw.normal(0, 0.2, width), jnp.float32)
        if isinstance(part, nnx.BatchNorm):
            part.mean.value = jnp.asarray(draw.normal(0, 0.2, width), jnp.float32)
            part.var.value = jnp.asarray(draw.uniform(0.5, 1.5, width), jnp.float32)


def export(name: str) -> None:
    """Write one network."""
    build, shape = BUILDERS[name]
    module = build(nnx.Rngs(NETWORKS.index(name)))
    _liven(module)
    module.eval()
    jax2onnx.to_onnx(
        module,
        [("B", *shape)],
        model_name=name,
        return_mode="file",
        output_path=str(OUT / f"{name}.jax.onnx"),
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for network in sys.argv[1:] or NETWORKS:
        export(network)
