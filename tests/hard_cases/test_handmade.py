"""Every hand-made graph of models/: the expected dimensions are cut, and exactly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from graphprune.testing import prune_at_random
from tests.hard_cases.oracle import assert_exact

# What is cut: kind and number of slots before, in the order of the weights. "channels 12" twice means two groups.
CUT = {
    "residual_add": "channels 12, channels 16, channels 20",
    "concat_skip": "channels 12, channels 10, channels 14",
    "concat_residual": "channels 12, channels 8, channels 4",
    "split_branches": "channels 12, channels 6, channels 8",
    "slice_channels": "channels 4, channels 4, channels 4, channels 10",
    "channel_shuffle": "channels 4, channels 4, channels 8",
    "pad_channels": "channels 8, channels 16, channels 4, channels 4",
    "gather_subset": "channels 5, channels 7, channels 9",
    "gather_permutation": "channels 8, channels 9",
    "gather_permutation_residual": "channels 4, channels 9",
    "reversed_slice": "channels 12, channels 9",
    "reversed_slice_residual": "channels 6, channels 9",
    "strided_slice": "channels 6, channels 9",
    "tile_channels": "channels 6",
    "grouped_conv": "channels 4, channels 6, channels 9",
    "depthwise": "channels 12",
    "conv_transpose_grouped": "channels 6, channels 5, channels 8",
    "same_conv_twice": "channels 12",
    "one_output_conv": "channels 12, channels 9, channels 7",
    "broadcast_mul": "channels 12, channels 6, channels 8",
    "squeeze_excite": "channels 12, channels 6, channels 8",
    "flatten_gemm": "channels 12, neurons 20",
    "pixel_shuffle": "channels 12, channels 6, channels 8",
    "depth_to_space_dcr": "channels 12, channels 6, channels 8",
    "focus_slices": "channels 6, channels 10",
    "resize_sizes": "channels 12, channels 8",
    "resize_sizes_dynamic": "channels 12, channels 8",
    "nhwc": "channels 12",
    "weight_standardisation": "channels 12, channels 10",
    "shared_zero_bias": "channels 12, channels 12, channels 12, channels 7",
    "quantized_conv": "channels 12, channels 10",
    "instance_norm": "channels 12, channels 10, channels 8",
    "group_norm": "channels 12, channels 3, channels 8",
    "layer_norm_decomposed": "neurons 40",
    "layer_norm": "neurons 40",
    "gqa_attention": "neurons 24, kv-groups 3",
    "fused_qkv": "neurons 24, heads 4",
    "fused_qkv_split": "neurons 24, heads 4",
    "rotary": "neurons 24, heads 3",
    "rotary_interleaved": "neurons 24, heads 3",
    "rotary_reshaped": "neurons 24, kv-groups 2",
    "einsum_attention": "neurons 24, heads 4",
    "runtime_attention_scale": "neurons 24, heads 4",
    "linear_attention": "neurons 24, heads 4",
    "window_partition": "neurons 12, neurons 20",
    "tied_embedding": "neurons 16, neurons 28",
    "tied_embedding_gemm": "neurons 16",
    "weight_two_layouts": "neurons 16, neurons 10",
    "gated_mlp": "neurons 24, neurons 30",
    "mixture_of_experts": "neurons 24, experts 4, neurons 16",
    "experts_picked": "neurons 24, experts 4, neurons 16",
    "experts_scattered": "neurons 24, experts 5, neurons 16",
    "experts_one_hot": "neurons 24, experts 5, neurons 16",
    "experts_compared": "neurons 24, experts 5, neurons 16",
    "experts_in_rows": "neurons 24, experts 4, neurons 16, neurons 16, neurons 16, neurons 16",
    "experts_in_turn": "neurons 24, experts 4, neurons 16, neurons 16, neurons 16, neurons 16",
    "experts_by_slices": "neurons 24, experts 4, neurons 16, neurons 16, neurons 16, neurons 16",
    "experts_stacked": "neurons 24, experts 4, neurons 16, neurons 16, neurons 16, neurons 16",
    "one_expert_each": "neurons 24, experts 6",
    "bilstm": "neurons 12, hidden 10, hidden 10",
    "gru_initial_state": "hidden 14",
    "shape_arithmetic": "channels 12, neurons 20, channels 8",
    "halved_width": "channels 12, channels 8, channels 9",
    "if_branches": "channels 12, channels 8",
}


def _load() -> ModuleType:
    path = Path(__file__).parents[2] / "models" / "handmade.py"
    spec = importlib.util.spec_from_file_location("graphprune_handmade", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


HANDMADE = _load().HANDMADE


@pytest.mark.parametrize("name", HANDMADE)
def test_handmade(name: str) -> None:
    outcome = prune_at_random(HANDMADE[name]())
    keeps = outcome.decision.keeps
    cut = ", ".join(f"{g.kind} {g.size}" for g in outcome.analysis.groups if g.atom in keeps)
    assert cut == CUT[name], {g.key: g.frozen or g.approximate for g in outcome.analysis.groups}
    assert_exact(outcome)


def test_the_table_is_complete() -> None:
    assert HANDMADE.keys() == CUT.keys()
