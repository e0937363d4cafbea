"""Criteria and compensations against the formulas of their papers, written out on small nets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from graphprune.dims import Slots
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import CompensationProblem, MemberScore, ScoringProblem, find_pass
from graphprune.statistics import Statistics
from graphprune.testing import analysed
from graphprune_passes.criteria.units import by_unit
from tests.passes.nets import net, samples, weights

Floats = NDArray[np.float64]

# Moments are sums of float32 products.
CLOSE = {"rtol": 2e-5, "atol": 1e-7}


def prepared(name: str) -> Inputs:
    model, analysis = analysed(net(name))
    return prepare_inputs(model, analysis, Wanted({"x": samples(name)}), 0)


@pytest.fixture(scope="module")
def mlp() -> Inputs:
    return prepared("mlp")


@pytest.fixture(scope="module")
def gated() -> Inputs:
    return prepared("gated")


@pytest.fixture(scope="module")
def cnn() -> Inputs:
    return prepared("cnn")


def members(inputs: Inputs, criterion: str, weight: str) -> Sequence[MemberScore]:
    """What a criterion says of the group that the weight makes."""
    statistics: Statistics = inputs.statistics
    (group,) = (g for g in inputs.analysis.groups if g.key.split("[")[0] == weight and not g.frozen)
    found = find_pass("criterion", criterion).run(ScoringProblem(inputs.analysis, (group,), 0, statistics))[
        group.atom
    ]
    return [MemberScore(found, "consumer")] if isinstance(found, np.ndarray) else found


def hidden() -> tuple[Floats, Floats, Floats]:
    """Inputs and both hidden layers of the MLP."""
    w = {k: v.astype(np.float64) for k, v in weights("mlp").items()}
    x = samples("mlp").astype(np.float64)
    a = np.maximum(x @ w["w1"].T + w["b1"], 0)
    return x, a, np.maximum(a @ w["w2"].T + w["b2"], 0)


def test_norms_know_makers_and_readers(mlp: Inputs, gated: Inputs) -> None:
    w = weights("mlp")
    made, read = members(mlp, "l1", "w1")
    assert (made.role, read.role) == ("producer", "consumer")
    np.testing.assert_allclose(made.values, np.abs(w["w1"]).sum(axis=1), **CLOSE)
    np.testing.assert_allclose(read.values, np.abs(w["w2"]).sum(axis=0), **CLOSE)
    assert [m.role for m in members(gated, "l2-group", "gate")] == ["producer", "producer", "consumer"]


def test_fpgm(mlp: Inputs) -> None:
    rows = weights("mlp")["w1"].astype(np.float64)
    wanted = np.linalg.norm(rows[:, None] - rows[None], axis=2).sum(axis=1)
    (member,) = members(mlp, "fpgm", "w1")
    np.testing.assert_allclose(member.values, wanted, **CLOSE)


def test_peaks_variance_and_products_of_gated_layers(gated: Inputs) -> None:
    w = weights("gated")
    gate, up = w["gate"].T, w["up"].T
    maw = sum(r.max(axis=1) + np.abs(r.min(axis=1)) for r in (gate, up))
    vow = gate.var(axis=1) + up.var(axis=1)
    pon = np.abs(gate).sum(axis=1) * np.abs(up).sum(axis=1)
    for name, reducer, wanted in (("maw", "producers", maw), ("vow", "producers", vow), ("pon", "prod", pon)):
        found = find_pass("reducer", reducer).run(members(gated, name, "gate"))
        np.testing.assert_allclose(found**2 if name == "pon" else found, wanted, **CLOSE)


def test_a_gate_stored_beside_what_it_gates_is_scored_alike(gated: Inputs) -> None:
    """One matrix that is split afterwards gives the members that two matrices give."""
    model = net("gated")
    beside, split, up, *_ = (n for n in model.graph.node if n.output[0] in ("g", "s", "u"))
    up.CopyFrom(onnx.helper.make_node("Split", ["both", "halves"], ["g", "u"], axis=-1))
    beside.output[0] = "both"
    reordered = [beside, up, split, *list(model.graph.node)[3:]]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in reordered]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    stored = {i.name: i for i in model.graph.initializer}
    joined = np.concatenate([onnx.numpy_helper.to_array(stored[n]) for n in ("gate", "up")], axis=1)
    stored["gate"].CopyFrom(onnx.numpy_helper.from_array(joined, "gate"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([16, 16]), "halves"))
    ready, analysis = analysed(model)
    inputs = prepare_inputs(ready, analysis, Wanted({"x": samples("gated")}), 0)
    for criterion in ("maw", "vow", "pon", "fpgm"):
        found, wanted = (members(given, criterion, "gate") for given in (inputs, gated))
        assert len(found) == 2
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one.values, other.values, **CLOSE)


def test_bn_scale_and_what_stands_in_for_it(cnn: Inputs) -> None:
    w = weights("cnn")
    (member,) = members(cnn, "bn-scale", "k1")
    assert member.role == "parameter"
    np.testing.assert_allclose(member.values, np.abs(w["g1"]), **CLOSE)
    (member,) = members(cnn, "bn-scale", "w1")
    np.testing.assert_allclose(member.values, np.sqrt(np.square(w["w1"]).mean(axis=1)), **CLOSE)


def test_activation_scores_of_neurons(mlp: Inputs) -> None:
    _, a, _ = hidden()
    w = weights("mlp")["w2"].astype(np.float64)
    norm, variance = np.sqrt(np.square(a).mean(axis=0)), a.var(axis=0)
    wanted = {
        "act-norm": norm,
        "act-var": variance,
        "flap-ifv": variance,
        "wanda": np.abs(w).mean(axis=0) * norm,
        "flap-wifn": np.abs(w).mean(axis=0) * norm,
        "flap-wifv": variance * np.square(w).sum(axis=0),
        "minitron": np.sqrt(np.square(np.abs(a)).sum(axis=0)),
    }
    for name, values in wanted.items():
        (member,) = members(mlp, name, "w1")
        assert member.role == "consumer"
        np.testing.assert_allclose(member.values, values, err_msg=name, **CLOSE)


def maps() -> Floats:
    """First feature maps of the CNN."""
    w = {k: v.astype(np.float64) for k, v in weights("cnn").items()}
    x = samples("cnn").astype(np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    made = np.einsum(
        "bchwij,ocij->bohw", np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3)), w["k1"]
    )
    scale = (w["g1"] / np.sqrt(w["v1"] + 1e-5))[:, None, None]
    return np.maximum((made - w["m1"][:, None, None]) * scale + w["o1"][:, None, None], 0)


def test_activation_scores_of_channels_add_up_over_the_kernel(cnn: Inputs) -> None:
    a = maps()
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 8, 9)
    (member,) = members(cnn, "act-var", "k1")
    np.testing.assert_allclose(member.values, rows.var(axis=0).sum(axis=1), **CLOSE)
    kernel = weights("cnn")["k2"].astype(np.float64).reshape(12, 8, 9)
    wifv = (rows.var(axis=0) * np.square(kernel).sum(axis=0)).sum(axis=1)
    (member,) = members(cnn, "flap-wifv", "k1")
    np.testing.assert_allclose(member.values, wifv, **CLOSE)
    (member,) = members(cnn, "minitron", "k1")
    np.testing.assert_allclose(member.values, np.sqrt(np.square(a.mean(axis=(2, 3))).sum(axis=0)), **CLOSE)


def test_chip_is_the_nuclear_norm_that_is_lost(cnn: Inputs) -> None:
    a = maps().reshape(96, 8, -1)
    wanted = np.zeros(8)
    for sample in [a[32 * batch + k] for batch in range(3) for k in range(2)]:
        whole = np.linalg.norm(sample, "nuc")
        for j in range(8):
            without = sample.copy()
            without[j] = 0
            wanted[j] += whole - np.linalg.norm(without, "nuc")
    (member,) = members(cnn, "chip", "k1")
    np.testing.assert_allclose(member.values, wanted, rtol=1e-4)


def test_beta_rank(mlp: Inputs) -> None:
    x, _, _ = hidden()
    w = weights("mlp")["w1"].astype(np.float64)
    x = x[:32]  # the first batch
    wanted = np.abs(w).mean(axis=1) * (x @ w.T).std(axis=0) / x.std()
    (member,) = members(mlp, "beta-rank", "w1")
    np.testing.assert_allclose(member.values, wanted, **CLOSE)


def test_leverage(mlp: Inputs) -> None:
    _, a, _ = hidden()
    m = a.T @ a / len(a)
    ridge = 1e-4 * np.trace(m) / len(m) * np.eye(len(m))
    (member,) = members(mlp, "leverage", "w1")
    np.testing.assert_allclose(member.values, np.diag(m @ np.linalg.inv(m + ridge)), rtol=1e-3, atol=1e-4)


def damped(m: Floats) -> Floats:
    return m + 1e-2 * np.trace(m) / len(m) * np.eye(len(m))


def test_costs_of_removing_one_unit(mlp: Inputs) -> None:
    _, a, _ = hidden()
    w = weights("mlp")["w2"].astype(np.float64)
    m, c = a.T @ a / len(a), np.cov(a.T, bias=True)
    costs = np.square(w).sum(axis=0) / np.diag(np.linalg.inv(damped(m)))
    (member,) = members(mlp, "obs-diag", "w1")
    np.testing.assert_allclose(member.values, costs / np.trace(w @ m @ w.T), rtol=1e-4)
    for name, moment in (("obs-second", m), ("obs", c)):
        costs = np.square(w).sum(axis=0) / np.diag(np.linalg.inv(damped(moment)))
        (member,) = members(mlp, name, "w1")
        lowest = int(np.argmin(costs))
        assert np.argmin(member.values) == lowest
        np.testing.assert_allclose(
            member.values[lowest], costs[lowest] / np.trace(w @ moment @ w.T), rtol=1e-4
        )


def test_tyr_adds_the_first_order(mlp: Inputs) -> None:
    _, a, _ = hidden()
    w = weights("mlp")["w2"].astype(np.float64)
    m = a.T @ a / len(a)
    first = (w * (w @ m)).sum(axis=0)
    costs = np.square(w).sum(axis=0) / np.diag(np.linalg.inv(damped(m))) / 2 + first
    costs /= np.trace(w @ m @ w.T)
    lowest = np.argsort(costs)[:2]  # 20 units in 16 rounds: two at a time
    (member,) = members(mlp, "tyr", "w1")
    assert list(np.argsort(member.values)[:2]) == list(lowest)
    apart = member.values[lowest[1]] - member.values[lowest[0]]
    np.testing.assert_allclose(apart, costs[lowest[1]] - costs[lowest[0]], rtol=1e-3)


def repaired(
    inputs: Inputs, compensation: str, weight: str, kept: list[int]
) -> dict[str, NDArray[np.float32]]:
    (group,) = (g for g in inputs.analysis.groups if g.key.split("[")[0] == weight and not g.frozen)
    keeps = {group.atom: Slots(np.array(kept, np.int64), group.outer)}
    batches = inputs.statistics.batches
    problem = CompensationProblem(inputs.model, inputs.analysis, keeps, batches, 1 << 30, 0)
    return find_pass("compensation", compensation).run(problem).weights  # type: ignore[no-any-return]


def test_merging_a_multiple_of_a_neuron_is_exact() -> None:
    model = net("mlp")
    w = {k: v.copy() for k, v in weights("mlp").items()}
    w["w1"][7], w["b1"][7] = 0.5 * w["w1"][2], 0.5 * w["b1"][2]
    for tensor in model.graph.initializer:
        tensor.raw_data = w[tensor.name].tobytes()
    normal, analysis = analysed(model)
    inputs = prepare_inputs(normal, analysis, Wanted({"x": samples("mlp")}), 0)
    found = repaired(inputs, "merge", "w1", [k for k in range(20) if k != 7])["w2"]
    wanted = w["w2"].copy()
    wanted[:, 2] += 0.5 * wanted[:, 7]
    kept = [k for k in range(20) if k != 7]
    np.testing.assert_allclose(found[:, kept], wanted[:, kept], rtol=1e-5, atol=1e-6)


def test_merging_takes_batch_normalisation_into_account() -> None:
    model = net("cnn")
    w = {k: v.copy() for k, v in weights("cnn").items()}
    w["k1"][5], w["g1"][5] = w["k1"][1], 0.25 * w["g1"][1]
    w["v1"][5], w["m1"][5], w["o1"][5] = w["v1"][1], w["m1"][1], 0.25 * w["o1"][1]
    for tensor in model.graph.initializer:
        tensor.raw_data = w[tensor.name].tobytes()
    normal, analysis = analysed(model)
    inputs = prepare_inputs(normal, analysis, Wanted({"x": samples("cnn")}), 0)
    kept = [k for k in range(8) if k != 5]
    found = repaired(inputs, "merge", "k1", kept)["k2"]
    wanted = w["k2"].copy()
    wanted[:, 1] += 0.25 * wanted[:, 5]
    np.testing.assert_allclose(found[:, kept], wanted[:, kept], rtol=1e-5, atol=1e-6)


def test_batch_normalisation_gets_the_moments_of_what_reaches_it(cnn: Inputs) -> None:
    kept = [0, 1, 3, 4, 6]
    found = repaired(cnn, "bn-recal", "k1", kept)
    w = {k: v.astype(np.float64) for k, v in weights("cnn").items()}
    x = np.pad(samples("cnn").astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))

    def conv(x: Floats, kernel: Floats) -> Floats:
        view = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
        return np.einsum("bchwij,ocij->bohw", view, kernel)

    first = conv(x, w["k1"])
    mean, variance = first.mean(axis=(0, 2, 3)), first.var(axis=(0, 2, 3))
    np.testing.assert_allclose(found["m1"][kept], mean[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["v1"][kept], variance[kept], rtol=1e-4, atol=1e-5)
    normed = (first - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    a = np.maximum(normed * w["g1"][:, None, None] + w["o1"][:, None, None], 0)[:, kept]
    second = conv(np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1))), w["k2"][:, kept])[:, :, ::2, ::2]
    np.testing.assert_allclose(found["m2"], second.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["v2"], second.var(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_rows_of_units_whatever_the_layout() -> None:
    draw = np.random.default_rng(8)
    array = draw.normal(size=(3, 6, 2))
    along = np.array([1, 0, 2, 1, 0, 2])
    slow = by_unit(array, np.broadcast_to(along[:, None], (3, 6, 2)), 3)
    fast = by_unit(array, along.reshape(1, 6, 1), 3)
    assert fast.shape == slow.shape == (3, 12)
    for rows in (slow, fast):
        for unit in range(3):
            wanted = array[:, along == unit].reshape(-1)
            assert np.array_equal(np.sort(rows[unit]), np.sort(wanted))
    ragged = by_unit(array, np.array([0, 0, 1, -1, -1, -1]).reshape(1, 6, 1), 2)
    assert np.array_equal(np.sort(ragged[0]), np.sort(array[:, :2].reshape(-1)))
    assert np.array_equal(ragged[1], [*array[:, 2].reshape(-1), *np.zeros(6)])
