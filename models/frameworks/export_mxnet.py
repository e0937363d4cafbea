"""Exports the networks of `sizes` from MXNet by its own exporter.

python models/frameworks/export_mxnet.py [NETWORK ...]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import mxnet as mx
import onnx
from mxnet.contrib import onnx as exporter
from mxnet.gluon import nn, rnn
from sizes import (
    CLASSES,
    COLOURS,
    FEATURES,
    FIRST,
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
BATCH = 2  # the exporter fixes every size
OPSET = 13


class Cnn(nn.HybridBlock):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        with self.name_scope():
            self.stem, self.stem_norm = _conv(COLOURS, STEM), nn.BatchNorm(in_channels=STEM)
            self.first, self.first_norm = _conv(STEM, STEM), nn.BatchNorm(in_channels=STEM)
            self.second, self.second_norm = _conv(STEM, STEM), nn.BatchNorm(in_channels=STEM)
            self.wide, self.wide_norm = _conv(STEM, WIDE), nn.BatchNorm(in_channels=WIDE)
            self.pool = nn.MaxPool2D(POOL)
            self.hidden, self.classes = nn.Dense(HIDDEN, activation="relu"), nn.Dense(CLASSES)

    def hybrid_forward(self, F, x):  # noqa: N803
        """(n, colours, image, image) -> (n, classes)."""
        x = F.relu(self.stem_norm(self.stem(x)))
        inner = F.relu(self.first_norm(self.first(x)))
        x = F.relu(x + self.second_norm(self.second(inner)))
        x = self.pool(F.relu(self.wide_norm(self.wide(x))))
        return self.classes(self.hidden(x))


class Transformer(nn.HybridBlock):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        with self.name_scope():
            self.start = _dense(WIDTH)
            self.norm_1, self.norm_2, self.norm_3 = (nn.LayerNorm(in_channels=WIDTH) for _ in range(3))
            self.queries, self.keys, self.values = (_dense(HEADS * HEAD) for _ in range(3))
            self.join, self.up, self.down = _dense(WIDTH), _dense(FORWARD), _dense(WIDTH)
            self.gelu, self.classes = nn.GELU(), nn.Dense(CLASSES)

    def hybrid_forward(self, F, x):  # noqa: N803
        """(n, sequence, features) -> (n, classes)."""
        x = self.start(x)
        y = self.norm_1(x)
        q, k, v = (
            F.transpose(part(y).reshape((0, 0, HEADS, HEAD)), (0, 2, 1, 3)).reshape((-1, SEQUENCE, HEAD))
            for part in (self.queries, self.keys, self.values)
        )
        weights = F.softmax(F.batch_dot(q * HEAD**-0.5, k, transpose_b=True), axis=-1)
        mixed = F.batch_dot(weights, v).reshape((-1, HEADS, SEQUENCE, HEAD))
        x = x + self.join(F.transpose(mixed, (0, 2, 1, 3)).reshape((0, 0, HEADS * HEAD)))
        x = x + self.down(self.gelu(self.up(self.norm_2(x))))
        return self.classes(F.mean(self.norm_3(x), axis=1))


class Lstm(nn.HybridBlock):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        with self.name_scope():
            self.first = rnn.LSTM(LSTM_FIRST, layout="TNC", input_size=FEATURES)
            self.second = rnn.LSTM(LSTM_SECOND, layout="TNC", input_size=LSTM_FIRST)
            self.classes = nn.Dense(CLASSES)

    def hybrid_forward(self, F, x):  # noqa: N803
        """(n, sequence, features) -> (n, classes)."""
        x = self.second(self.first(F.transpose(x, (1, 0, 2))))
        return self.classes(F.squeeze(F.slice_axis(x, axis=0, begin=-1, end=None), axis=0))


def _mlp() -> nn.HybridBlock:
    net = nn.HybridSequential()
    net.add(nn.Dense(FIRST, activation="relu"), nn.Dense(SECOND, activation="relu"), nn.Dense(CLASSES))
    return net


BUILDERS = {
    "cnn": (Cnn, (COLOURS, IMAGE, IMAGE)),
    "mlp": (_mlp, (FEATURES,)),
    "transformer": (Transformer, (SEQUENCE, FEATURES)),
    "lstm": (Lstm, (SEQUENCE, FEATURES)),
}


def _conv(inside: int, outside: int) -> nn.Conv2D:
    return nn.Conv2D(outside, 3, padding=1, use_bias=False, in_channels=inside)


def _dense(width: int) -> nn.Dense:
    return nn.Dense(width, flatten=False)


def _liven(block: nn.HybridBlock) -> None:
    """Random norms, as after training."""
    for name, parameter in block.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
        elif name.endswith(("beta", "running_mean")):
            parameter.set_data(mx.nd.random.normal(0, 0.2, parameter.shape))


def export(name: str) -> None:
    """Write one network."""
    build, shape = BUILDERS[name]
    mx.random.seed(NETWORKS.index(name))
    block = build()
    block.initialize(mx.init.Xavier())
    block.hybridize()
    block(mx.nd.random.normal(shape=(BATCH, *shape)))
    _liven(block)
    onnx.checker.check_graph = lambda graph: None  # checked below, with the right opset
    with tempfile.TemporaryDirectory() as folder:
        block.export(f"{folder}/net")
        exporter.export_model(
            f"{folder}/net-symbol.json",
            f"{folder}/net-0000.params",
            [(BATCH, *shape)],
            "float32",
            f"{folder}/net.onnx",
        )
        model = onnx.load(f"{folder}/net.onnx")
    # It writes operators of opset 13 but declares the newest one that the installed onnx knows.
    model.opset_import[0].version = OPSET
    onnx.checker.check_model(model)
    onnx.save(model, str(OUT / f"{name}.mxnet.onnx"))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for network in sys.argv[1:] or NETWORKS:
        export(network)
