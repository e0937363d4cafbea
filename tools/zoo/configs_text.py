"""Two-layer configurations of the text models of transformers, with their structural options switched on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOCABULARY = 99

# The usual words of a text configuration; families that use others spell theirs out.
BASE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GQA = {**BASE, "num_key_value_heads": 2, "head_dim": 16}
MOE = {**GQA, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
SEQ2SEQ = {
    "vocab_size": VOCABULARY,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
# name: (model class, configuration, output field)
TEXT: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "bert": ("BertModel", BASE, "last_hidden_state"),
    "bert_mlm": ("BertForMaskedLM", BASE, "logits"),
    "bert_classifier": ("BertForSequenceClassification", BASE, "logits"),
    "distilbert": (
        "DistilBertForSequenceClassification",
        {"vocab_size": VOCABULARY, "dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4},
        "logits",
    ),
    "albert": ("AlbertForMaskedLM", {**BASE, "embedding_size": 16}, "logits"),
    "roberta": ("RobertaForMaskedLM", BASE, "logits"),
    "electra": ("ElectraForTokenClassification", {**BASE, "embedding_size": 32}, "logits"),
    "deberta_v2": (
        "DebertaV2ForSequenceClassification",
        {**BASE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
        "logits",
    ),
    "mpnet": ("MPNetModel", BASE, "last_hidden_state"),
    "convbert": ("ConvBertModel", {**BASE, "embedding_size": 32}, "last_hidden_state"),
    "roformer": ("RoFormerForMaskedLM", {**BASE, "embedding_size": 64}, "logits"),
    "squeezebert": ("SqueezeBertForSequenceClassification", {**BASE, "embedding_size": 64}, "logits"),
    "mobilebert": (
        "MobileBertForSequenceClassification",
        {**BASE, "embedding_size": 32, "intra_bottleneck_size": 32},
        "logits",
    ),
    "modernbert": (
        "ModernBertForMaskedLM",
        {**BASE, "local_attention": 8, "cls_token_id": 1, "sep_token_id": 2},
        "logits",
    ),
    "xlnet": (
        "XLNetModel",
        {"vocab_size": VOCABULARY, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 128},
        "last_hidden_state",
    ),
    "ibert": ("IBertModel", BASE, "last_hidden_state"),
    "esm": ("EsmForMaskedLM", {**BASE, "position_embedding_type": "rotary", "mask_token_id": 3}, "logits"),
    "gpt2": ("GPT2LMHeadModel", GPT2, "logits"),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "window_size": 8,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
        },
        "logits",
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", BASE, "logits"),
    "gptj": ("GPTJForCausalLM", {**GPT2, "rotary_dim": 8}, "logits"),
    "bloom": (
        "BloomForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 64, "n_layer": 2, "n_head": 4},
        "logits",
    ),
    "falcon": ("FalconForCausalLM", {**BASE, "multi_query": True}, "logits"),
    "mpt": (
        "MptForCausalLM",
        {"vocab_size": VOCABULARY, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
        "logits",
    ),
    "opt": ("OPTForCausalLM", {**BASE, "ffn_dim": 128, "word_embed_proj_dim": 32}, "logits"),
    "phi": ("PhiForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "phi3": ("Phi3ForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "llama": ("LlamaForCausalLM", GQA, "logits"),
    "llama_tied": ("LlamaForCausalLM", {**GQA, "tie_word_embeddings": True}, "logits"),
    "llama_mqa": ("LlamaForCausalLM", {**GQA, "num_key_value_heads": 1}, "logits"),
    "mistral": ("MistralForCausalLM", {**GQA, "sliding_window": 8}, "logits"),
    "qwen2": ("Qwen2ForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "qwen3": ("Qwen3ForCausalLM", GQA, "logits"),
    "gemma": ("GemmaForCausalLM", GQA, "logits"),
    "gemma2": ("Gemma2ForCausalLM", {**GQA, "sliding_window": 8}, "logits"),
    "gemma3": ("Gemma3ForCausalLM", {**GQA, "sliding_window": 8}, "logits"),
    "stablelm": ("StableLmForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "starcoder2": ("Starcoder2ForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "olmo2": ("Olmo2ForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "cohere": ("CohereForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "granite": ("GraniteForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "nemotron": ("NemotronForCausalLM", GQA, "logits"),
    "persimmon": ("PersimmonForCausalLM", BASE, "logits"),
    "glm": ("GlmForCausalLM", GQA, "logits"),
    "smollm3": ("SmolLM3ForCausalLM", {**BASE, "num_key_value_heads": 2}, "logits"),
    "mixtral": ("MixtralForCausalLM", MOE, "logits"),
    "qwen3_moe": ("Qwen3MoeForCausalLM", MOE, "logits"),
    "olmoe": ("OlmoeForCausalLM", {**MOE, "num_key_value_heads": 4}, "logits"),
    "gpt_oss": ("GptOssForCausalLM", {**MOE, "sliding_window": 8}, "logits"),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        {
            **BASE,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "kv_lora_rank": 16,
            "q_lora_rank": 24,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 16,
            "v_head_dim": 16,
            "first_k_dense_replace": 1,
        },
        "logits",
    ),
    "lfm2": (
        "Lfm2ForCausalLM",
        {**BASE, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
        "logits",
    ),
    "recurrent_gemma": (
        "RecurrentGemmaForCausalLM",
        {
            **BASE,
            "num_key_value_heads": 2,
            "lru_width": 64,
            "attention_window_size": 8,
            "block_types": ["recurrent", "attention"],
        },
        "logits",
    ),
    "t5_encoder": ("T5EncoderModel", T5, "last_hidden_state"),
    "gated_t5_encoder": ("T5EncoderModel", {**T5, "feed_forward_proj": "gated-gelu"}, "last_hidden_state"),
    "clip_text": ("CLIPTextModel", BASE, "last_hidden_state"),
    "longformer": ("LongformerModel", {**BASE, "attention_window": 4}, "last_hidden_state"),
    "funnel": (
        "FunnelBaseModel",
        {
            "vocab_size": VOCABULARY,
            "block_sizes": [1, 1],
            "d_model": 64,
            "n_head": 4,
            "d_head": 16,
            "d_inner": 128,
        },
        "last_hidden_state",
    ),
}

IDS: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "fnet": ("FNetModel", BASE, "last_hidden_state"),
    "mamba": (
        "MambaForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "time_step_rank": 4,
        },
        "logits",
    ),
    "mamba2": (
        "Mamba2ForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 4,
            "head_dim": 16,
            "n_groups": 2,
            "chunk_size": 4,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "logits",
    ),
    "rwkv": (
        "RwkvForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 32},
        "logits",
    ),
}

TEXT_TO_TEXT: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "t5": ("T5ForConditionalGeneration", T5, "logits"),
    "mt5": ("MT5ForConditionalGeneration", T5, "logits"),
    "bart": ("BartForConditionalGeneration", SEQ2SEQ, "logits"),
    "pegasus": ("PegasusForConditionalGeneration", SEQ2SEQ, "logits"),
    "marian": ("MarianMTModel", SEQ2SEQ, "logits"),
}
