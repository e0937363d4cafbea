"""Small vision transformer: convolutional stem, class token, fused query-key-value, layer norm first."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.evaluate import images  # noqa: TID251  (this is models/ itself)

from . import sources
from .common import Recipe, Signature, batches, flip_and_shift, prepare, publish, train

RECIPE = Recipe("vit", "fashion", steps=1800, peak_rate=2e-3)
WIDTH, HEADS, HIDDEN, DEPTH, STEM, PATCH = 96, 6, 256, 3, 32, 4


class Attention(nn.Module):
    """Multi-head self-attention with one projection for query, key and value."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, t, WIDTH) to the same shape."""
        n, t, _ = x.shape
        query, key, value = self.qkv(x).reshape(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(n, t, WIDTH))


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each behind a layer norm and beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, t, WIDTH) to the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """The network: (n, 1, 28, 28) to (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        # Two overlapping steps of two instead of one of four: small data sets are learnt in fewer steps.
        stem = nn.Conv2d(1, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        self.patches = nn.Sequential(*stem, nn.Conv2d(STEM, WIDTH, 3, 2, 1))
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, (28 // PATCH) ** 2 + 1, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1) + self.places
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def main() -> None:
    """Train, export and measure."""
    prepare()
    raw, labels = sources.fashion("train")
    model = ViT()
    data = batches(torch.from_numpy(images(raw)), torch.from_numpy(labels), 128, flip_and_shift)
    train(model, data, RECIPE, nn.CrossEntropyLoss(label_smoothing=0.05))
    example = torch.from_numpy(images(raw[:2]))
    publish(model, Signature(example, "image", "logits", {0: "batch"}, {0: "batch"}, dynamo=False), RECIPE)


if __name__ == "__main__":
    main()
