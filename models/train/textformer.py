"""Causal byte model of Python source: rotary positions, grouped queries, RMS norm, gated MLP, tied ends."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import sources
from .common import Batch, Recipe, Signature, prepare, publish, train

RECIPE = Recipe("textformer", "source", steps=1100)
WIDTH, HEADS, KEYS, HIDDEN, DEPTH, BYTES = 96, 6, 3, 256, 3, 128
HEAD = WIDTH // HEADS
SIZE = 16  # windows in a batch


class Norm(nn.Module):
    """Divide by the root of the mean square, then scale each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, t, WIDTH) to the same shape."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the two halves of each head's channels (n, h, t, HEAD) by the angle of its position (t, HEAD)."""
    first, second = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    return x * cosine + torch.cat([-second, first], -1) * sine


class Attention(nn.Module):
    """Causal attention; HEADS / KEYS query heads share a key and a value head."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.key, self.value = (nn.Linear(WIDTH, KEYS * HEAD, bias=False) for _ in range(2))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Map (n, t, WIDTH) to the same shape."""
        n, t, _ = x.shape
        query, key, value = (
            layer(x).view(n, t, -1, HEAD).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        key, value = (
            part[:, :, None].expand(-1, -1, HEADS // KEYS, -1, -1).reshape(n, HEADS, t, HEAD)
            for part in (key, value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(n, t, WIDTH))


class Block(nn.Module):
    """Attention, then a gated MLP, each behind a norm and beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = Norm(), Attention(), Norm()
        self.gate, self.up = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Map (n, t, WIDTH) to the same shape."""
        x = x + self.attention(self.norm1(x), cosine, sine)
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Textformer(nn.Module):
    """Bytes (n, t) to the next byte's logits (n, t, BYTES)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BYTES, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.06)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(DEPTH)), Norm()
        speed = 10000 ** -(torch.arange(0, HEAD, 2) / HEAD)
        self.register_buffer("speed", speed.repeat(2)[None], persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits; the embedding is the output layer too."""
        angle = torch.arange(tokens.shape[1])[:, None] * self.speed
        cosine, sine = angle.cos(), angle.sin()
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cosine, sine)
        return self.norm(x) @ self.embedding.weight.T


def endless(text: Tensor) -> Iterator[Batch]:
    """Yield random windows' bytes (n, 256) and the byte after each (n, 256)."""
    while True:
        starts = torch.randint(len(text) - sources.WINDOW, (SIZE,))
        rows = text[starts[:, None] + torch.arange(sources.WINDOW)].long()
        yield rows[:, :-1], rows[:, 1:]


def main() -> None:
    """Train, export and measure."""
    prepare()
    text, _ = sources.source_text()
    data = endless(torch.from_numpy(text.copy()))
    model = Textformer()
    train(
        model, data, RECIPE, lambda out, truth: functional.cross_entropy(out.flatten(0, 1), truth.flatten())
    )
    axes = {0: "batch", 1: "sequence"}
    example = next(data)[0][:2, :96]
    publish(model, Signature(example, "bytes", "logits", axes, axes, dynamo=True), RECIPE)


if __name__ == "__main__":
    main()
