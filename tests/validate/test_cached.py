"""Decoders with a cache: the pruned one is the masked original, for prompts and for steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import graphprune
from graphprune.analysis.prepare import prepare_normal
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.rewrite import masked
from graphprune.testing import Outcome, prune_at_random
from graphprune.validate import Equivalence, check_equivalence
from graphprune.validate.compare import largest_error
from graphprune.validate.equivalence import run_all
from graphprune.validate.equivalence import test_feeds as feeds_of  # pytest would take it for a test
from tests.decoder import GROUPS, decoder, decoder_feeds

SIZES = ((3, 7, 0), (3, 1, 13), (1, 5, 9))  # prompts, steps, and several positions on top of a past


def again(outcome: Outcome, pruned: ir.Model, given: list[Any]) -> Equivalence:
    return check_equivalence(outcome.model, outcome.analysis, outcome.decision.keeps, pruned, given=given)


def attributes(model: ir.Model) -> set[tuple[int, int]]:
    nodes = [n for n in model.graph if n.op_type == "GroupQueryAttention"]
    return {(n.attributes["num_heads"].as_int(), n.attributes["kv_num_heads"].as_int()) for n in nodes}


@pytest.mark.parametrize("told", ["inputs", "mask", "sum"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("head", "rotary"), [(16, True), (16, False), (8, False)])
def test_prompts_and_steps_are_those_of_the_masked_original(
    told: str, packed: bool, head: int, rotary: bool
) -> None:
    outcome = prune_at_random(decoder(told, packed=packed, head=head, rotary=rotary))
    found = again(outcome, outcome.pruned, [decoder_feeds(*sizes, told, head) for sizes in SIZES])
    assert found.status == "equal", found
    assert found.change > 0.05
    # A cache is a part of the interface, so groups stay, and each loses some of its queries.
    assert attributes(outcome.pruned) == {(GROUPS, GROUPS)}


@pytest.mark.parametrize("sizes", SIZES)
def test_a_fault_shows_in_each(sizes: tuple[int, int, int]) -> None:
    outcome = prune_at_random(decoder())
    broken = outcome.pruned.clone()
    value = broken.graph.initializers["k_1"]
    assert value.const_value is not None
    value.const_value = ir.Tensor(value.const_value.numpy()[:, ::-1].copy(), name="k_1")
    zeroed = masked(outcome.model, outcome.analysis, outcome.decision.keeps)
    expected, right, wrong = (
        run_all(m, [decoder_feeds(*sizes)])[0] for m in (zeroed, outcome.pruned, broken)
    )
    assert largest_error(expected, right)[0] < 1e-5
    assert largest_error(expected, wrong)[0] > 1e-2
    assert again(outcome, broken, []).status == "different"


@pytest.mark.parametrize("packed", [False, True])
def test_groups_go_where_no_cache_goes_in_or_out(packed: bool) -> None:
    outcome = prune_at_random(decoder(packed=packed, past=False))
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 0.05
    assert all(groups < GROUPS for _, groups in attributes(outcome.pruned))


def stubborn() -> onnx.ModelProto:
    """A decoder whose lengths nothing in the graph explains."""
    return decoder("odd", fixed={"steps": 5})


def test_proved_on_the_inputs_that_are_given() -> None:
    given = [decoder_feeds(4, 5, 0, "odd")] * 3 + [decoder_feeds(1, 5, 6, "odd")]
    result = graphprune.prune(stubborn(), ratio=0.5, calib=given)
    assert result.report["shapes"]["method"] == "run"
    assert result.report["equivalence"]["status"] == "equal"
    assert result.report["equivalence"]["change"] > 0.05


def test_recorded_inputs_take_the_place_of_random_ones() -> None:
    given = [decoder_feeds(2, 5, 0, "odd"), decoder_feeds(1, 5, 6, "odd")]
    model, analysis = prepare_normal(normalise(load(stubborn()).model), examples=lambda: given)
    found = feeds_of(model, analysis, 0, [])
    assert [f["lengths"].tolist() for f in found] == [[4, 4], [10]]
    np.testing.assert_array_equal(found[0]["input_ids"], given[0]["input_ids"])
