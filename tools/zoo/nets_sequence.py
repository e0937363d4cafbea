"""Small networks over vectors, sequences and sets, each with one structure that pruners stumble over."""

# ruff: noqa: D102 (a class docstring here says what its forward computes)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)


class Mlp(nn.Module):
    """Three layers with BatchNorm1d and a tied pair: one weight used as W and as its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.tied = nn.Linear(20, 48), nn.BatchNorm1d(48), nn.Linear(48, 32)
        self.head = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm(self.one(x)))
        code = torch.tanh(self.tied(x))
        return self.head(x + F.linear(code, self.tied.weight.t()))


class Encoder(nn.Module):
    """nn.TransformerEncoder over embeddings, with a key padding mask left out."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(99, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True, norm_first=norm_first)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 7)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(ids)))


class CrossAttention(nn.Module):
    """nn.Transformer: encoder, decoder with cross-attention, sequence first."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Transformer(32, 4, 1, 1, 64, 0.0, activation="gelu")

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.body(source, target)


class Recurrent(nn.Module):
    """An embedding, one of torch's recurrent layers and a head on every step."""

    def __init__(self, kind: type[nn.RNNBase], layers: int, both: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(99, 32)
        self.body = kind(32, 48, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(96 if both else 48, 11)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(ids))[0])


class StatefulGru(nn.Module):
    """State in, state out: hidden sizes that reach the signature."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.body, self.head = (
            nn.Linear(16, 24),
            nn.GRU(24, 32, 1, batch_first=True),
            nn.Linear(32, 4),
        )

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        out, state = self.body(F.relu(self.inner(features)), state)
        return self.head(out), state


class Crnn(nn.Module):
    """Convolutions folded into a sequence for a bidirectional LSTM, as in text recognition."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.two = nn.Sequential(
            nn.Conv2d(16, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.body = nn.LSTM(24 * 4, 32, 1, bidirectional=True)
        self.head = nn.Linear(64, 20)

    def forward(self, image: Tensor) -> Tensor:
        x = self.two(self.one(image))
        x = x.flatten(1, 2).permute(2, 0, 1)
        return self.head(self.body(x)[0])


class Seq2Seq(nn.Module):
    """LSTM encoder and decoder with dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(99, 24)
        self.encoder, self.decoder = nn.LSTM(24, 32, batch_first=True), nn.LSTM(24, 32, batch_first=True)
        self.head = nn.Linear(64, 99)

    def forward(self, ids: Tensor, decoder_ids: Tensor) -> Tensor:
        memory, state = self.encoder(self.embedding(ids))
        out, _ = self.decoder(self.embedding(decoder_ids), state)
        weight = torch.softmax(out @ memory.transpose(1, 2), -1)
        return self.head(torch.cat([out, weight @ memory], -1))


class TemporalConv(nn.Module):
    """Dilated causal 1-D convolutions with weight normalisation and residuals."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        widths = ((4, 24), (24, 24), (24, 32))
        self.convs = nn.ModuleList(norm(nn.Conv1d(i, o, 3, dilation=2**n)) for n, (i, o) in enumerate(widths))
        self.skips = nn.ModuleList(nn.Conv1d(i, o, 1) for i, o in widths)
        self.head = nn.Linear(32, 6)

    def forward(self, signal: Tensor) -> Tensor:
        x = signal
        for n, (conv, skip) in enumerate(zip(self.convs, self.skips, strict=True)):
            x = F.relu(conv(F.pad(x, (2 * 2**n, 0)))) + skip(x)
        return self.head(x[:, :, -1])


class WaveNet(nn.Module):
    """Gated 1-D convolutions: tanh times sigmoid, residual and summed skip paths."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.gates = nn.ModuleList(
            nn.Conv1d(width, 2 * width, 3, padding=2**n, dilation=2**n) for n in range(3)
        )
        self.outs = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(3))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(width, 32, 1), nn.ReLU(), nn.Conv1d(32, 8, 1))

    def forward(self, signal: Tensor) -> Tensor:
        x, total = self.stem(signal), torch.zeros(())
        for gate, out in zip(self.gates, self.outs, strict=True):
            left, right = gate(x).chunk(2, 1)
            residual, skip = out(torch.tanh(left) * torch.sigmoid(right)).chunk(2, 1)
            x, total = x + residual, total + skip
        return self.head(total)


class SelfAttention(nn.Module):
    """Three spellings of attention: einsum, linear (elu + 1) and fused QKV with rotary halves."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.heads, self.size = kind, 4, 8
        self.embedding = nn.Embedding(99, 32)
        self.norm, self.qkv, self.project = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.gate, self.down, self.head = nn.Linear(32, 128), nn.Linear(64, 32), nn.Linear(32, 5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, self.size).unbind(2)
        mixed = getattr(self, f"_{self.kind}")(q, k, v)
        x = x + self.project(mixed.reshape(batch, length, self.heads * self.size))
        left, right = self.gate(x).chunk(2, -1)
        return self.head(x + self.down(F.silu(left) * right))

    def _einsum(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weight = torch.softmax(torch.einsum("blhd,bmhd->bhlm", q, k) * self.size**-0.5, -1)
        return torch.einsum("bhlm,bmhd->blhd", weight, v)

    def _linear(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        memory = torch.einsum("blhd,blhe->bhde", k, v)
        total = torch.einsum("blhd,bhd->blh", q, k.sum(1))
        return torch.einsum("blhd,bhde->blhe", q, memory) / total[..., None]

    def _rotary(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        angle = torch.arange(q.shape[1])[:, None] * 10000 ** (-torch.arange(4) / 4)
        cos, sin = (f(torch.cat([angle, angle], -1))[:, None] for f in (torch.cos, torch.sin))
        q, k = (x * cos + torch.cat([-x[..., 4:], x[..., :4]], -1) * sin for x in (q, k))
        return self._einsum(q, k, v)


class Mixture(nn.Module):
    """A dense mixture of experts: stacked weights, soft routing by the two best."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(24, experts)
        self.up = nn.Parameter(torch.randn(experts, 24, 40) * 0.2)
        self.down = nn.Parameter(torch.randn(experts, 40, 24) * 0.2)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        score = torch.softmax(self.router(x), -1)
        best, which = score.topk(2, -1)
        gate = torch.zeros_like(score).scatter(-1, which, best / best.sum(-1, keepdim=True))
        hidden = F.gelu(torch.einsum("bi,eih->beh", x, self.up))
        mixed = torch.einsum("beh,eho,be->bo", hidden, self.down, gate)
        return self.head(x + mixed)


class Ranking(nn.Module):
    """DLRM: embedding tables, a bottom MLP and pairwise dot products of which the lower triangle is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 16) for n in (50, 30, 20))
        self.bottom = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(16 + 6, 32), nn.ReLU(), nn.Linear(32, 1))
        rows, columns = torch.tril_indices(4, 4, -1)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, dense: Tensor, categories: Tensor) -> Tensor:
        bottom = self.bottom(dense)
        looked = [table(categories[:, n]) for n, table in enumerate(self.tables)]
        stacked = torch.stack([bottom, *looked], 1)
        products = stacked @ stacked.transpose(1, 2)
        return self.top(torch.cat([bottom, products[:, self.rows, self.columns]], 1))


class PointNet(nn.Module):
    """Shared 1-D convolutions, a learned alignment matrix and a maximum over points."""

    def __init__(self) -> None:
        super().__init__()
        self.align = nn.Sequential(nn.Conv1d(3, 24, 1), nn.BatchNorm1d(24), nn.ReLU())
        self.matrix = nn.Linear(24, 9)
        self.one = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU())
        self.two = nn.Sequential(nn.Conv1d(64, 48, 1), nn.BatchNorm1d(48), nn.ReLU())
        self.head = nn.Linear(48, 6)

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.matrix(self.align(points).amax(2)).view(-1, 3, 3)
        x = self.one(matrix @ points)
        x = torch.cat([x, x.amax(2, keepdim=True).expand(-1, -1, x.shape[2])], 1)
        return self.head(self.two(x).amax(2))


class GraphConv(nn.Module):
    """Two graph convolutions and one graph attention over a dense adjacency matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 24), nn.Linear(24, 24)
        self.source, self.target = nn.Linear(24, 1), nn.Linear(24, 1)
        self.head = nn.Linear(24, 4)

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        degree = adjacency.sum(-1, keepdim=True) + 1
        x = F.relu(adjacency @ self.one(features) / degree)
        x = F.relu(adjacency @ self.two(x) / degree) + x
        weight = F.leaky_relu(self.source(x) + self.target(x).transpose(1, 2), 0.2)
        return self.head(torch.softmax(weight, -1) @ x)


class Branching(nn.Module):
    """An If whose two branches are layers with weights of their own and of the outside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Linear(12, 32), nn.Linear(32, 24), nn.Linear(32, 24)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        mixed = torch.cond(x.sum() > 0, lambda v: self.left(v), lambda v: torch.tanh(self.right(v)), (x,))
        return self.head(mixed)


@torch.jit.script
def _repeat(x: Tensor, into: Tensor, out: Tensor, like: Tensor) -> Tensor:
    """Apply one residual layer once for each step of `like`; scripted, so that tracing leaves a Loop."""
    for _ in range(like.shape[1]):
        x = x + torch.tanh(x @ into) @ out
    return x


class Looping(nn.Module):
    """A Loop whose trip count is the length of the sequence and whose weights come from outside its body."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, 24), nn.Linear(24, 4)
        self.into, self.out = nn.Parameter(torch.randn(24, 40) * 0.2), nn.Parameter(torch.randn(40, 24) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(_repeat(self.stem(x[:, 0]), self.into, self.out, x))
