"""Small networks whose weights take unusual ways: messages, capsules, codebooks, weights made by weights."""

# ruff: noqa: D102 (a class docstring here says what its forward computes)

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)


class Messages(nn.Module):
    """Two rounds of messages along a list of edges, gathered at both ends and summed up by ScatterAdd."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 24))
        self.update, self.second, self.head = nn.Linear(32, 32), nn.Linear(64, 40), nn.Linear(72, 5)

    def _received(self, x: Tensor, edges: Tensor, message: Callable[[Tensor], Tensor], width: int) -> Tensor:
        sent = message(torch.cat([x[edges[0]], x[edges[1]]], -1))
        empty = torch.zeros(x.shape[0], width, dtype=x.dtype)
        return empty.scatter_add(0, edges[1][:, None].expand(-1, width), sent)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = F.relu(self.update(torch.cat([x, self._received(x, edges, self.first, 24)], -1)))
        return self.head(torch.cat([h, self._received(h, edges, self.second, 40)], -1))


class Capsules(nn.Module):
    """Primary capsules, squashed by their length, and two rounds of routing by agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.primary = nn.Conv2d(1, 32, 9), nn.Conv2d(32, 64, 9, 2)
        self.votes = nn.Parameter(0.1 * torch.randn(1, 288, 10, 16, 8))
        self.hidden, self.head = nn.Linear(160, 64), nn.Linear(64, 10)

    @staticmethod
    def _squash(x: Tensor) -> Tensor:
        length = (x**2).sum(-1, keepdim=True)
        return length / (1 + length) * x / (length + 1e-8).sqrt()

    def forward(self, image: Tensor) -> Tensor:
        batch = image.shape[0]
        x = self.primary(F.relu(self.stem(image))).view(batch, 8, 8, 36)
        x = self._squash(x.permute(0, 1, 3, 2).reshape(batch, 288, 8))
        votes = (self.votes @ x[:, :, None, :, None]).squeeze(-1)
        trust = torch.zeros(batch, 288, 10, 1, dtype=x.dtype)
        found = votes
        for _ in range(2):
            found = self._squash((trust.softmax(2) * votes).sum(1, keepdim=True))
            trust = trust + (votes * found).sum(-1, keepdim=True)
        return self.head(F.relu(self.hidden(found.reshape(batch, 160))))


class TokenGate(nn.Module):
    """gMLP: half of the neurons gate the other half after a convolution of width one over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.up = nn.Linear(6, 16), nn.LayerNorm(16), nn.Linear(16, 64)
        self.mix, self.down, self.head = nn.Conv1d(12, 12, 1), nn.Linear(32, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        value, gate = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        return self.head((x + self.down(value * self.mix(gate))).mean(1))


class FourierOperator(nn.Module):
    """A spectral convolution: real and imaginary parts by matrices of sines, complex weights by Einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.skip = nn.Conv1d(3, 16, 1), nn.Conv1d(16, 16, 1)
        self.real, self.imaginary = (nn.Parameter(0.1 * torch.randn(16, 16, 9)) for _ in range(2))
        self.head = nn.Sequential(nn.Conv1d(16, 32, 1), nn.GELU(), nn.Conv1d(32, 2, 1))
        angle = 2 * math.pi / 32 * torch.arange(9)[:, None] * torch.arange(32)[None]
        self.register_buffer("cosine", torch.cos(angle))
        self.register_buffer("sine", torch.sin(angle))

    def forward(self, signal: Tensor) -> Tensor:
        x = self.lift(signal)
        real, imaginary = x @ self.cosine.T, x @ self.sine.T
        rule = "bik,iok->bok"
        out_real = torch.einsum(rule, real, self.real) - torch.einsum(rule, imaginary, self.imaginary)
        out_imaginary = torch.einsum(rule, real, self.imaginary) + torch.einsum(rule, imaginary, self.real)
        return self.head(F.gelu(out_real @ self.cosine + out_imaginary @ self.sine + self.skip(x)))


class Hyper(nn.Module):
    """A network that makes the weights of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 96))
        self.shift, self.head = nn.Linear(6, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        made = self.maker(task).view(-1, 12, 8)
        return self.head(F.relu(torch.bmm(made, x[..., None]).squeeze(-1) + self.shift(task)))


class Attended(nn.Module):
    """Attention to channels and to places: by means, by largest values, by a convolution over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 24, 3, padding=1)
        self.shared = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32))
        self.places, self.tail = nn.Conv2d(2, 1, 7, padding=3), nn.Conv2d(24, 16, 3, padding=1)
        self.near, self.head = nn.Conv1d(1, 1, 3, padding=1), nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        x = x * torch.sigmoid(self.shared(x.mean((2, 3))) + self.shared(x.amax((2, 3))))[..., None, None]
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        x = F.relu(self.body(x * torch.sigmoid(self.places(seen))))
        x = F.relu(self.tail(x))
        x = x * torch.sigmoid(self.near(x.mean((2, 3))[:, None])).transpose(1, 2)[..., None]
        return self.head(x.mean((2, 3)))


class Aligned(nn.Module):
    """An encoder, and a decoder of GRU cells that attends to it by a sum and a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(6, 24, batch_first=True, bidirectional=True)
        self.cell, self.start, self.head = nn.GRUCell(54, 32), nn.Linear(48, 32), nn.Linear(80, 7)
        self.query, self.key, self.score = nn.Linear(32, 20), nn.Linear(48, 20), nn.Linear(20, 1)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory = self.encoder(source)[0]
        state, keys, found = torch.tanh(self.start(memory.mean(1))), self.key(memory), []
        for step in range(5):
            share = self.score(torch.tanh(self.query(state)[:, None] + keys)).softmax(1)
            seen = (share * memory).sum(1)
            state = self.cell(torch.cat([target[:, step], seen], -1), state)
            found.append(self.head(torch.cat([state, seen], -1)))
        return torch.stack(found, 1)


class Heads(nn.Module):
    """Pictures and numbers in; a class, a map, a mean and a spread out."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.meta, self.hidden, self.kind = nn.Linear(5, 32), nn.Linear(32, 24), nn.Linear(24, 4)
        self.before, self.map = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 2, 1)
        self.middle, self.mean, self.spread = nn.Linear(32, 12), nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, image: Tensor, meta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = F.relu(self.two(F.relu(self.one(image)))) + self.meta(meta)[..., None, None]
        flat = x.mean((2, 3))
        kind = self.kind(F.relu(self.hidden(flat))).softmax(-1)
        where = F.interpolate(self.map(F.relu(self.before(x))), scale_factor=4.0, mode="bilinear")
        middle = F.relu(self.middle(flat))
        return kind, where, self.mean(middle), F.softplus(self.spread(middle))


class Modulated(nn.Module):
    """A generator from a constant: a style scales what goes into a convolution, and what comes out back."""

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2))
        self.start, self.scale = nn.Parameter(torch.randn(1, 24, 8, 8)), nn.Linear(32, 24)
        self.weight = nn.Parameter(0.1 * torch.randn(20, 24, 3, 3))
        self.film, self.body, self.head = (
            nn.Linear(32, 40),
            nn.Conv2d(20, 20, 3, padding=1),
            nn.Conv2d(20, 3, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        style = self.style(latent)
        scale = self.scale(style)
        x = F.conv2d(self.start * scale[..., None, None], self.weight, padding=1)
        made = (self.weight[None] * scale[:, None, :, None, None]) ** 2
        x = F.leaky_relu(x * torch.rsqrt(made.sum((2, 3, 4)) + 1e-8)[..., None, None], 0.2)
        gain, shift = self.film(style)[..., None, None].chunk(2, 1)
        return self.head(F.relu(self.body(x) * (1 + gain) + shift))


class Codebook(nn.Module):
    """An autoencoder whose middle is replaced by the nearest row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, 8, 1))
        self.table = nn.Embedding(16, 8)
        self.decoder = nn.Sequential(
            nn.Conv2d(8, 24, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(24, 3, 4, 2, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.encoder(image).permute(0, 2, 3, 1)
        flat, rows = x.reshape(-1, 8), self.table.weight
        far = (flat**2).sum(1, keepdim=True) - 2 * flat @ rows.T + (rows**2).sum(1)
        return self.decoder(self.table(far.argmin(1)).view(x.shape).permute(0, 3, 1, 2))


class Flow(nn.Module):
    """Affine couplings with a fixed permutation between them; the determinant goes out as well."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 8)) for _ in range(3)
        )
        self.register_buffer("order", torch.randperm(8))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for part in self.parts:
            kept, moved = x.chunk(2, -1)
            shift, scale = part(kept).chunk(2, -1)
            scale = torch.tanh(scale)
            x = torch.cat([kept, moved * scale.exp() + shift], -1)[:, self.order]
            total = total + scale.sum(-1)
        return x, total


class Involution(nn.Module):
    """Kernels made from what they are applied to, one for each place and group of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.kernel = (
            nn.Conv2d(3, 32, 3, padding=1),
            nn.Conv2d(32, 8, 1),
            nn.Conv2d(8, 36, 1),
        )
        self.head = nn.Linear(32, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        kernel = self.kernel(F.relu(self.squeeze(x))).view(-1, 4, 1, 9, 16, 16)
        patches = F.unfold(x, 3, padding=1).view(-1, 4, 8, 9, 16, 16)
        return self.head((kernel * patches).sum(3).view(-1, 32, 16, 16).mean((2, 3)))


class Octaves(nn.Module):
    """Channels at two resolutions that go over into each other."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.stay, self.sink = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.rise, self.rest = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(24, 5)

    def forward(self, image: Tensor) -> Tensor:
        high, low = F.relu(self.high(image)), F.relu(self.low(F.avg_pool2d(image, 2)))
        above = F.relu(self.stay(high) + F.interpolate(self.rise(low), scale_factor=2.0))
        below = F.relu(self.rest(low) + self.sink(F.avg_pool2d(high, 2)))
        return self.head(torch.cat([above.mean((2, 3)), below.mean((2, 3))], 1))


class ConvLstm(nn.Module):
    """A recurrence of convolutions, written out over three frames."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Conv2d(14, 48, 3, padding=1), nn.Conv2d(12, 1, 1)

    def forward(self, frames: Tensor) -> Tensor:
        state = memory = torch.zeros(frames.shape[0], 12, 8, 8, dtype=frames.dtype)
        for step in range(3):
            come, stay, new, out = self.gates(torch.cat([frames[:, step], state], 1)).chunk(4, 1)
            memory = stay.sigmoid() * memory + come.sigmoid() * new.tanh()
            state = out.sigmoid() * memory.tanh()
        return self.head(state)


class Residuals(nn.Module):
    """NetVLAD: distances to learned centres, weighed by shares, and a head of normalised weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shares = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 6, 1)
        self.centres, self.classes = nn.Parameter(torch.randn(6, 16)), nn.Parameter(torch.randn(5, 10))
        self.hidden, self.code, self.gate = nn.Linear(96, 24), nn.Linear(24, 10), nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        share = self.shares(x).flatten(2).softmax(1)
        found = torch.einsum("bkn,bcn->bkc", share, x.flatten(2)) - share.sum(-1)[..., None] * self.centres
        code = self.code(F.relu(self.hidden(F.normalize(found, dim=2).flatten(1)))) * self.gate(
            x.mean((2, 3))
        )
        return F.linear(F.normalize(code), F.normalize(self.classes))
