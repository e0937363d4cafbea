"""DenseNet-like CNN: a layer reads the concatenation of all before it, and norms before it convolves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.evaluate import images  # noqa: TID251  (this is models/ itself)

from . import sources
from .common import Recipe, Signature, batches, flip_and_shift, prepare, publish, train

RECIPE = Recipe("densenet", "fashion", steps=1500)
GROWTH, BOTTLENECK = 16, 64


def pre(inside: int, out: int, kernel: int) -> nn.Sequential:
    """Return batch norm, ReLU and convolution, in this order: the norm cannot be folded away."""
    conv = nn.Conv2d(inside, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(), conv)


class Dense(nn.Module):
    """`layers` layers, each of which appends GROWTH channels."""

    def __init__(self, inside: int, layers: int) -> None:
        super().__init__()
        widths = [inside + GROWTH * number for number in range(layers)]
        self.layers = nn.ModuleList(
            nn.Sequential(pre(w, BOTTLENECK, 1), pre(BOTTLENECK, GROWTH, 3)) for w in widths
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inside, h, w) to (n, inside + layers * GROWTH, h, w)."""
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return torch.cat(parts, 1)


def build() -> nn.Sequential:
    """Return the untrained network: (n, 1, 28, 28) to (n, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1, bias=False),
        Dense(32, 3), pre(80, 48, 1), nn.AvgPool2d(2),
        Dense(48, 6), pre(144, 80, 1), nn.AvgPool2d(2),
        Dense(80, 4), nn.BatchNorm2d(144), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(144, 10),
    )  # fmt: skip


def main() -> None:
    """Train, export and measure."""
    prepare()
    raw, labels = sources.fashion("train")
    model = build()
    data = batches(torch.from_numpy(images(raw)), torch.from_numpy(labels), 128, flip_and_shift)
    train(model, data, RECIPE, nn.CrossEntropyLoss(label_smoothing=0.05))
    example = torch.from_numpy(images(raw[:2]))
    publish(model, Signature(example, "image", "logits", {0: "batch"}, {0: "batch"}, dynamo=False), RECIPE)


if __name__ == "__main__":
    main()
