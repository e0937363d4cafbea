"""Scores of heads and of their widths against the formulas, written out on a small attention layer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import ScoringProblem, find_pass
from graphprune.testing import analysed
from tests.hard_cases.test_handmade import HANDMADE
from tests.passes.nets import net, samples, weights

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    normal, analysis = analysed(net("attention"))
    return prepare_inputs(normal, analysis, Wanted({"x": samples("attention")}), 0)


def scores(inputs: Inputs, criterion: str, key: str) -> Floats:
    group = inputs.analysis.by_key[key]
    problem = ScoringProblem(inputs.analysis, (group,), 0, inputs.statistics)
    (member,) = find_pass("criterion", criterion).run(problem)[group.atom]
    return np.asarray(member.values)


def heads(name: str) -> Floats:
    """Queries, keys or values: `(samples, heads, positions, width)`."""
    x = samples("attention").astype(np.float64) @ weights("attention")[name].astype(np.float64)
    return x.reshape(-1, 6, 4, 6).transpose(0, 2, 1, 3)


def attended() -> Floats:
    """What each head gives: `(samples, heads, positions, width)`."""
    s = heads("wq") @ heads("wk").transpose(0, 1, 3, 2) * 0.5
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True) @ heads("wv"))


def test_widths_of_keys_count_by_what_queries_make_of_them(inputs: Inputs) -> None:
    wanted = np.square(heads("wq")).mean(axis=(0, 2)) * np.square(heads("wk")).mean(axis=(0, 2))
    np.testing.assert_allclose(scores(inputs, "query-key", "wq[1].2"), wanted, rtol=1e-4)


def test_widths_of_values_count_by_what_they_add(inputs: Inputs) -> None:
    reader = weights("attention")["wo"].astype(np.float64).reshape(4, 6, 12)
    wanted = np.square(attended()).mean(axis=(0, 2)) * np.square(reader).sum(axis=2)
    np.testing.assert_allclose(scores(inputs, "query-key", "wv[1]"), wanted, rtol=1e-4)


def test_heads_count_by_how_often_they_add_most(inputs: Inputs) -> None:
    reader = weights("attention")["wo"].astype(np.float64).reshape(4, 6, 12)
    norms = np.linalg.norm(np.einsum("nhtd,hdo->ntho", attended(), reader), axis=3).reshape(-1, 4)
    usage = np.bincount(norms.argmax(axis=1), minlength=4) / len(norms)
    share = (norms / norms.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(scores(inputs, "usage", "wq[1]"), usage + 1e-3 * share, rtol=1e-4)


@pytest.mark.parametrize("name", ["rotary", "rotary_interleaved"])
def test_pairs_that_turn_together_are_added_up_over_all_heads(name: str) -> None:
    normal, analysis = analysed(HANDMADE[name]())
    x = np.random.default_rng(0).normal(size=(64, 6, 6)).astype(np.float32)
    inputs = prepare_inputs(normal, analysis, Wanted({"x": x}), 0)
    shapes = inputs.analysis.recording.shapes
    (meet,) = (n for n in inputs.analysis.facts.nodes if shapes.get(n.inputs[-1], ())[-2:] == (8, 6))
    read = list(inputs.statistics.tensors(meet.inputs))
    q, k = (np.concatenate([r[n] for r in read]).astype(np.float64) for n in meet.inputs)
    each = np.square(q).mean(axis=(0, 2)) * np.square(k).mean(axis=(0, 3))
    pairs = each.reshape(3, 2, 4).sum(axis=1) if name == "rotary" else each.reshape(3, 4, 2).sum(axis=2)
    np.testing.assert_allclose(scores(inputs, "query-key", "W_5[1].2"), pairs.sum(axis=0), rtol=1e-4)
