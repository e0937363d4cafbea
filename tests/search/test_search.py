"""The smallest model that is good enough: found, kept in mind, and refused where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.errors import GraphPruneError, TargetError, UsageError
from graphprune.metrics import Predict
from graphprune.search import Point, Wish, make_wish
from graphprune.search.curve import best, bracket

X = np.random.default_rng(4).normal(size=(64, 8)).astype(np.float32)


def closeness(model: onnx.ModelProto) -> Any:
    """A metric of 1 for the model itself, less for what differs from it."""
    seen: list[np.ndarray] = []
    graphprune.evaluate(model, lambda predict: float(bool(seen.append(predict(X)["y"]))))

    def close(predict: Predict) -> float:
        calls.append(str(predict.path))
        y = predict(X)["y"]
        return 1 - float(np.linalg.norm(y - seen[0]) / np.linalg.norm(seen[0]))

    calls: list[str] = []
    close.calls = calls  # type: ignore[attr-defined]
    return close


def find(model: Any, **given: Any) -> graphprune.Result:
    return graphprune.prune(model, **{"recipe": "plain", **given})


# -- what is found ----------------------------------------------------------------------------------


def test_the_smallest_model_that_keeps_the_metric(small: onnx.ModelProto) -> None:
    close = closeness(small)
    result = find(small, max_drop=0.5, metric=close)
    quality, curve = result.report["quality"], result.report["curve"]
    assert quality["original"] == 1.0
    assert quality["pruned"] >= 0.5
    assert graphprune.evaluate(result.model, close).values[0]["close"] == pytest.approx(quality["pruned"])
    good = [p["share"] for p in curve if p["good"]]
    bad = [p["share"] for p in curve if not p["good"]]
    assert good
    assert bad
    assert max(bad) < min(good)
    macs = result.report["after"]["macs"] / result.report["before"]["macs"]
    assert macs == pytest.approx(min(good))
    assert result.report["equivalence"]["status"] == "equal"
    # Any budget that is smaller by more than the resolution gives a model that was seen to be too bad.
    smaller = find(small, target=f"macs={macs - 0.02:.3f}").model
    assert graphprune.evaluate(smaller, close).values[0]["close"] < 0.5


def test_the_same_budget_gives_the_same_model(small: onnx.ModelProto) -> None:
    result = find(small, max_drop=0.5, metric=closeness(small))
    target = result.report["asked"]["targets"]
    assert find(small, target=target).model == result.model


def test_a_looser_limit_gives_a_smaller_model(small: onnx.ModelProto) -> None:
    strict, loose = (find(small, max_drop=d, metric=closeness(small)).report["after"] for d in ("20%", "70%"))
    assert loose["macs"] < strict["macs"]


def test_agreement_on_inputs_kept_aside(small: onnx.ModelProto) -> None:
    given = np.random.default_rng(7).normal(size=(512, 8)).astype(np.float32)
    result = find(small, recipe="", min_fidelity="cosine=0.97", calib={"x": given})
    quality = result.report["quality"]
    assert (quality["measure"], quality["original"]) == ("cosine", 1.0)
    assert quality["judged_on"] == "calibration inputs kept aside"
    assert quality["pruned"] >= 0.97
    (found,) = graphprune.verify(small, result.model, calib={"x": given}, consumers="none").fidelity
    assert found.cosine > 0.95


def test_a_plan_repeats_what_was_found(small: onnx.ModelProto, tmp_path: Path) -> None:
    """More inputs are kept aside for agreement than otherwise; the plan knows."""
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(7).normal(size=(512, 8)).astype(np.float32))
    result = find(small, recipe="", min_fidelity="cosine=0.97", calib=tmp_path / "x.npz")
    assert result.plan.repair["aside"] == 4
    assert graphprune.apply(result.plan, small).model == result.model


def test_parameters_can_be_made_small_instead(small: onnx.ModelProto) -> None:
    report = find(small, min_fidelity="top1=0.5", minimise="params").report
    assert report["quality"]["minimised"] == "params"
    assert report["asked"]["targets"][0].startswith("params=")
    assert any("made-up inputs" in w for w in report["warnings"])


# -- what cannot be found -----------------------------------------------------------------------------


def test_nothing_is_good_enough(small: onnx.ModelProto, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    with pytest.raises(
        TargetError, match=r"the best leaves macs=0\.\d+ with close 0\.\d+ \(original 1\.0000\)"
    ):
        find(small, max_drop=0, metric=closeness(small), output=out)
    assert not out.exists()


def test_a_result_that_is_worse_than_when_it_was_tried(small: onnx.ModelProto, tmp_path: Path) -> None:
    """Quality is noisy: what is written was measured, and the next larger model takes its place."""
    close = closeness(small)
    honest = find(small, max_drop=0.5, metric=close)
    smallest = min(p["macs"] for p in honest.report["curve"] if p["good"])
    seen: dict[int, int] = {}

    def moody(predict: Predict) -> float:
        size = sum(t.dims[0] for t in onnx.load(predict.path).graph.initializer)
        seen[size] = seen.get(size, 0) + 1
        value = float(close(predict))
        return value if seen[size] == 1 or size != smallest_size else 0.0

    smallest_size = sum(t.dims[0] for t in honest.model.graph.initializer)
    told: list[str] = []
    result = find(small, max_drop=0.5, metric=moody, output=tmp_path / "out.onnx", progress=told.append)
    assert seen[smallest_size] == 2
    assert result.report["after"]["macs"] > smallest
    assert result.report["quality"]["pruned"] >= 0.5
    assert any("it was better when it was tried" in line for line in told)
    assert onnx.load(tmp_path / "out.onnx") == result.model


# -- what is kept in mind -----------------------------------------------------------------------------


@pytest.fixture
def counted(small: onnx.ModelProto) -> Any:
    return closeness(small)


def test_points_are_not_tried_twice(small: onnx.ModelProto, counted: Any, tmp_path: Path) -> None:
    known = tmp_path / "points.json"
    first = find(small, max_drop=0.5, metric=counted, resume=known)
    before = len(counted.calls)
    assert before == len(first.report["curve"]) + 2  # the original, and the result once more
    again = find(small, max_drop=0.5, metric=counted, resume=known)
    assert len(counted.calls) == before + 1
    assert again.report["curve"] == first.report["curve"]
    assert again.model == first.model


def test_another_limit_asks_the_same_points(small: onnx.ModelProto, counted: Any, tmp_path: Path) -> None:
    known = tmp_path / "points.json"
    find(small, max_drop=0.5, metric=counted, resume=known)
    before = len(counted.calls)
    resumed = find(small, max_drop=0.3, metric=counted, resume=known)
    spent = len(counted.calls) - before
    fresh = find(small, max_drop=0.3, metric=counted)
    assert spent < len(counted.calls) - before - spent
    assert resumed.report["quality"]["pruned"] >= 0.7
    assert fresh.report["quality"]["pruned"] >= 0.7
    assert len(json.loads(known.read_text())["searches"]) == 1


def test_an_interrupted_search_goes_on(small: onnx.ModelProto, counted: Any, tmp_path: Path) -> None:
    known = tmp_path / "points.json"

    def stops(predict: Predict) -> float:
        if len(counted.calls) == 3:
            raise KeyboardInterrupt
        return float(counted(predict))

    with pytest.raises(KeyboardInterrupt):
        find(small, max_drop=0.5, metric=stops, resume=known)
    (search,) = json.loads(known.read_text())["searches"].values()
    assert len(search["points"]) == 2
    counted.calls.append("go on")
    told: list[str] = []
    find(small, max_drop=0.5, metric=stops, resume=known, progress=told.append)
    assert any(line.startswith("2 points are known from") for line in told)


def test_other_questions_have_points_of_their_own(
    small: onnx.ModelProto, counted: Any, tmp_path: Path
) -> None:
    known = tmp_path / "points.json"
    find(small, max_drop=0.5, metric=counted, resume=known)
    find(small, max_drop=0.5, metric=counted, resume=known, min_keep=0.2)
    tuned = onnx.ModelProto()
    tuned.CopyFrom(small)
    weight = tuned.graph.initializer[0]
    weight.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(2), weight.name)
    )
    find(tuned, max_drop=0.5, metric=closeness(tuned), resume=known)
    assert len(json.loads(known.read_text())["searches"]) == 3


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"format": 9, "searches": {}}'])
def test_a_file_that_holds_something_else(text: str, small: onnx.ModelProto, tmp_path: Path) -> None:
    known = tmp_path / "points.json"
    known.write_text(text)
    with pytest.raises(UsageError, match="holds no points of a search"):
        find(small, max_drop=0.5, metric=closeness(small), resume=known)
    assert known.read_text() == text


# -- the parts ----------------------------------------------------------------------------------------


def point(share: float, quality: float, target: float | None = None) -> Point:
    return Point(target or share, share, 0, 0, 0, 0, quality, 1.0)


def test_bracket_of_a_curve_with_noise() -> None:
    def good(p: Point) -> bool:
        return p.quality > 0.5

    points = [point(0.8, 0.9), point(0.6, 0.4), point(0.5, 0.6), point(0.3, 0.2), point(0.4, 0.1, 0.45)]
    found = bracket(points, good, 0.1)
    assert (found.low, found.high) == (0.45, 0.5)  # 0.6 was bad luck, 0.45 gave the model of 0.4
    assert found.tries(0.01) == 3
    assert best(points, good) == point(0.5, 0.6)
    assert bracket([], good, 0.1).tries(0.01) == 7
    assert best([point(0.3, 0.2)], good) is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("0.01", None, None), "needs a measure: --metric"),
        ((None, None, len), "give --max-drop"),
        (("0.01", "0.9", len), "not both"),
        (("a", None, len), "cannot read --max-drop 'a'"),
        (("-1", None, len), "must not be negative"),
        ((None, "recall=0.9", None), "cannot read --min-fidelity 'recall=0.9'"),
        ((None, "top1=x", None), "cannot read --min-fidelity 'top1=x'"),
        ((None, "1", None), "must lie between 0 and 1"),
    ],
)
def test_wishes_that_make_no_sense(given: tuple[Any, Any, Any], complaint: str) -> None:
    with pytest.raises(GraphPruneError, match=complaint):
        make_wish(*given)


def test_wishes_are_read() -> None:
    assert make_wish(None, None, None) is None
    share = make_wish("2%", None, len)
    assert isinstance(share, Wish)
    assert share.allows(0.5, 0.49)
    assert not share.allows(0.5, 0.489)
    plain = make_wish(0.01, None, len)
    assert isinstance(plain, Wish)
    assert plain.allows(0.898, 0.888)
    with pytest.raises(UsageError, match="no --ratio and no --target"):
        make_wish(0.01, None, len, excluded=True)
    with pytest.raises(UsageError, match="choose from macs, params, size"):
        make_wish(0.01, None, len, minimise="latency")
