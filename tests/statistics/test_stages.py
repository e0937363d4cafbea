"""Parts of a graph that run by themselves."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphprune.analysis.facts import read_graph
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.statistics.stages import StageModel, run_stage


@pytest.mark.parametrize("inside", [0, 1, 2])
def test_a_part_that_resizes_to_computed_sizes_runs(inside: int) -> None:
    """Wherever it begins: at the sizes, at what they are put together from, or at shapes."""
    model = load(
        onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 3, h, w] x, float[n, 3, i, j] t) => (float[] y) {'
            "first = Shape<start=0, end=2>(x) last = Shape<start=2>(t) one = Identity(last) "
            'sizes = Concat<axis=0>(first, one) y = Resize<mode="nearest">(x, , , sizes) }'
        )
    ).model
    model = normalise(model)  # which gives nodes names
    facts = read_graph(model)
    order = ["Resize", "Concat", "Identity"]
    part = [n.name for n in facts.nodes if n.op in order[: inside + 1]]
    before = [n.name for n in facts.nodes if n.name not in part]
    builder = StageModel(model, facts)
    feeds = [{"x": np.ones((2, 3, 4, 5), np.float32), "t": np.ones((2, 3, k, 7), np.float32)} for k in (6, 9)]
    given = builder.inputs_of(part)
    computed = run_stage(builder, before, [n for n in given if n not in ("x", "t")], {}, feeds)
    known = [{**f, **c} for f, c in zip(feeds, computed, strict=True)]
    made = run_stage(builder, part, ["y"], {}, [{n: f[n] for n in given} for f in known])
    assert [m["y"].shape for m in made] == [(2, 3, 6, 7), (2, 3, 9, 7)]
