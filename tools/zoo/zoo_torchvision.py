"""Rows for torchvision: classic CNNs, Swin, ViT, MaxViT, segmentation, video."""

from __future__ import annotations

from collections.abc import Callable

from case import BATCH, Architecture, Built, vision

# name: (image size, size class, options of the builder)
CLASSIFIERS: dict[str, tuple[int, int, dict[str, object]]] = {
    "shufflenet_v2_x0_5": (96, 0, {}),
    "squeezenet1_1": (96, 0, {}),
    "mnasnet0_5": (96, 1, {}),
    "mobilenet_v3_small": (96, 1, {}),
    "shufflenet_v2_x1_0": (96, 1, {}),
    "mobilenet_v2": (96, 1, {}),
    "regnet_y_400mf": (96, 1, {}),
    "regnet_x_400mf": (96, 1, {}),
    "mobilenet_v3_large": (96, 1, {}),
    "mnasnet1_0": (96, 1, {}),
    "efficientnet_b0": (96, 1, {}),
    "googlenet": (96, 1, {"aux_logits": False, "init_weights": False}),
    "densenet121": (96, 1, {}),
    "resnet18": (96, 1, {}),
    "efficientnet_v2_s": (96, 2, {}),
    "inception_v3": (128, 2, {"aux_logits": False, "init_weights": False}),
    "resnext50_32x4d": (96, 2, {}),
    "resnet50": (96, 2, {}),
    "convnext_tiny": (96, 2, {}),
    "swin_t": (224, 2, {}),
    "swin_v2_t": (256, 2, {}),
    "maxvit_t": (224, 2, {}),
}

SEGMENTERS: dict[str, int] = {
    "lraspp_mobilenet_v3_large": 1,
    "deeplabv3_mobilenet_v3_large": 1,
    "fcn_resnet50": 2,
    "deeplabv3_resnet50": 2,
}


def _classifier(name: str) -> Callable[[], Built]:
    def build() -> Built:
        import torchvision

        size, _, options = CLASSIFIERS[name]
        return vision(torchvision.models.get_model(name, weights=None, **options), size)

    return build


def _segmenter(name: str) -> Callable[[], Built]:
    def build() -> Built:
        import torchvision
        from wrappers import Pick

        net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21)
        return vision(Pick(net, "out"), 96)

    return build


def _resnet18_open_size() -> Built:
    import torchvision

    return vision(torchvision.models.resnet18(num_classes=10), 96, open_size=True)


def _vgg11() -> Built:
    import torchvision

    return vision(torchvision.models.vgg11_bn(), 64)


def _vit_small() -> Built:
    """ViT-B/16 with all its widths, two layers deep and on 64-pixel images."""
    from torchvision.models import VisionTransformer

    net = VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=12, hidden_dim=768, mlp_dim=3072
    )
    return vision(net, 64)


def _swin_small() -> Built:
    """Two stages with shifted windows, at a twentieth of swin_t's size."""
    from torchvision.models import SwinTransformer

    net = SwinTransformer(
        [4, 4], embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10
    )
    return vision(net, 64)


def _maxvit_small() -> Built:
    from torchvision.models import MaxVit

    net = MaxVit(
        input_size=(64, 64),
        stem_channels=16,
        partition_size=4,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
        num_classes=10,
    )
    return vision(net, 64)


def _video(name: str, frames: int, size: int) -> Callable[[], Built]:
    def build() -> Built:
        import torch
        import torchvision

        clip = torch.randn(BATCH, 3, frames, size, size)
        return Built(
            torchvision.models.get_model(name, weights=None).eval(), {"clip": clip}, {"clip": {0: "batch"}}
        )

    return build


def _optical_flow() -> Built:
    """RAFT: correlation volumes, GridSample and a recurrent update unrolled three times."""
    import torch
    import torchvision
    from wrappers import LastOfList

    net = torchvision.models.optical_flow.raft_small(weights=None).eval()
    first, second = torch.randn(BATCH, 3, 128, 128), torch.randn(BATCH, 3, 128, 128)
    axes = {0: "batch"}
    wrapped = LastOfList(net, {"num_flow_updates": 3})
    return Built(wrapped.eval(), {"first": first, "second": second}, {"first": axes, "second": axes})


def rows() -> list[Architecture]:
    """Return torchvision's rows."""
    family = "torchvision"
    table = [Architecture(f"tv_{n}", family, c, _classifier(n)) for n, (_, c, _) in CLASSIFIERS.items()]
    table += [Architecture(f"tv_{n}", family, c, _segmenter(n)) for n, c in SEGMENTERS.items()]
    table += [
        Architecture("tv_swin_small", family, 0, _swin_small),
        Architecture("tv_maxvit_small", family, 0, _maxvit_small),
        Architecture("tv_resnet18_open_size", family, 1, _resnet18_open_size),
        Architecture("tv_vit_b_16_2layers", family, 1, _vit_small),
        Architecture("tv_raft_small", family, 0, _optical_flow),
        # Half a gigabyte, and both exporters write the same graph: once is enough.
        Architecture("tv_vgg11_bn", family, 2, _vgg11, only=frozenset({"torchscript"})),
        Architecture("tv_s3d", family, 1, _video("s3d", 16, 224)),
    ]
    return table
