"""What one row of the zoo's table is: a name, how to build the module, and what it is fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

BATCH = 2  # a batch of 1 is specialised away by torch.export
SEED = 20240229

# Axis names that the checks know how to vary; any other name is kept at its example size.
AxisNames = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Built:
    """A module ready for export.

    Attributes:
        module: In eval mode, called with the values of `inputs` in order.
        inputs: Example tensors by the name they get as graph inputs.
        dynamic: For each input name, the axes left open and their names: `batch`, `sequence`, `height`,
            `width` or one of the model's own.
    """

    module: nn.Module
    inputs: Mapping[str, torch.Tensor]
    dynamic: Mapping[str, AxisNames]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row of the table.

    Attributes:
        name: Also the stem of the exported files.
        family: `own`, `transformers`, `timm` or `torchvision`.
        size: 0 (under 2 M parameters), 1 (under 15 M) or 2; smaller ones are exported first.
        build: Makes the module; heavy imports happen inside.
        tweaks: Names of switches in `tweaks.py` that an exporter needs for this module.
        only: The exporters that are tried, when one of them is hopeless or adds nothing.
    """

    name: str
    family: str
    size: int
    build: Callable[[], Built]
    tweaks: frozenset[str] = frozenset()
    only: frozenset[str] = field(default_factory=lambda: frozenset({"torchscript", "dynamo"}))


def images(batch: int = BATCH, channels: int = 3, size: int = 64) -> torch.Tensor:
    """Return random images, `(batch, channels, size, size)`."""
    return torch.randn(batch, channels, size, size)


def vision(module: nn.Module, size: int, *, channels: int = 3, open_size: bool = False) -> Built:
    """Wrap an image model whose batch (and, when `open_size`, height and width) is left open."""
    axes: dict[int, str] = {0: "batch"}
    if open_size:
        axes |= {2: "height", 3: "width"}
    return Built(module.eval(), {"image": images(channels=channels, size=size)}, {"image": axes})
