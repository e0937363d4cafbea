"""Exports the networks of `sizes` from PaddlePaddle by paddle2onnx.

python models/frameworks/export_paddle.py [NETWORK ...]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F  # noqa: N812  (everybody's name for it)
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
OPSET = 17


class Cnn(nn.Layer):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = _conv(COLOURS, STEM), nn.BatchNorm2D(STEM)
        self.first, self.first_norm = _conv(STEM, STEM), nn.BatchNorm2D(STEM)
        self.second, self.second_norm = _conv(STEM, STEM), nn.BatchNorm2D(STEM)
        self.wide, self.wide_norm = _conv(STEM, WIDE), nn.BatchNorm2D(WIDE)
        self.hidden, self.classes = nn.Linear(FLAT, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, colours, image, image) -> (n, classes)."""
        x = F.relu(self.stem_norm(self.stem(x)))
        inner = F.relu(self.first_norm(self.first(x)))
        x = F.relu(x + self.second_norm(self.second(inner)))
        x = F.max_pool2d(F.relu(self.wide_norm(self.wide(x))), POOL)
        return self.classes(F.relu(self.hidden(paddle.flatten(x, 1))))


class Mlp(nn.Layer):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, FIRST), nn.Linear(FIRST, SECOND)
        self.classes = nn.Linear(SECOND, CLASSES)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, features) -> (n, classes)."""
        return self.classes(F.relu(self.second(F.relu(self.first(x)))))


class Transformer(nn.Layer):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        inner = HEADS * HEAD
        self.start = nn.Linear(FEATURES, WIDTH)
        self.norms = nn.LayerList([nn.LayerNorm(WIDTH) for _ in range(3)])
        self.queries, self.keys = nn.Linear(WIDTH, inner), nn.Linear(WIDTH, inner)
        self.values, self.join = nn.Linear(WIDTH, inner), nn.Linear(inner, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, FORWARD), nn.Linear(FORWARD, WIDTH)
        self.classes = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, sequence, features) -> (n, classes)."""
        x = self.start(x)
        y = self.norms[0](x)
        q, k, v = (
            part(y).reshape([0, 0, HEADS, HEAD]).transpose([0, 2, 1, 3])
            for part in (self.queries, self.keys, self.values)
        )
        weights = F.softmax(paddle.matmul(q * HEAD**-0.5, k, transpose_y=True), -1)
        mixed = paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape([0, 0, HEADS * HEAD])
        x = x + self.join(mixed)
        x = x + self.down(F.gelu(self.up(self.norms[1](x))))
        return self.classes(self.norms[2](x).mean(1))


class Lstm(nn.Layer):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(FEATURES, LSTM_FIRST), nn.LSTM(LSTM_FIRST, LSTM_SECOND)
        self.classes = nn.Linear(LSTM_SECOND, CLASSES)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, sequence, features) -> (n, classes)."""
        x, _ = self.first(x)
        x, _ = self.second(x)
        return self.classes(x[:, -1])


BUILDERS: dict[str, tuple[Callable[[], nn.Layer], tuple[int, ...]]] = {
    "cnn": (Cnn, (COLOURS, IMAGE, IMAGE)),
    "mlp": (Mlp, (FEATURES,)),
    "transformer": (Transformer, (SEQUENCE, FEATURES)),
    "lstm": (Lstm, (SEQUENCE, FEATURES)),
}


def _conv(inside: int, outside: int) -> nn.Conv2D:
    return nn.Conv2D(inside, outside, 3, padding=1, bias_attr=False)


def _liven(layer: nn.Layer) -> None:
    """Random norms, as after training."""
    draw = np.random.default_rng(0)
    for part in layer.sublayers():
        if isinstance(part, nn.BatchNorm2D | nn.LayerNorm):
            width = part.weight.shape
            part.weight.set_value(draw.uniform(0.5, 1.5, width).astype(np.float32))
            part.bias.set_value(draw.normal(0, 0.2, width).astype(np.float32))
        if isinstance(part, nn.BatchNorm2D):
            part._mean.set_value(draw.normal(0, 0.2, width).astype(np.float32))
            part._variance.set_value(draw.uniform(0.5, 1.5, width).astype(np.float32))


def export(name: str) -> None:
    """Write one network."""
    build, shape = BUILDERS[name]
    paddle.seed(NETWORKS.index(name))
    layer = build()
    _liven(layer)
    layer.eval()
    with tempfile.TemporaryDirectory() as folder:  # the exporter leaves files of its own there
        spec = [paddle.static.InputSpec([None, *shape], "float32", "x")]
        paddle.onnx.export(layer, f"{folder}/net", input_spec=spec, opset_version=OPSET)
        (OUT / f"{name}.paddle.onnx").write_bytes(Path(folder, "net.onnx").read_bytes())


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for network in sys.argv[1:] or NETWORKS:
        export(network)
