"""Sizes that inputs have, read before the model was watched running; and pruning at those sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import graphprune
from graphprune.calibrate import Held, given_examples, given_sizes, hold, load_calibration
from graphprune.inputs import Wanted
from graphprune.normalise import normalise
from graphprune.runtime import record
from tests.decoder import decoder, decoder_feeds

# Windows of 448 to 703 samples only, of which 576 is what it was made for.
WINDOW = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, samples] sound, float[batch, 5] state) => (float[batch, 3] y) {
    u = Unsqueeze(sound, one)
    a = Conv <strides = [64], pads = [64, 64]> (u, k1)
    b = Relu(a)
    cut = Slice(b, four, far, two)
    c = Conv <strides = [4]> (cut, k2)
    d = Relu(c)
    e = Squeeze(d, two)
    f = Concat <axis = 1> (e, state)
    y = MatMul(f, w)
}"""
RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def window() -> onnx.ModelProto:
    model = onnx.parser.parse_model(WINDOW)
    weights = {
        "k1": normal(16, 1, 128),
        "k2": normal(12, 16, 4),
        "w": normal(17, 3),
        **{name: np.array([k]) for name, k in (("one", 1), ("two", 2), ("four", 4), ("far", 99))},
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, n) for n, v in weights.items())
    return model


def feeds(*lengths: int) -> Iterator[dict[str, np.ndarray]]:
    for length in lengths:
        yield {"sound": normal(1, length), "state": normal(1, 5)}


def test_sizes_come_most_frequent_first(window: onnx.ModelProto) -> None:
    model = normalise(ir.from_proto(window))
    assert given_sizes(list(feeds(512, 576, 576)), model) == (
        {"batch": 1, "samples": 576},
        {"batch": 1, "samples": 512},
    )


@pytest.mark.parametrize("what", [None, "noise", "noise:uniform", "nothing-there.npz", 3, [3], ["words"]])
def test_what_cannot_be_read_has_no_sizes(window: onnx.ModelProto, what: object) -> None:
    assert given_sizes(what, normalise(ir.from_proto(window))) == ()


def test_files_and_pictures_have_sizes(tmp_path: Path, window: onnx.ModelProto) -> None:
    np.savez(tmp_path / "a.npz", **next(feeds(576)))
    model = normalise(ir.from_proto(window))
    assert given_sizes(str(tmp_path / "a.npz"), model)[0]["samples"] == 576
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "pictures").mkdir()
    image.new("RGB", (90, 70)).save(tmp_path / "pictures" / "a.png")
    seeing = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 3, h, w] x) => (float[n, 3, h, w] y) { y = Relu(x) }'
    )
    found = given_sizes(tmp_path / "pictures", normalise(ir.from_proto(seeing)), "resize=64,crop=48")
    assert found == ({"n": 1, "h": 48, "w": 48},)


def test_what_can_be_read_once_is_held(tmp_path: Path, window: onnx.ModelProto) -> None:
    hook = tmp_path / "loader.py"
    hook.write_text(
        "import numpy as np\ncount = 0\n"
        "def batches():\n    global count\n    count += 1\n    assert count == 1\n"
        "    yield {'sound': np.ones((1, 576), np.float32), 'state': np.ones((1, 5), np.float32)}\n"
    )
    wanted = Wanted(f"{hook}:batches").held()
    assert isinstance(wanted.calibration, Held)
    model = normalise(ir.from_proto(window))
    assert wanted.sizes(model)[0]["samples"] == 576
    assert wanted.held() == wanted
    assert (wanted.as_data or {})["calibration"] == f"{hook}:batches"
    recording = record(model, 0, wanted.sizes(model))
    assert load_calibration(wanted.calibration, model, recording).source == f"{hook}:batches"
    array = np.ones(3)
    assert hold(array) is array
    assert hold("somewhere.npz") == "somewhere.npz"


@pytest.mark.parametrize("lengths", [(576,) * 8, (576, 576, 576, 512, 600)])
def test_pruned_at_the_sizes_of_the_inputs(window: onnx.ModelProto, lengths: tuple[int, ...]) -> None:
    result = graphprune.prune(
        window, target="macs=0.6", compensation="refit", normaliser="mean", calib=feeds(*lengths)
    )
    assert result.report["equivalence"]["status"] == "equal"
    # Two convolutions and a product, of one window: counted at the size that was given.
    assert result.report["before"]["macs"] == 10 * 16 * 128 + 12 * 16 * 4 + 17 * 3


def test_batches_of_several_sizes(window: onnx.ModelProto) -> None:
    given = [{"sound": normal(n, 576), "state": normal(n, 5)} for n in (4, 1, 7)]
    result = graphprune.prune(window, target="macs=0.6", compensation="refit", normaliser="mean", calib=given)
    assert result.report["equivalence"]["status"] == "equal"


# -- examples, for models that refuse what is made up ----------------------------------------------


def lengths_of(what: object, window: onnx.ModelProto, samples: int | None = None) -> list[tuple[int, ...]]:
    found = given_examples(what, normalise(ir.from_proto(window)), samples=samples)
    assert all(len(f["sound"]) == len(f["state"]) for f in found)
    return [f["sound"].shape for f in found]


def test_examples_are_few_samples_and_all_of_them(window: onnx.ModelProto) -> None:
    given = {"sound": normal(70, 576), "state": normal(70, 5)}
    assert lengths_of(given, window) == [(3, 576), (2, 576), (32, 576)]


def test_examples_that_come_one_by_one_are_also_joined(window: onnx.ModelProto) -> None:
    assert lengths_of(list(feeds(576, 576, 576, 512)), window) == [(1, 576), (2, 576), (1, 512)]
    assert lengths_of(list(feeds(576, 576, 576, 512)), window, samples=1) == [(1, 576)]


def test_examples_are_of_a_few_sizes(window: onnx.ModelProto) -> None:
    assert lengths_of(feeds(*range(500, 600)), window) == [(1, length) for length in range(500, 504)]


def test_examples_have_the_types_and_the_batch_axis_of_the_model(window: onnx.ModelProto) -> None:
    model = normalise(ir.from_proto(window))
    (found,) = given_examples([{"sound": [0.5] * 576, "state": np.zeros(5)}], model)
    assert {n: (a.shape, a.dtype.name) for n, a in found.items()} == {
        "sound": ((1, 576), "float32"),
        "state": ((1, 5), "float32"),
    }


@pytest.mark.parametrize(
    "what", [None, "noise", "nothing-there.npz", 3, ["words"], [{"sound": np.ones(576)}]]
)
def test_what_cannot_be_read_gives_no_examples(window: onnx.ModelProto, what: object) -> None:
    assert given_examples(what, normalise(ir.from_proto(window))) == ()


def test_examples_that_would_contradict_each_other_are_not_joined() -> None:
    model = normalise(ir.from_proto(decoder(fixed={"batch": 1})))
    assert [f["seqlens_k"].tolist() for f in given_examples([decoder_feeds(1, 1, 5)] * 2, model)] == [[5]]
    model = normalise(ir.from_proto(decoder()))
    steps = [decoder_feeds(1, 1, past) for past in (5, 5, 8)]
    assert [f["seqlens_k"].tolist() for f in given_examples(steps, model)] == [[5], [5, 5], [8]]
