"""Random graphs: pruning any of them must be mask-equivalent, valid, repeatable and without side effects."""

from __future__ import annotations

import onnx
import pytest
from graphfuzz import Recipe, Step, build, check, moves, random_recipe
from graphfuzz.properties import accepted
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

STEPS = st.builds(Step, st.sampled_from(sorted(moves)), st.integers(0, (1 << 16) - 1))
RECIPES = st.builds(
    Recipe, st.integers(0, (1 << 16) - 1), st.lists(STEPS, min_size=1, max_size=10).map(tuple)
)


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(RECIPES)
def test_random_graphs_prune_exactly(recipe: Recipe) -> None:
    assume(check(build(recipe)).runnable)


@pytest.mark.parametrize("move", sorted(moves))
def test_every_move_makes_graphs_that_run(move: str) -> None:
    """The generator is worth something only if each of its moves really occurs."""
    fresh = 0
    for seed in range(40):
        plain = build(Recipe(seed, ()))
        model = build(Recipe(seed, (Step(move, seed),)))
        assert accepted(model) == ""
        fresh += len(model.graph.node) > len(plain.graph.node)
    assert fresh, f"{move} never found anything to work on"


def test_recipes_build_the_same_graph_twice() -> None:
    recipe = random_recipe(7)
    first, second = (build(recipe).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_the_oracle_sees_something() -> None:
    """Equality proves nothing where masking does not move the outputs."""
    found = [check(build(random_recipe(seed)), seed) for seed in range(12)]
    assert sum(c.groups for c in found) > 30
    assert sum(c.change > 1e-3 for c in found) >= 8


def test_graphs_hold_what_the_grammar_promises() -> None:
    ops = {n.op_type for seed in range(150) for n in build(random_recipe(seed)).graph.node}
    wanted = {
        "Conv",
        "ConvTranspose",
        "Einsum",
        "LSTM",
        "GRU",
        "Softmax",
        "Resize",
        "Where",
        "Pow",
        "Div",
        "Pad",
        "Tile",
    }
    assert wanted <= ops, wanted - ops
    assert isinstance(build(random_recipe(0)), onnx.ModelProto)
