"""Architectures as the frameworks export them: cut without a hint, they equal the masked original."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from graphprune.report.data import reached
from graphprune.testing import Outcome, prune_at_random

pytestmark = pytest.mark.zoo

Export = Callable[..., Path]
EXPORTERS = ("torchscript", "dynamo")

# name: smallest share of the weights that an exact and that any dimension must reach
REACH = {
    "own_resnet_padded_shortcut": (0.99, 0.99),
    "own_channel_tricks": (0.99, 0.99),
    "own_diffusion_unet": (0.99, 0.99),
    "own_lstm_both_ways": (0.99, 0.99),
    "own_attention_rotary": (0.75, 0.99),
    "tv_shufflenet_v2_x0_5": (0.99, 0.99),
    "tv_swin_small": (0.88, 0.95),
    "hf_bert": (0.85, 0.85),  # the residual width reaches the output
    "hf_llama": (0.84, 0.99),
    "hf_t5": (0.92, 0.99),
}


def pruned(file: Path) -> Outcome:
    outcome = prune_at_random(str(file))
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-2, "masking has to move the outputs, or equality proves nothing"
    return outcome


def cut_sizes(outcome: Outcome) -> Counter[tuple[str, int]]:
    """Kinds and sizes of the dimensions that were cut, however they are named."""
    groups = outcome.analysis.by_atom
    return Counter((groups[a].kind, groups[a].size) for a in outcome.decision.keeps)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", REACH)
def test_equal_and_reached(name: str, exporter: str, export: Export) -> None:
    outcome = pruned(export(name, exporter))
    exact, anyhow = REACH[name]
    share = reached(outcome.analysis)
    assert share["exact"] >= exact
    assert share["any"] >= anyhow


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ["tv_resnet18", "own_nn_TransformerEncoder"])
def test_equal_values_of_fresh_weights_couple_nothing(name: str, exporter: str, export: Export) -> None:
    """As initialised, biases and gains hold equal values, and an exporter may store them once."""
    fresh = pruned(export(name, exporter, "default"))
    assert cut_sizes(fresh) == cut_sizes(pruned(export(name, exporter)))
    assert reached(fresh.analysis)["any"] > 0.99
