"""U-Net that finds an item of clothing in a cluttered scene: skip concatenations, two ways of upsampling."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.evaluate import scenes  # noqa: TID251  (this is models/ itself)

from . import sources
from .common import Batch, Recipe, Signature, prepare, publish, train
from .resnet_se import unit

RECIPE = Recipe("unet", "segment", steps=1400)
WIDTHS = (16, 32, 48, 64)
SIZE = 48  # scenes in a batch


def stage(inside: int, out: int) -> nn.Sequential:
    """Return two 3x3 convolutions with batch norm and ReLU."""
    return nn.Sequential(unit(inside, out, 3), nn.ReLU(), unit(out, out, 3), nn.ReLU())


class UNet(nn.Module):
    """The network: (n, 1, h, w) to logits (n, 1, h, w); h and w are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.down1, self.down2 = nn.Sequential(unit(1, a, 3), nn.ReLU()), stage(a, b)
        self.down3, self.floor = stage(b, c), stage(c, d)
        self.rise3, self.rise2 = nn.ConvTranspose2d(d, c, 2, 2), nn.ConvTranspose2d(c, b, 2, 2)
        self.rise1 = unit(b, a, 1)
        self.up3, self.up2 = stage(2 * c, c), stage(2 * b, b)
        self.up1, self.head = nn.Sequential(unit(2 * a, a, 3), nn.ReLU()), nn.Conv2d(a, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of each pixel."""
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        three = self.down3(functional.max_pool2d(two, 2))
        y = self.rise3(self.floor(functional.max_pool2d(three, 2)))
        y = self.rise2(self.up3(torch.cat([three, y], 1)))
        y = functional.interpolate(self.rise1(self.up2(torch.cat([two, y], 1))), scale_factor=2.0)
        return self.head(self.up1(torch.cat([one, y], 1)))


def endless() -> Iterator[Batch]:
    """Yield newly composed scenes (n, 1, 40, 40) and their masks."""
    raw, _ = sources.fashion("train")
    step = 1000  # the first seeds belong to the committed splits
    while True:
        rows = torch.randint(len(raw), (SIZE,)).numpy()
        scene, mask = scenes(raw[rows], seed=step)
        yield torch.from_numpy(scene), torch.from_numpy(mask)
        step += 1


def main() -> None:
    """Train, export and measure."""
    prepare()
    model = UNet()
    train(model, endless(), RECIPE, nn.BCEWithLogitsLoss())
    example, _ = next(endless())
    axes = {0: "batch", 2: "height", 3: "width"}
    publish(model, Signature(example[:2], "scene", "logits", axes, axes, dynamo=True), RECIPE)


if __name__ == "__main__":
    main()
