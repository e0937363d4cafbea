"""Small configurations of the image, video, sound and series models of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs_text import BASE

IMAGE = {**BASE, "image_size": 64, "patch_size": 16, "num_labels": 10}
SPEECH = {
    **BASE,
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

# name: (model class, configuration, output field, shape of the input, keyword)
VISION: dict[str, tuple[str, Mapping[str, Any], str, tuple[int, ...], str]] = {
    "vit": ("ViTForImageClassification", IMAGE, "logits", (3, 64, 64), "pixel_values"),
    "deit": ("DeiTForImageClassification", IMAGE, "logits", (3, 64, 64), "pixel_values"),
    "beit": (
        "BeitForImageClassification",
        {**IMAGE, "use_relative_position_bias": True},
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "dinov2": (
        "Dinov2ForImageClassification",
        {**IMAGE, "use_swiglu_ffn": True},
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "dinov3_vit": (
        "DINOv3ViTModel",
        {**IMAGE, "num_register_tokens": 2},
        "last_hidden_state",
        (3, 64, 64),
        "pixel_values",
    ),
    "clip_vision": ("CLIPVisionModel", IMAGE, "pooler_output", (3, 64, 64), "pixel_values"),
    "siglip_vision": ("SiglipVisionModel", IMAGE, "pooler_output", (3, 64, 64), "pixel_values"),
    "segformer": (
        "SegformerForSemanticSegmentation",
        {
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [16, 32, 48, 64],
            "num_attention_heads": [1, 2, 3, 4],
            "decoder_hidden_size": 32,
            "num_labels": 5,
        },
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "glpn": (
        "GLPNForDepthEstimation",
        {
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [16, 32, 48, 64],
            "num_attention_heads": [1, 2, 3, 4],
            "decoder_hidden_size": 32,
        },
        "predicted_depth",
        (3, 64, 64),
        "pixel_values",
    ),
    "swin": (
        "SwinForImageClassification",
        {
            "image_size": 64,
            "embed_dim": 16,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            "num_labels": 10,
        },
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "swinv2": (
        "Swinv2ForImageClassification",
        {
            "image_size": 64,
            "embed_dim": 16,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            "num_labels": 10,
        },
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "convnext": (
        "ConvNextForImageClassification",
        {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1], "num_labels": 10},
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "cvt": (
        "CvtForImageClassification",
        {"embed_dim": [16, 32, 48], "num_heads": [1, 2, 3], "depth": [1, 2, 3], "num_labels": 10},
        "logits",
        (3, 64, 64),
        "pixel_values",
    ),
    "detr": ("DetrForObjectDetection", {}, "logits", (3, 64, 64), "pixel_values"),
    "yolos": (
        "YolosForObjectDetection",
        {**IMAGE, "image_size": [64, 64], "num_detection_tokens": 5},
        "pred_boxes",
        (3, 64, 64),
        "pixel_values",
    ),
    "dpt": (
        "DPTForDepthEstimation",
        {
            **IMAGE,
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [16, 32, 48, 64],
            "fusion_hidden_size": 32,
        },
        "predicted_depth",
        (3, 64, 64),
        "pixel_values",
    ),
    "timesformer": (
        "TimesformerForVideoClassification",
        {**IMAGE, "num_frames": 4},
        "logits",
        (4, 3, 64, 64),
        "pixel_values",
    ),
    "videomae": (
        "VideoMAEForVideoClassification",
        {**IMAGE, "num_frames": 4},
        "logits",
        (4, 3, 64, 64),
        "pixel_values",
    ),
    "ast": (
        "ASTForAudioClassification",
        {**BASE, "max_length": 64, "num_mel_bins": 32, "num_labels": 10},
        "logits",
        (64, 32),
        "input_values",
    ),
    "wav2vec2": ("Wav2Vec2ForCTC", {**SPEECH, "vocab_size": 32}, "logits", (1600,), "input_values"),
    "wav2vec2_stable": (
        "Wav2Vec2ForCTC",
        {**SPEECH, "vocab_size": 32, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
        "logits",
        (1600,),
        "input_values",
    ),
    "hubert": ("HubertForCTC", {**SPEECH, "vocab_size": 32}, "logits", (1600,), "input_values"),
    "wavlm": ("WavLMForCTC", {**SPEECH, "vocab_size": 32}, "logits", (1600,), "input_values"),
    "patchtst": (
        "PatchTSTForPrediction",
        {
            "num_input_channels": 3,
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "d_model": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "prediction_length": 8,
        },
        "prediction_outputs",
        (32, 3),
        "past_values",
    ),
    "patchtsmixer": (
        "PatchTSMixerForPrediction",
        {
            "num_input_channels": 3,
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "d_model": 16,
            "num_layers": 2,
            "prediction_length": 8,
            "gated_attn": True,
        },
        "prediction_outputs",
        (32, 3),
        "past_values",
    ),
    "hifigan": (
        "SpeechT5HifiGan",
        {
            "model_in_dim": 20,
            "upsample_initial_channel": 64,
            "upsample_rates": [4, 2],
            "upsample_kernel_sizes": [8, 4],
            "resblock_kernel_sizes": [3, 5],
            "resblock_dilation_sizes": [[1, 3], [1, 3]],
        },
        "",
        (16, 20),
        "spectrogram",
    ),
}
