"""Small configurations of transformers' models that came to the zoo when it had stopped finding faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs_text import BASE, GPT2, GQA, MOE, VOCABULARY

SHARED_KEYS = {**BASE, "num_key_value_heads": 2}
CONTEXT = {**GPT2, "n_ctx": 64}
PICTURE = ((3, 64, 64), "pixel_values")

TEXT: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "qwen2_moe": ("Qwen2MoeForCausalLM", {**MOE, "shared_expert_intermediate_size": 48}, "logits"),
    "granitemoe": ("GraniteMoeForCausalLM", MOE, "logits"),
    "hunyuan_moe": ("HunYuanMoEV1ForCausalLM", {**MOE, "moe_topk": 2}, "logits"),
    "phimoe": ("PhimoeForCausalLM", MOE, "logits"),
    "glm4_moe": (
        "Glm4MoeForCausalLM",
        {
            **GQA,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "first_k_dense_replace": 1,
            "use_qk_norm": True,
        },
        "logits",
    ),
    "jetmoe": (
        "JetMoeForCausalLM",
        {**SHARED_KEYS, "num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 16},
        "logits",
    ),
    "minimax": (
        "MiniMaxForCausalLM",
        {**MOE, "layer_types": ["linear_attention", "full_attention"], "block_size": 8},
        "logits",
    ),
    "jamba": (
        "JambaForCausalLM",
        {
            **MOE,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
        "logits",
    ),
    "vaultgemma": ("VaultGemmaForCausalLM", GQA, "logits"),
    "olmo3": ("Olmo3ForCausalLM", {**SHARED_KEYS, "sliding_window": 8}, "logits"),
    "exaone4": ("Exaone4ForCausalLM", {**SHARED_KEYS, "sliding_window": 8}, "logits"),
    "bitnet": ("BitNetForCausalLM", SHARED_KEYS, "logits"),
    "doge": ("DogeForCausalLM", {**SHARED_KEYS, "num_experts": 4}, "logits"),
    "nanochat": ("NanoChatForCausalLM", SHARED_KEYS, "logits"),
    "bigbird": ("BigBirdForMaskedLM", {**BASE, "attention_type": "original_full"}, "logits"),
    "rembert": (
        "RemBertForMaskedLM",
        {**BASE, "input_embedding_size": 16, "output_embedding_size": 32},
        "logits",
    ),
    "codegen": ("CodeGenForCausalLM", {**CONTEXT, "rotary_dim": 8}, "logits"),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", {**CONTEXT, "multi_query": True}, "logits"),
    "ctrl": ("CTRLLMHeadModel", {**CONTEXT, "dff": 128}, "logits"),
    "layoutlm": ("LayoutLMForTokenClassification", {**BASE, "max_2d_position_embeddings": 100}, "logits"),
}

IDS: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "falcon_mamba": (
        "FalconMambaForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "time_step_rank": 4,
            "use_mambapy": False,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "logits",
    ),
}

_SMALL: dict[str, tuple[str, Mapping[str, Any]]] = {
    "mobilevit": (
        "MobileViTForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [32, 48, 64],
            "neck_hidden_sizes": [8, 16, 24, 32, 48, 64, 96],
            "num_attention_heads": 4,
        },
    ),
    "focalnet": (
        "FocalNetForImageClassification",
        {
            "image_size": 64,
            "embed_dim": 16,
            "depths": [1, 1],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
    ),
    "pvt": (
        "PvtForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [16, 32, 40, 64],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 5, 8],
        },
    ),
    "levit": (
        "LevitForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [32, 48, 64],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
    ),
    "efficientnet": (
        "EfficientNetForImageClassification",
        {"image_size": 64, "width_coefficient": 0.3, "depth_coefficient": 0.3, "hidden_dim": 384},
    ),
    "swiftformer": (
        "SwiftFormerForImageClassification",
        {"image_size": 64, "embed_dims": [16, 24, 32, 48], "depths": [1, 1, 1, 1]},
    ),
    "hgnet_v2": ("HGNetV2ForImageClassification", {}),
    "hiera": (
        "HieraForImageClassification",
        {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1]},
    ),
}
VISION: dict[str, tuple[str, Mapping[str, Any], str, tuple[int, ...], str]] = {
    name: (model, {**options, "num_labels": 10}, "logits", *PICTURE)
    for name, (model, options) in _SMALL.items()
}
