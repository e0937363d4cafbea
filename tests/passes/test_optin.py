"""Trajectories against runs of the network without a slot, and the split of a budget against all splits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from graphprune.analysis import CostModel
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import AllocationProblem, ScoringProblem, find_pass
from graphprune.testing import analysed
from graphprune_passes.allocations import split
from graphprune_passes.criteria import loss_drop
from tests.passes.nets import net, samples, weights

Floats = NDArray[np.float64]
ROWS = 24


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    normal, analysis = analysed(net("gated"))
    return prepare_inputs(normal, analysis, Wanted({"x": samples("gated", ROWS)}), 0)


def scores(inputs: Inputs, keys: tuple[str, ...]) -> list[Floats]:
    groups = tuple(inputs.analysis.by_key[k] for k in keys)
    found = find_pass("criterion", "loss-drop").run(
        ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    )
    return [found[g.atom][0].values for g in groups]


def run(gone: tuple[str, int] | None = None) -> tuple[Floats, Floats]:
    """The outputs of both blocks, with a neuron of one of them taken out."""
    stream, found = samples("gated", ROWS).astype(np.float64), []
    w = {k: v.astype(np.float64) for k, v in weights("gated").items()}
    for place in ("", "2"):
        hidden = stream @ w[f"up{place}"] / (1 + np.exp(-stream @ w[f"gate{place}"]))
        if gone and gone[0] == place:
            hidden[:, gone[1]] = 0
        stream = stream + hidden @ w[f"down{place}"]
        found.append(stream)
    return found[0], found[1]


def cosines(x: Floats) -> Floats:
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x @ x.T)


def softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_a_neuron_counts_by_what_moves_behind_it(inputs: Inputs) -> None:
    block, output = run()
    moved, told = np.zeros((2, 16)), np.zeros((2, 16))
    for k, place in enumerate(("", "2")):
        for neuron in range(16):
            one, two = run((place, neuron))
            moved[k, neuron] = np.square(cosines(block) - cosines(one)).sum()
            p, q = softmax(output / 4), softmax(two / 4)
            told[k, neuron] = 16 * (p * np.log(p / q)).sum(axis=1).mean()
    wanted = moved + told * moved.mean() / told.mean()
    found = scores(inputs, ("gate[1]", "gate2[1]"))
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-6 * wanted.max())


def test_neurons_in_bunches_share_a_loss(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone,) = scores(inputs, ("gate2[1]",))
    monkeypatch.setattr(loss_drop, "TRIALS", 4)
    (bunched,) = scores(inputs, ("gate2[1]",))
    prior = find_pass("criterion", "wanda").run(
        ScoringProblem(inputs.analysis, (inputs.analysis.by_key["gate2[1]"],), 0, inputs.statistics)
    )
    (member,) = next(iter(prior.values()))
    for bunch in np.array_split(np.argsort(member.values, kind="stable"), 4):
        ratio = bunched[bunch] / member.values[bunch]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert np.corrcoef(alone, bunched)[0, 1] > 0.5


def test_positions_and_maps_are_compared_within_a_sample() -> None:
    draw = np.random.default_rng(0)
    assert loss_drop.gram(draw.normal(size=(3, 5, 7))).shape == (3, 5, 5)
    assert loss_drop.gram(draw.normal(size=(3, 7, 2, 4))).shape == (3, 8, 8)
    assert loss_drop.gram(draw.normal(size=(6, 7))).shape == (1, 6, 6)
    assert loss_drop.gram(draw.normal(size=(2, 500, 3))).shape == (2, 64, 64)
    turned = draw.normal(size=(2, 4, 3))
    q, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    np.testing.assert_allclose(loss_drop.gram(turned), loss_drop.gram(5 * turned @ q), atol=1e-12)


def test_the_split_keeps_the_most_that_any_split_keeps() -> None:
    _, analysis = analysed(net("attention"))
    groups = tuple(g for g in analysis.groups if not g.frozen and g.kind in ("heads", "neurons"))
    assert {g.kind for g in groups} == {"heads", "neurons"}
    draw = np.random.default_rng(2)
    costs = CostModel(analysis)
    for _ in range(5):
        values = {g.atom: draw.exponential(4.0 if g.kind == "heads" else 1.0, g.size) for g in groups}
        floors = {g.atom: 1 for g in groups}
        steps = dict.fromkeys(floors, 1)
        problem = AllocationProblem(
            groups, values, floors, costs, "macs", steps, ScoringProblem(analysis, groups, 0)
        )
        whole = {g.atom: g.size for g in groups}
        price = {g.atom: problem.gain(g.atom, 1, whole) for g in groups}
        removed = split._solve(problem, 0.5)
        budget = 0.5 * sum(price[g.atom] * (g.size - 1) for g in groups)

        def kept(counts: tuple[int, ...], values: dict[int, Floats] = values) -> float:
            return sum(
                float(np.sort(values[g.atom])[g.size - c :].sum())
                for g, c in zip(groups, counts, strict=True)
            )

        def cost(counts: tuple[int, ...], price: dict[int, float] = price) -> float:
            return sum(price[g.atom] * (c - 1) for g, c in zip(groups, counts, strict=True))

        found = tuple(round(g.size * (1 - float(r))) for g, r in zip(groups, removed, strict=True))
        assert cost(found) <= budget + 1e-9
        every = itertools.product(*(range(1, g.size + 1) for g in groups))
        best = max(kept(c) for c in every if cost(c) <= budget)
        assert kept(found) == pytest.approx(best)
