"""Networks for sequences, of other families than the bundled ones, small enough to be trained in a minute."""

from __future__ import annotations

import torch
from nets_image import conv_bn
from tasks import KINDS, PACKAGES
from torch import Tensor, nn
from torch.nn import functional

BYTES, WORDS = 128, 1024


class Encoder(nn.Module):
    """BERT in small: normalisation after each part, learned positions, a mask of what is read."""

    def __init__(self, width: int = 64, heads: int = 4, depth: int = 2, length: int = 32) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(length, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads) for _ in range(depth))
        self.pool, self.last = nn.Linear(width, width), nn.Linear(width, PACKAGES)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map ids and mask (n, t) to logits (n, classes) by the mean of what is read."""
        x = self.norm(self.words(tokens) + self.places(torch.arange(tokens.shape[1])))
        hidden = (1.0 - mask[:, None, None, :].float()) * -1e4
        for block in self.blocks:
            x = block(x, hidden)
        seen = mask[:, :, None].float()
        mean = (x * seen).sum(1) / seen.sum(1)
        return self.last(torch.tanh(self.pool(mean)))


class EncoderBlock(nn.Module):
    """Attention and a perceptron, each added to what came in and normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2, self.drop = nn.LayerNorm(width), nn.LayerNorm(width), nn.Dropout(0.1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Map (n, t, width) to the same shape."""
        n, t, _ = x.shape
        query, key, value = (
            layer(x).view(n, t, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = (query @ key.transpose(-1, -2) / self.size**0.5 + hidden).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.drop(self.out(mixed)))
        return self.norm2(x + self.drop(self.down(functional.gelu(self.up(x)))))


class DecoderBlock(nn.Module):
    """GPT-2's block: normalisation first, one projection for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, t, width) to the same shape."""
        n, t, _ = x.shape
        parts = self.joint(self.norm1(x)).chunk(3, dim=2)
        query, key, value = (p.view(n, t, self.heads, -1).transpose(1, 2) for p in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Decoder(nn.Module):
    """GPT-2 in small: learned positions, the embedding is the output layer too."""

    def __init__(self, width: int = 64, heads: int = 4, depth: int = 2, length: int = 128) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(BYTES, width), nn.Embedding(length, width)
        nn.init.normal_(self.bytes.weight, std=0.05)
        nn.init.normal_(self.places.weight, std=0.02)
        self.blocks, self.norm = (
            nn.ModuleList(DecoderBlock(width, heads) for _ in range(depth)),
            nn.LayerNorm(width),
        )

    def forward(self, given: Tensor) -> Tensor:
        """Map bytes (n, t) to the next byte's logits (n, t, BYTES)."""
        x = self.bytes(given) + self.places(torch.arange(given.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.bytes.weight.T


class Gru(nn.Module):
    """A GRU that reads a picture row by row and answers after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.last = nn.GRU(28, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (n, t, 28) to logits."""
        return self.last(self.gru(rows)[0][:, -1])


class Tagger(nn.Module):
    """Two LSTM layers in one direction that say of each byte what it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.lstm = nn.Embedding(BYTES, 24), nn.LSTM(24, 64, 2, batch_first=True)
        self.last = nn.Linear(64, KINDS)

    def forward(self, given: Tensor) -> Tensor:
        """Map bytes (n, t) to logits (n, t, KINDS)."""
        return self.last(self.lstm(self.bytes(given))[0])


class Dilated(nn.Module):
    """Two causal convolutions over time beside a skip."""

    def __init__(self, given: int, made: int, step: int) -> None:
        super().__init__()
        self.pad = 2 * step
        self.first = nn.Conv1d(given, made, 3, dilation=step)
        self.second = nn.Conv1d(made, made, 3, dilation=step)
        self.side = nn.Conv1d(given, made, 1) if given != made else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, given, t) to (n, made, t)."""
        y = functional.relu(self.first(functional.pad(x, (self.pad, 0))))
        y = functional.relu(self.second(functional.pad(y, (self.pad, 0))))
        return functional.relu(self.side(x) + y)


class Tcn(nn.Module):
    """A temporal convolutional network that says of each byte what it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(BYTES, 24)
        self.blocks = nn.Sequential(
            Dilated(24, 40, 1), Dilated(40, 40, 2), Dilated(40, 40, 4), Dilated(40, 40, 8)
        )
        self.last = nn.Linear(40, KINDS)

    def forward(self, given: Tensor) -> Tensor:
        """Map bytes (n, t) to logits (n, t, KINDS)."""
        return self.last(self.blocks(self.bytes(given).transpose(1, 2)).transpose(1, 2))


class Crnn(nn.Module):
    """Convolutions over a strip, an LSTM in both directions along it: a reader of digits."""

    def __init__(self) -> None:
        super().__init__()
        layers = [conv_bn(1, 16), nn.MaxPool2d(2), conv_bn(16, 32), nn.MaxPool2d((2, 1)), conv_bn(32, 48)]
        self.pictures = nn.Sequential(*layers)
        self.lstm, self.last = nn.LSTM(48 * 3, 48, batch_first=True, bidirectional=True), nn.Linear(96, 11)

    def forward(self, strip: Tensor) -> Tensor:
        """Map (n, 1, 12, w) to scores (n, w / 2, 11); the first class is a blank."""
        columns = self.pictures(strip).flatten(1, 2).transpose(1, 2)
        return self.last(self.lstm(columns)[0])
