"""Small image networks, each with one structure that pruners stumble over."""

# ruff: noqa: D102 (a class docstring here says what its forward computes)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)


def block(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with BatchNorm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Module):
    """Encoder and decoder joined by concatenation; transposed convolutions on the way up."""

    def __init__(self, width: int = 24, groups: int = 1) -> None:
        super().__init__()
        self.down1, self.down2 = block(3, width), block(width, 2 * width)
        self.middle = block(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2, groups=groups)
        self.dec2 = block(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2, groups=groups)
        self.dec1 = block(2 * width, width)
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.down1(image)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.up2(self.middle(F.max_pool2d(second, 2)))
        x = self.up1(self.dec2(torch.cat([x, second], 1)))
        return self.head(self.dec1(torch.cat([x, first], 1)))


class DiffusionUNet(nn.Module):
    """GroupNorm, SiLU, spatial self-attention, nearest resizing; the step is injected as scale and shift."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.step = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, 2 * width))
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.norm2, self.qkv = nn.GroupNorm(8, 2 * width), nn.Conv2d(2 * width, 6 * width, 1)
        self.project = nn.Conv2d(2 * width, 2 * width, 1)
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.norm3, self.head = nn.GroupNorm(8, 2 * width), nn.Conv2d(2 * width, 3, 3, padding=1)

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        scale, shift = self.step(step)[:, :, None, None].chunk(2, 1)
        first = self.stem(image)
        skip = first + self.conv1(F.silu(self.norm1(first) * (1 + scale) + shift))
        x = self.down(skip)
        x = x + self.attend(self.norm2(x))
        x = self.up(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.head(F.silu(self.norm3(torch.cat([x, skip], 1))))

    def attend(self, x: Tensor) -> Tensor:
        """Attend over all places with four heads, `(batch, channels, height, width)`."""
        batch, channels, height, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, 3, 4, channels // 4, height * width).unbind(1)
        weight = torch.softmax(q.transpose(-1, -2) @ k * (channels // 4) ** -0.5, -1)
        return self.project((v @ weight.transpose(-1, -2)).reshape(batch, channels, height, width))


class SuperResolution(nn.Module):
    """Residual convolutions and two PixelShuffles."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(3)
        )
        self.up = nn.ModuleList(nn.Conv2d(width, 4 * width, 3, padding=1) for _ in range(2))
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for layer in self.body:
            x = x + layer(x)
        for layer in self.up:
            x = F.relu(F.pixel_shuffle(layer(x), 2))
        return self.head(x)


class Unshuffle(nn.Module):
    """PixelUnshuffle of features (not only of the image) between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = block(3, 12), block(48, 24), nn.Linear(24, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.two(F.pixel_unshuffle(self.one(image), 2))
        return self.head(x.mean((2, 3)))


class PaddedShortcut(nn.Module):
    """CIFAR ResNet whose shortcut A strides and pads channels with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 16)
        self.stages = nn.ModuleList(_PadBlock(i, o) for i, o in ((16, 16), (16, 32), (32, 32), (32, 64)))
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


class _PadBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grow = (outputs - inputs) // 2
        self.one = block(inputs, outputs, 2 if self.grow else 1)
        self.two = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow)) if self.grow else x
        return F.relu(self.two(self.one(x)) + shortcut)


class Detector(nn.Module):
    """A YOLO in small: Focus slices, CSP splits, SPP, a top-down path and decoded boxes."""

    def __init__(self, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.focus = block(12, width)
        self.down1, self.csp1 = block(width, 2 * width, 2), _SplitBlock(2 * width)
        self.down2, self.csp2 = block(2 * width, 4 * width, 2), _SplitBlock(4 * width)
        self.spp = nn.Conv2d(16 * width, 4 * width, 1)
        self.lateral = nn.Conv2d(4 * width, 2 * width, 1)
        self.fuse = block(4 * width, 2 * width)
        self.outputs = 5 + classes
        self.heads = nn.ModuleList(nn.Conv2d(c, 3 * self.outputs, 1) for c in (2 * width, 4 * width))

    def forward(self, image: Tensor) -> Tensor:
        slices = [image[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        fine = self.csp1(self.down1(self.focus(torch.cat(slices, 1))))
        coarse = self.csp2(self.down2(fine))
        pools = [F.max_pool2d(coarse, k, 1, k // 2) for k in (3, 5, 7)]
        coarse = self.spp(torch.cat([coarse, *pools], 1))
        up = F.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        fine = self.fuse(torch.cat([up, fine], 1))
        return torch.cat([self.decode(h(x)) for h, x in zip(self.heads, (fine, coarse), strict=True)], 1)

    def decode(self, x: Tensor) -> Tensor:
        """Return `(batch, anchors, 5 + classes)` from `(batch, 3 * (5 + classes), height, width)`."""
        batch, _, height, width = x.shape
        x = x.view(batch, 3, self.outputs, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], -1).to(x.dtype)
        box = torch.cat([x[..., :2] * 2 - 0.5 + grid, (x[..., 2:4] * 2) ** 2, x[..., 4:]], -1)
        return box.reshape(batch, -1, self.outputs)


class _SplitBlock(nn.Module):
    """C2f: split in two, chain two blocks on one half, concatenate all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.open, self.close = nn.Conv2d(width, width, 1), nn.Conv2d(2 * width, width, 1)
        self.one, self.two = block(width // 2, width // 2), block(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.open(x).chunk(2, 1))
        parts.append(parts[-1] + self.one(parts[-1]))
        parts.append(self.two(parts[-1]))
        return F.silu(self.close(torch.cat(parts, 1)))


class Generator(nn.Module):
    """Grouped and plain transposed convolutions from a latent vector, with InstanceNorm and Tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(16, 32 * 16)
        self.up = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(32, 24, 4, 2, 1, groups=2), nn.InstanceNorm2d(24, affine=True)
                ),
                nn.Sequential(nn.ConvTranspose2d(24, 16, 4, 2, 1), nn.BatchNorm2d(16)),
            ]
        )
        self.head = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.stem(latent).view(-1, 32, 4, 4)
        for layer in self.up:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.tanh(self.head(x))


class ChannelTricks(nn.Module):
    """Shuffle, odd split, reversed channels, gathered channels, maxout and a squeeze-and-excite gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.group = block(3, 24), block(24, 24, groups=3)
        self.odd = nn.ModuleList([block(7, 10), block(17, 14)])
        self.squeeze, self.excite = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.maxout = nn.Conv2d(24, 36, 1)
        self.register_buffer("order", torch.tensor([5, 1, 8, 11, 0, 3]))
        self.gathered, self.head = block(6, 16), nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        batch, _, height, width = x.shape
        x = self.group(x.view(batch, 4, 6, height, width).transpose(1, 2).reshape(batch, 24, height, width))
        parts = zip(self.odd, x.split([7, 17], 1), strict=True)
        x = torch.cat([layer(part) for layer, part in parts], 1).flip(1)
        x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = self.maxout(x).view(batch, 12, 3, height, width).amax(2)
        return self.head(self.gathered(x[:, self.order]).mean((2, 3)))


class LocalResponse(nn.Module):
    """AlexNet's local response normalisation across channels, then a flattened classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 5, 2, 2), nn.Conv2d(16, 24, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(24 * 16, 48), nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = F.local_response_norm(F.relu(self.one(image)), 5, alpha=0.1)
        x = F.avg_pool2d(F.relu(self.two(x)), 4).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Siamese(nn.Module):
    """One encoder called twice, its outputs compared."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(block(3, 16, 2), block(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(64, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = self.encoder(first), self.encoder(second)
        return self.head(torch.cat([(a - b).abs(), a * b], 1))


class Volumes(nn.Module):
    """3-D convolutions, pooling, a transposed one and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv3d(1, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU())
        self.two = nn.Sequential(nn.Conv3d(16, 16, 3, padding=1, groups=4), nn.BatchNorm3d(16), nn.ReLU())
        self.up, self.head = nn.ConvTranspose3d(16, 12, 2, 2), nn.Conv3d(12, 2, 1)

    def forward(self, volume: Tensor) -> Tensor:
        x = self.one(volume)
        return self.head(F.elu(self.up(F.avg_pool3d(x + self.two(x), 2))))


class Bilinear(nn.Module):
    """Resize to a size computed from another branch, as feature pyramids do."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = block(3, 16, 2), block(16, 32, 2), block(32, 48, 2)
        self.reduce = nn.ModuleList(nn.Conv2d(c, 20, 1) for c in (16, 32, 48))
        self.head = nn.Conv2d(60, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.one(image)
        second = self.two(first)
        features = [first, second, self.three(second)]
        maps = [layer(x) for layer, x in zip(self.reduce, features, strict=True)]
        up = [
            F.interpolate(m, size=maps[0].shape[2:], mode="bilinear", align_corners=False) for m in maps[1:]
        ]
        return self.head(torch.cat([maps[0], *up], 1))


class NormFree(nn.Module):
    """Weight standardisation computed inside the graph, with scaled ELU."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 16), (16, 32), (32, 48)))
        self.head = nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for conv in self.convs:
            weight = conv.weight - conv.weight.mean((1, 2, 3), keepdim=True)
            weight = weight / (weight.pow(2).mean((1, 2, 3), keepdim=True) + 1e-4).sqrt()
            x = F.selu(F.conv2d(x, weight * 0.3, conv.bias, 2, 1))
        return self.head(x.mean((2, 3)))
