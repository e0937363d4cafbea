"""Networks for pictures, of other families than the bundled ones, small enough to be trained in a minute."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn(
    given: int, made: int, size: int = 3, stride: int = 1, group: int = 1, act: type = nn.ReLU
) -> nn.Module:
    """Convolution, batch normalisation and activation."""
    conv = nn.Conv2d(given, made, size, stride, size // 2, groups=group, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), act())


class Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.inner(x)


def head(width: int) -> list[nn.Module]:
    """Mean over the picture and the classifier."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def mlp() -> nn.Module:
    """Three layers on 64 pixels."""
    layers = [nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers)


def vgg() -> nn.Module:
    """Pairs of convolutions between poolings, then two fully connected layers."""
    layers: list[nn.Module] = []
    given = 1
    for width in (24, 48):
        layers += [conv_bn(given, width), conv_bn(width, width), nn.MaxPool2d(2)]
        given = width
    layers += [nn.Flatten(), nn.Linear(48 * 9, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, 10)]
    return nn.Sequential(*layers)


def wide() -> nn.Module:
    """Far more channels than the task needs."""
    layers = [conv_bn(1, 96, stride=2), conv_bn(96, 128), nn.MaxPool2d(2), conv_bn(128, 128)]
    return nn.Sequential(*layers, *head(128))


class Inverted(nn.Module):
    """MobileNetV2's block: widen, depthwise, narrow without an activation; squeeze-and-excite on request."""

    def __init__(self, given: int, made: int, stride: int, widen: int, act: type, squeeze: int = 0) -> None:
        super().__init__()
        inner = given * widen
        self.first = conv_bn(given, inner, 1, act=act)
        self.depth = conv_bn(inner, inner, 3, stride, inner, act)
        self.gate = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inner, squeeze, 1),
                act(),
                nn.Conv2d(squeeze, inner, 1),
                nn.Sigmoid(),
            )
            if squeeze
            else None
        )
        self.last = nn.Sequential(nn.Conv2d(inner, made, 1, bias=False), nn.BatchNorm2d(made))
        self.skip = stride == 1 and given == made

    def forward(self, x: Tensor) -> Tensor:
        """Map to `made` channels."""
        y = self.depth(self.first(x))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.last(y)
        return x + y if self.skip else y


def mobilenet() -> nn.Module:
    """MobileNetV2 in small: inverted residuals under ReLU6."""
    blocks = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 40, 2), (40, 40, 1)]
    layers = [Inverted(a, b, s, 4, nn.ReLU6) for a, b, s in blocks]
    return nn.Sequential(
        conv_bn(1, 16, stride=2, act=nn.ReLU6), *layers, conv_bn(40, 96, 1, act=nn.ReLU6), *head(96)
    )


def compact() -> nn.Module:
    """EfficientNet in small and narrow, with hardly a channel to spare."""
    blocks = [(6, 6, 1), (6, 8, 2), (8, 8, 1), (8, 12, 2), (12, 12, 1)]
    layers = [Inverted(a, b, s, 3, nn.SiLU, 4) for a, b, s in blocks]
    return nn.Sequential(
        conv_bn(1, 6, stride=2, act=nn.SiLU), *layers, conv_bn(12, 24, 1, act=nn.SiLU), *head(24)
    )


class Shuffled(nn.Module):
    """ShuffleNetV2's block: half of the channels pass, the others are worked on, then all are interleaved."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.stride, half = stride, made // 2
        work = half if stride == 1 else given
        depthwise = nn.Sequential(
            nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False), nn.BatchNorm2d(half)
        )
        self.main = nn.Sequential(conv_bn(work, half, 1), depthwise, conv_bn(half, half, 1))
        self.side = None
        if stride > 1:
            down = nn.Conv2d(given, given, 3, stride, 1, groups=given, bias=False)
            self.side = nn.Sequential(down, nn.BatchNorm2d(given), conv_bn(given, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map to `made` channels."""
        first, second = x.chunk(2, 1) if self.side is None else (self.side(x), x)
        y = torch.cat([first, self.main(second)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shufflenet() -> nn.Module:
    """ShuffleNetV2 in small."""
    blocks = [(16, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]
    return nn.Sequential(
        conv_bn(1, 16, stride=2), *(Shuffled(*b) for b in blocks), conv_bn(96, 128, 1), *head(128)
    )


class Grouped(nn.Module):
    """RegNet's block: a grouped convolution between two of size one."""

    def __init__(self, given: int, made: int, stride: int, width: int) -> None:
        super().__init__()
        middle = conv_bn(made, made, 3, stride, made // width)
        last = nn.Sequential(nn.Conv2d(made, made, 1, bias=False), nn.BatchNorm2d(made))
        self.main = nn.Sequential(conv_bn(given, made, 1), middle, last)
        self.side: nn.Module = nn.Identity()
        if stride > 1 or given != made:
            self.side = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))

    def forward(self, x: Tensor) -> Tensor:
        """Map to `made` channels."""
        return functional.relu(self.side(x) + self.main(x))


def regnet() -> nn.Module:
    """RegNet in small: groups of eight channels."""
    blocks = [(16, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    return nn.Sequential(conv_bn(1, 16, stride=2), *(Grouped(*b, 8) for b in blocks), *head(64))


class Basic(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        last = nn.Sequential(nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made))
        self.main = nn.Sequential(conv_bn(given, made, 3, stride), last)
        self.side: nn.Module = nn.Identity()
        if stride > 1 or given != made:
            self.side = nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))

    def forward(self, x: Tensor) -> Tensor:
        """Map to `made` channels."""
        return functional.relu(self.side(x) + self.main(x))


def resnet() -> nn.Module:
    """ResNet for small pictures: three stages of one to two blocks."""
    blocks = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2)]
    return nn.Sequential(conv_bn(1, 16, stride=2), *(Basic(*b) for b in blocks), *head(64))


class Branches(nn.Module):
    """Inception's block: four branches side by side."""

    def __init__(self, given: int, one: int, three: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = conv_bn(given, one, 1)
        self.three = nn.Sequential(conv_bn(given, three // 2, 1), conv_bn(three // 2, three))
        self.five = nn.Sequential(conv_bn(given, five // 2, 1), conv_bn(five // 2, five), conv_bn(five, five))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(given, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


def inception() -> nn.Module:
    """GoogLeNet in small."""
    layers = [conv_bn(1, 16), Branches(16, 12, 16, 12, 8), nn.MaxPool2d(2), Branches(48, 16, 32, 16, 16)]
    return nn.Sequential(*layers, *head(80))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Next(nn.Module):
    """ConvNeXt's block: depthwise 7 x 7, layer normalisation, two products, a scale for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.scale * self.down(functional.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """ConvNeXt in small: two stages."""
    down = nn.Sequential(ChannelNorm(32), nn.Conv2d(32, 48, 2, 2))
    stem = nn.Sequential(nn.Conv2d(1, 32, 2, 2), ChannelNorm(32))
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(48), nn.Linear(48, 10)]
    return nn.Sequential(stem, Next(32), down, Next(48), Next(48), *last)


class Mixing(nn.Module):
    """MLP-Mixer's block: one perceptron over places, one over channels."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places = nn.Sequential(nn.Linear(places, 64), nn.GELU(), nn.Linear(64, places))
        self.channels = nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, places, width) to the same shape."""
        x = x + self.places(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """MLP-Mixer on patches of four pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 64, 4, 4)
        self.blocks = nn.Sequential(*(Mixing(49, 64) for _ in range(3)))
        self.norm, self.last = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        tokens = self.blocks(self.patches(x).flatten(2).transpose(1, 2))
        return self.last(self.norm(tokens).mean(1))


def denoiser() -> nn.Module:
    """Convolutions down to a quarter and transposed ones back up."""
    down = [conv_bn(1, 24), conv_bn(24, 32, stride=2), conv_bn(32, 48), conv_bn(48, 32)]
    up = [nn.ConvTranspose2d(32, 24, 2, 2), nn.ReLU(), nn.Conv2d(24, 1, 3, padding=1)]
    return nn.Sequential(*down, *up)


class Experts(nn.Module):
    """A layer of which every sample uses two experts of eight, chosen by a router."""

    def __init__(self, width: int, hidden: int, count: int = 8) -> None:
        super().__init__()
        self.router, self.count = nn.Linear(width, count), count
        self.up = nn.ModuleList(nn.Linear(width, hidden) for _ in range(count))
        self.down = nn.ModuleList(nn.Linear(hidden, width) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to the same shape."""
        best, which = self.router(x).topk(2, dim=-1)
        gates = torch.zeros(x.shape[0], self.count).scatter(-1, which, best.softmax(-1))
        made = [down(functional.gelu(up(x))) for up, down in zip(self.up, self.down, strict=True)]
        return (torch.stack(made, 1) * gates[:, :, None]).sum(1)


class Mixture(nn.Module):
    """Two layers of experts on the pixels of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(196, 64), nn.Linear(64, 10)
        self.norms = nn.ModuleList(nn.LayerNorm(64) for _ in range(2))
        self.layers = nn.ModuleList(Experts(64, 48) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = functional.gelu(self.first(x.flatten(1)))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))
        return self.last(x)
