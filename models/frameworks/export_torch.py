"""Exports the networks of `sizes` from PyTorch, by both of its exporters.

python models/frameworks/export_torch.py [NETWORK ...]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
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
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (everybody's name for it)

OUT = Path(__file__).parent
OPSETS = {"torchscript": 17, "dynamo": 20}


class Cnn(nn.Module):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = _conv(COLOURS, STEM), nn.BatchNorm2d(STEM)
        self.first, self.first_norm = _conv(STEM, STEM), nn.BatchNorm2d(STEM)
        self.second, self.second_norm = _conv(STEM, STEM), nn.BatchNorm2d(STEM)
        self.wide, self.wide_norm = _conv(STEM, WIDE), nn.BatchNorm2d(WIDE)
        self.hidden, self.classes = nn.Linear(FLAT, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(n, colours, image, image) -> (n, classes)."""
        x = F.relu(self.stem_norm(self.stem(x)))
        inner = F.relu(self.first_norm(self.first(x)))
        x = F.relu(x + self.second_norm(self.second(inner)))
        x = F.max_pool2d(F.relu(self.wide_norm(self.wide(x))), POOL)
        return self.classes(F.relu(self.hidden(torch.flatten(x, 1))))


class Mlp(nn.Module):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, FIRST), nn.Linear(FIRST, SECOND)
        self.classes = nn.Linear(SECOND, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(n, features) -> (n, classes)."""
        return self.classes(F.relu(self.second(F.relu(self.first(x)))))


class Transformer(nn.Module):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        inner = HEADS * HEAD
        self.start = nn.Linear(FEATURES, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.queries, self.keys, self.values = (nn.Linear(WIDTH, inner) for _ in range(3))
        self.join = nn.Linear(inner, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, FORWARD), nn.Linear(FORWARD, WIDTH)
        self.classes = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(n, sequence, features) -> (n, classes)."""
        x = self.start(x)
        y = self.norms[0](x)
        heads = [
            part(y).unflatten(-1, (HEADS, HEAD)).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        ]
        mixed = F.scaled_dot_product_attention(*heads)
        x = x + self.join(mixed.transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.norms[1](x))))
        return self.classes(self.norms[2](x).mean(1))


class Lstm(nn.Module):
    """See `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(FEATURES, LSTM_FIRST, batch_first=True)
        self.second = nn.LSTM(LSTM_FIRST, LSTM_SECOND, batch_first=True)
        self.classes = nn.Linear(LSTM_SECOND, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(n, sequence, features) -> (n, classes)."""
        x, _ = self.first(x)
        x, _ = self.second(x)
        return self.classes(x[:, -1])


BUILDERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "cnn": (Cnn, (COLOURS, IMAGE, IMAGE)),
    "mlp": (Mlp, (FEATURES,)),
    "transformer": (Transformer, (SEQUENCE, FEATURES)),
    "lstm": (Lstm, (SEQUENCE, FEATURES)),
}


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)


def _liven(module: nn.Module) -> None:
    """Random norms, as after training."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
        if (
            isinstance(part, nn.BatchNorm2d)
            and part.running_mean is not None
            and part.running_var is not None
        ):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)


def export(name: str, exporter: str) -> None:
    """Write one network."""
    build, shape = BUILDERS[name]
    torch.manual_seed(NETWORKS.index(name))
    module = build().eval()
    _liven(module)
    example = torch.randn(2, *shape)
    dynamo = exporter == "dynamo"
    free = {"dynamic_shapes": ({0: "batch"},)} if dynamo else {"dynamic_axes": {"x": {0: "batch"}}}
    path = OUT / f"{name}.torch-{exporter}.onnx"
    with torch.no_grad():
        torch.onnx.export(
            module,
            (example,),
            str(path),
            dynamo=dynamo,
            input_names=["x"],
            opset_version=OPSETS[exporter],
            external_data=False,
            verbose=False,
            **free,
        )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for network in sys.argv[1:] or NETWORKS:
        for which in OPSETS:
            export(network, which)
