"""Tensors that do not fit into memory come back from the disk as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphprune
from graphprune.statistics.stages import OnDemand, Store
from tests.passes.nets import net, samples


def test_what_does_not_fit_comes_back_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arrays = [np.full((4, 4), k, np.float32) for k in range(4)]
    store = Store(2 * arrays[0].nbytes)
    for k, array in enumerate(arrays):
        store.put("x", k, array)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    for k, array in enumerate(arrays):
        np.testing.assert_array_equal(store.get("x", k), array)
        assert store.get("x", k).dtype == array.dtype
    store.drop(frozenset(["x"]), 3)
    assert ("x", 0) not in store
    assert ("x", 3) in store
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    store.put("y", 0, arrays[0])
    assert store.get("y", 0) is arrays[0], "there is room again"
    store.close()
    assert not list(tmp_path.iterdir())


def test_feeds_on_demand_are_made_when_asked_for() -> None:
    made: list[int] = []

    def make(k: int) -> dict[str, np.ndarray]:
        made.append(k)
        return {"x": np.full(2, k)}

    feeds = OnDemand(3, make)
    assert len(feeds) == 3
    assert not made
    assert [int(f["x"][0]) for f in feeds] == [0, 1, 2]
    assert int(feeds[-1]["x"][0]) == 2
    with pytest.raises(IndexError):
        feeds[3]


def test_a_repair_without_memory_is_the_same() -> None:
    made = [
        graphprune.prune(net("mlp"), 0.4, calib={"x": samples("mlp")}, verify=False, memory=memory).model
        for memory in (0, 4 << 30)
    ]
    assert made[0].SerializeToString() == made[1].SerializeToString()
