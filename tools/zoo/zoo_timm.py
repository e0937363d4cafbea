"""Rows for timm: one small variant of each family, at the smallest image size that it allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from case import Architecture, Built, vision

NOTHING: Mapping[str, object] = MappingProxyType({})

# Convolutional: any image size goes.  name: size class
CONVOLUTIONAL: dict[str, int] = {
    "test_byobnet": 0,
    "test_resnet": 0,
    "test_efficientnet": 0,
    "test_efficientnet_gn": 0,
    "test_efficientnet_ln": 0,
    "test_efficientnet_evos": 0,
    "test_nfnet": 0,
    "test_convnext": 0,
    "test_convnext2": 0,
    "test_mambaout": 0,
    "ghostnet_050": 1,
    "lcnet_050": 0,
    "mobilenetv4_conv_small_035": 0,
    "tinynet_e": 1,
    "mnasnet_small": 1,
    "repghostnet_050": 1,
    "starnet_s1": 1,
    "mobileone_s0": 1,
    "edgenext_xx_small": 0,
    "mobilenetv4_conv_small": 1,
    "ghostnetv2_100": 1,
    "ghostnet_100": 1,
    "hardcorenas_a": 1,
    "fbnetc_100": 1,
    "spnasnet_100": 1,
    "mixnet_s": 1,
    "rexnet_100": 1,
    "dla46_c": 0,
    "dla34": 2,
    "repvgg_a0": 1,
    "mobilenet_edgetpu_v2_xs": 1,
    "efficientvit_b0": 1,
    "inception_next_atto": 1,
    "convnext_atto": 1,
    "convnextv2_atto": 1,
    "convnext_zepto_rms": 1,
    "mambaout_femto": 1,
    "tf_efficientnetv2_b0": 1,
    "hgnetv2_b0": 1,
    "repvit_m0_9": 1,
    "swiftformer_xs": 1,
    "ese_vovnet19b_dw": 1,
    "ese_vovnet19b_slim": 1,
    "gernet_s": 1,
    "regnetz_005": 1,
    "dpn48b": 1,
    "cs3darknet_focus_s": 1,
    "resnest14d": 1,
    "skresnet18": 1,
    "legacy_seresnet18": 1,
    "resnetv2_18": 1,
    "resnetv2_50x1_bit": 2,
    "resnetblur18": 1,
    "ecaresnet26t": 2,
    "gcresnext26ts": 1,
    "nf_regnet_b0": 1,
    "eca_nfnet_l0": 2,
    "hrnet_w18_small": 1,
    "res2net50_26w_4s": 2,
    "convmixer_768_32": 2,
    "poolformer_s12": 1,
    "poolformerv2_s12": 1,
    "cspdarknet53": 2,
    "tresnet_m": 2,
    "lambda_resnet26t": 1,
    "csatv2": 1,
    "pvt_v2_b0": 1,
}

# A fixed grid of tokens or windows.  name: (size class, image size, options)
FIXED: dict[str, tuple[int, int, Mapping[str, object]]] = {
    "test_vit": (0, 160, NOTHING),
    "test_vit2": (0, 160, NOTHING),
    "test_vit3": (0, 160, NOTHING),
    "test_vit4": (0, 160, NOTHING),
    "test_vit_relpos": (0, 160, NOTHING),
    "test_coatnet": (0, 160, NOTHING),
    "test_maxvit": (0, 160, NOTHING),
    "xcit_nano_12_p16_224": (1, 224, NOTHING),
    "mobilevit_xxs": (0, 128, NOTHING),
    "mobilevitv2_050": (0, 128, NOTHING),
    "mobilevit_s": (1, 128, NOTHING),
    "efficientvit_m0": (1, 224, NOTHING),
    "shvit_s1": (1, 224, NOTHING),
    "efficientformerv2_s0": (1, 224, NOTHING),
    "fastvit_t8": (1, 128, NOTHING),
    "pit_ti_224": (1, 224, NOTHING),
    "deit_tiny_patch16_224": (1, 224, NOTHING),
    "deit_tiny_distilled_patch16_224": (1, 224, {"depth": 3}),
    "deit3_small_patch16_224": (1, 224, {"depth": 3}),
    "convit_tiny": (1, 224, NOTHING),
    "eva02_tiny_patch14_224": (1, 224, NOTHING),
    "gmlp_ti16_224": (1, 224, NOTHING),
    "tiny_vit_5m_224": (1, 224, NOTHING),
    "levit_128s": (1, 224, NOTHING),
    "levit_conv_128s": (1, 224, NOTHING),
    "coat_lite_tiny": (1, 224, NOTHING),
    "vit_tiny_r_s16_p8_224": (1, 224, NOTHING),
    "crossvit_9_240": (1, 240, NOTHING),
    "crossvit_9_dagger_240": (1, 240, NOTHING),
    "visformer_tiny": (1, 224, NOTHING),
    "efficientformer_l1": (1, 224, NOTHING),
    "mixer_s32_224": (2, 224, NOTHING),
    "resmlp_12_224": (1, 224, NOTHING),
    "cait_xxs24_224": (1, 224, {"depth": 8}),
    "halonet26t": (1, 256, NOTHING),
    "botnet26t_256": (1, 256, NOTHING),
    "gcvit_xxtiny": (1, 224, NOTHING),
    "tnt_s_patch16_224": (1, 224, {"depth": 3}),
    "beit_base_patch16_224": (1, 224, {"depth": 2, "embed_dim": 192, "num_heads": 4}),
    "beitv2_base_patch16_224": (1, 224, {"depth": 2, "embed_dim": 192, "num_heads": 4}),
    "vit_small_patch14_reg4_dinov2": (1, 112, {"img_size": 112, "depth": 3}),
    "vit_relpos_small_patch16_224": (1, 224, {"depth": 3}),
    "vit_srelpos_small_patch16_224": (1, 224, {"depth": 3}),
    "vit_small_patch16_rope_224": (1, 224, {"depth": 3}),
    "coatnet_nano_rw_224": (2, 224, NOTHING),
    "coatnet_rmlp_nano_rw_224": (2, 224, NOTHING),
    "maxvit_rmlp_pico_rw_256": (1, 256, NOTHING),
    "maxxvitv2_nano_rw_256": (2, 256, NOTHING),
    "bat_resnext26ts": (1, 256, NOTHING),
    "nest_tiny": (2, 224, NOTHING),
    "twins_svt_small": (2, 224, NOTHING),
    "sequencer2d_s": (2, 224, {"layers": (1, 1, 2, 1)}),
    "volo_d1_224": (2, 224, NOTHING),
    "swin_tiny_patch4_window7_224": (2, 224, {"depths": (2, 2, 2, 2)}),
    "swinv2_cr_tiny_224": (2, 224, {"depths": (2, 2, 2, 2)}),
    "davit_tiny": (2, 224, {"depths": (1, 1, 2, 1)}),
    "mvitv2_tiny": (2, 224, NOTHING),
    "hiera_tiny_224": (2, 224, NOTHING),
    "caformer_s18": (2, 224, NOTHING),
    "samvit_base_patch16_224": (
        1,
        224,
        {"depth": 2, "embed_dim": 192, "num_heads": 4, "global_attn_indexes": (1,)},
    ),
    "mambaout_kobe": (1, 96, NOTHING),
}

# Exporting these through scaled_dot_product_attention fails or bakes the batch in.
UNFUSED = frozenset({"maxvit_rmlp_pico_rw_256", "test_maxvit", "test_coatnet", "coatnet_nano_rw_224"})


def _model(name: str, image_size: int, options: Mapping[str, object]) -> Callable[[], Built]:
    def build() -> Built:
        import timm

        return vision(timm.create_model(name, pretrained=False, exportable=False, **options), image_size)

    return build


def rows() -> list[Architecture]:
    """Return timm's rows."""
    cases = [(name, size, 96, NOTHING) for name, size in CONVOLUTIONAL.items()]
    cases += [(name, size, image, options) for name, (size, image, options) in FIXED.items()]
    return [
        Architecture(
            f"timm_{name}",
            "timm",
            size,
            _model(name, image, options),
            frozenset({"unfused-attention"} if name in UNFUSED else ()),
        )
        for name, size, image, options in cases
    ]
