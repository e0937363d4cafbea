"""Rows for transformers: how its models are made from the configurations beside, and what they are fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import configs_media
import configs_newer
import configs_text
from case import BATCH, Architecture, Built
from configs_media import IMAGE
from configs_text import BASE, SEQ2SEQ, TEXT_TO_TEXT, VOCABULARY

TEXT = {**configs_text.TEXT, **configs_newer.TEXT}
IDS = {**configs_text.IDS, **configs_newer.IDS}
VISION = {**configs_media.VISION, **configs_newer.VISION}
SEQUENCE = 12
TOKENS = {0: "batch", 1: "sequence"}

EAGER = frozenset(
    {"t5", "mt5", "t5_encoder", "gated_t5_encoder"}
)  # their position bias defeats the fused attention


def _net(model: str, options: Mapping[str, Any], name: str) -> Any:
    """Make a model in eval mode from the name of its class and what its configuration is to say."""
    import transformers

    model_class = getattr(transformers, model)
    configuration = model_class.config_class(**options)
    configuration.use_cache = False
    if "experts" in "".join(configuration.to_dict()):
        configuration._experts_implementation = "batched_mm"
    if name in EAGER:
        configuration._attn_implementation = "eager"
    return model_class(configuration).eval()


def _tokens() -> Any:
    import torch

    return torch.randint(3, VOCABULARY, (BATCH, SEQUENCE))


def _text(name: str) -> Callable[[], Built]:
    def build() -> Built:
        import torch
        from wrappers import Text

        model, options, field = TEXT[name]
        inputs = {"input_ids": _tokens(), "attention_mask": torch.ones(BATCH, SEQUENCE, dtype=torch.int64)}
        net = Text(_net(model, options, name), field)
        return Built(net.eval(), inputs, dict.fromkeys(inputs, TOKENS))

    return build


def _ids(name: str) -> Callable[[], Built]:
    def build() -> Built:
        from wrappers import Ids

        model, options, field = IDS[name]
        net = Ids(_net(model, options, name), field)
        return Built(net.eval(), {"input_ids": _tokens()}, {"input_ids": TOKENS})

    return build


def _text_to_text(name: str) -> Callable[[], Built]:
    def build() -> Built:
        import torch
        from wrappers import TextToText

        model, options, field = TEXT_TO_TEXT[name]
        mask = torch.ones(BATCH, SEQUENCE, dtype=torch.int64)
        inputs = {
            "input_ids": _tokens(),
            "attention_mask": mask,
            "decoder_input_ids": _tokens()[:, :7],
            "decoder_attention_mask": mask[:, :7],
        }
        axes = {n: {0: "batch", 1: "decoder_sequence" if "decoder" in n else "sequence"} for n in inputs}
        return Built(TextToText(_net(model, options, name), field).eval(), inputs, axes)

    return build


def _vision(name: str) -> Callable[[], Built]:
    def build() -> Built:
        import torch
        from wrappers import One

        model, options, field, shape, keyword = VISION[name]
        if name == "detr":
            options = _detr_options()
        net = _net(model, options, name)
        values = torch.randn(BATCH, *shape)
        module = One(net, field, keyword) if field else net
        return Built(module.eval(), {"values": values}, {"values": {0: "batch"}})

    return build


def _detr_options() -> dict[str, Any]:
    """DETR over a small ResNet of transformers' own."""
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    return {
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": backbone,
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "num_queries": 5,
        "num_labels": 6,
    }


def _whisper() -> Built:
    import torch
    from wrappers import SpeechToText

    options = {
        **SEQ2SEQ,
        "num_mel_bins": 20,
        "max_source_positions": 40,
        "max_target_positions": 32,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }
    net = _net("WhisperForConditionalGeneration", options, "whisper")
    inputs = {
        "input_features": torch.randn(BATCH, 20, 80),
        "decoder_input_ids": _tokens()[:, :7],
        "decoder_attention_mask": torch.ones(BATCH, 7, dtype=torch.int64),
    }
    axes = {n: {0: "batch"} if n == "input_features" else TOKENS for n in inputs}
    return Built(SpeechToText(net, "logits").eval(), inputs, axes)


def _clip() -> Built:
    import torch
    import transformers
    from wrappers import ImageAndText

    text, image = dict(BASE), {k: v for k, v in IMAGE.items() if k not in ("vocab_size", "num_labels")}
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=32)
    inputs = {
        "pixel_values": torch.randn(BATCH, 3, 64, 64),
        "input_ids": _tokens(),
        "attention_mask": torch.ones(BATCH, SEQUENCE, dtype=torch.int64),
    }
    axes = {"pixel_values": {0: "images"}, "input_ids": TOKENS, "attention_mask": TOKENS}
    net = transformers.CLIPModel(config).eval()
    return Built(ImageAndText(net, "logits_per_image").eval(), inputs, axes)


def rows() -> list[Architecture]:
    """Return the rows of transformers."""
    family = "transformers"
    makers: list[tuple[Mapping[str, Any], Callable[[str], Callable[[], Built]]]] = [
        (TEXT, _text),
        (IDS, _ids),
        (TEXT_TO_TEXT, _text_to_text),
        (VISION, _vision),
    ]
    table = [Architecture(f"hf_{n}", family, 0, make(n)) for names, make in makers for n in names]
    table += [Architecture("hf_whisper", family, 0, _whisper), Architecture("hf_clip", family, 0, _clip)]
    return table
