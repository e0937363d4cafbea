"""Switches of torch, torchvision and timm without which some architectures do not export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_KEPT_ALIVE: list[Any] = []  # a torch.library.Library withdraws its operators when collected


def declare_torchvision_operators() -> None:
    """Declare the compiled operators that torchvision's import expects, for installs without them."""
    import torch

    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT_ALIVE.append(library)


def disable_mha_fastpath() -> None:
    """Make nn.MultiheadAttention take its decomposed way; the TorchScript exporter has no fused one."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)


def unfused_attention() -> None:
    """Make timm spell attention out as MatMul and Softmax."""
    import timm.layers

    timm.layers.set_fused_attn(False)


ALWAYS: tuple[Callable[[], None], ...] = (declare_torchvision_operators, disable_mha_fastpath)
NAMED: Mapping[str, Callable[[], None]] = {"unfused-attention": unfused_attention}


def apply(names: Iterable[str]) -> None:
    """Apply what every export needs, then the named tweaks of one architecture."""
    for tweak in ALWAYS:
        tweak()
    for name in sorted(names):
        NAMED[name]()
