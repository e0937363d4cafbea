"""Residual CNN with squeeze-and-excite: plain residual blocks, then inverted bottlenecks (depthwise)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.evaluate import images  # noqa: TID251  (this is models/ itself)

from . import sources
from .common import Recipe, Signature, batches, flip_and_shift, prepare, publish, train

RECIPE = Recipe("resnet_se", "fashion", steps=2000)


def unit(inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return convolution and batch norm, without activation."""
    conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from all channels' means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        gate = self.up(functional.relu(self.down(x.mean((2, 3), keepdim=True))))
        return x * functional.hardsigmoid(gate)


class Plain(nn.Module):
    """Two 3x3 convolutions beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = unit(width, width, 3), unit(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        return functional.relu(x + self.two(functional.relu(self.one(x))))


class Inverted(nn.Module):
    """Widen, filter each channel alone, gate, narrow; a skip where the shape stays."""

    def __init__(self, inside: int, out: int, stride: int = 1, widen: int = 4) -> None:
        super().__init__()
        middle = inside * widen
        self.widen, self.depthwise = unit(inside, middle, 1), unit(middle, middle, 3, stride, middle)
        self.gate, self.narrow = SqueezeExcite(middle), unit(middle, out, 1)
        self.skip = inside == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inside, h, w) to (n, out, h / stride, w / stride)."""
        y = functional.hardswish(self.widen(x))
        y = self.narrow(self.gate(functional.hardswish(self.depthwise(y))))
        return x + y if self.skip else y


def build() -> nn.Sequential:
    """Return the untrained network: (n, 1, 28, 28) to (n, 10)."""
    return nn.Sequential(
        unit(1, 32, 3, 2), nn.ReLU(), Plain(32), Plain(32),
        Inverted(32, 56, 2), Inverted(56, 56), Inverted(56, 56), Plain(56),
        unit(56, 128, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def main() -> None:
    """Train, export and measure."""
    prepare()
    raw, labels = sources.fashion("train")
    model = build()
    data = batches(torch.from_numpy(images(raw)), torch.from_numpy(labels), 128, flip_and_shift)
    train(model, data, RECIPE, nn.CrossEntropyLoss(label_smoothing=0.05))
    example = torch.from_numpy(images(raw[:2]))
    publish(model, Signature(example, "image", "logits", {0: "batch"}, {0: "batch"}, dynamo=True), RECIPE)


if __name__ == "__main__":
    main()
