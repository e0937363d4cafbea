"""Calibration inputs: every form users have, and one clear sentence for each that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.calibrate import Calibration, load_calibration
from graphprune.calibrate.images import Preprocessing
from graphprune.errors import CalibrationError
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime import record
from tests.decoder import decoder

TWO = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3] a, int64[batch, 5] ids) => (float[batch, 3] y) <float[7, 3] table> {
 e = Gather(table, ids)
 s = ReduceSum<keepdims=0>(e, axis)
 y = Add(a, s) }"""
IMAGE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3, 16, 12] x) => (float[n, 4, 14, 10] y) { y = Conv(x, w) }"""


def loaded(text: str, weights: dict[str, np.ndarray]) -> Callable[..., Calibration]:
    model = onnx.parser.parse_model(text)
    del model.graph.value_info[:]
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    normal = normalise(ir.from_proto(model))
    recording = record(normal)
    return lambda what, **options: load_calibration(what, normal, recording, **options)


@pytest.fixture(scope="module")
def two() -> Callable[..., Calibration]:
    table = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    return loaded(TWO, {"table": table, "axis": np.array([1])})


@pytest.fixture(scope="module")
def image() -> Callable[..., Calibration]:
    return loaded(IMAGE, {"w": np.ones((4, 3, 3, 3), np.float32)})


def arrays(n: int = 70) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {"a": draw.normal(size=(n, 3)).astype(np.float32), "ids": draw.integers(0, 7, (n, 5))}


def joined(found: Calibration, name: str) -> np.ndarray:
    return np.concatenate([b[name] for b in found.batches])


def test_npz(two: Callable[..., Calibration], tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", **arrays())
    found = two(tmp_path / "c.npz")
    assert found.samples == 70
    assert not found.synthetic
    assert max(len(b["a"]) for b in found.batches) <= 64
    for name, values in arrays().items():
        np.testing.assert_array_equal(joined(found, name), values)


def test_folder_of_npz(two: Callable[..., Calibration], tmp_path: Path) -> None:
    for k in range(3):
        np.savez(tmp_path / f"{k}.npz", **arrays(4))
    assert two(tmp_path).samples == 12


def test_npy_for_a_single_input(image: Callable[..., Calibration], tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.zeros((5, 3, 16, 12)))
    found = image(tmp_path / "c.npy")
    assert found.samples == 5
    assert found.batches[0]["x"].dtype == np.float32


@pytest.mark.parametrize("form", ["mapping", "list of feeds", "tuples", "generator"])
def test_objects(two: Callable[..., Calibration], form: str) -> None:
    given = arrays(6)
    feeds = [{n: v[k : k + 2] for n, v in given.items()} for k in range(0, 6, 2)]
    what: Any = {
        "mapping": given,
        "list of feeds": feeds,
        "tuples": [tuple(f.values()) for f in feeds],
        "generator": (f for f in feeds),
    }[form]
    found = two(what)
    assert found.samples == 6
    np.testing.assert_array_equal(joined(found, "ids"), given["ids"])


def test_one_sample_without_its_batch_axis(image: Callable[..., Calibration]) -> None:
    assert image([np.zeros((3, 16, 12), np.float32)] * 3).samples == 3


def test_function_in_a_file(two: Callable[..., Calibration], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def inputs():\n"
        "    for k in range(3):\n"
        "        yield {'a': np.zeros((2, 3), 'float32'), 'ids': np.full((2, 5), k)}\n"
    )
    found = two(f"{tmp_path / 'mine.py'}:inputs")
    assert found.samples == 6
    assert joined(found, "ids").max() == 2


def test_function_in_a_module(
    two: Callable[..., Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_too.py").write_text(
        "import numpy as np\ndef inputs():\n    yield np.zeros((2, 3), 'float32'), np.zeros((2, 5), 'int64')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert two("mine_too:inputs").samples == 2


def test_samples_limits(two: Callable[..., Calibration]) -> None:
    found = two(arrays(70), samples=33)
    assert found.samples == 33
    np.testing.assert_array_equal(joined(found, "a"), arrays(70)["a"][:33])


def test_noise_respects_what_numbers_mean(two: Callable[..., Calibration]) -> None:
    found = two("noise", samples=50)
    assert found.synthetic
    assert found.samples >= 50
    ids = joined(found, "ids")
    assert ids.min() >= 0
    assert ids.max() < 7
    again = two("noise", samples=50)
    np.testing.assert_array_equal(joined(again, "a"), joined(found, "a"))
    assert np.any(joined(two("noise", samples=50, seed=1), "a") != joined(found, "a"))


def test_made_up_images_are_smooth(image: Callable[..., Calibration]) -> None:
    """Neighbouring pixels are alike, as in pictures and unlike in white noise."""

    def roughness(kind: str) -> float:
        x = joined(image(kind, samples=64), "x")
        return float(np.square(np.diff(x, axis=-1)).mean() / x.var())

    assert roughness("noise:images") < 0.7 * roughness("noise:normal")
    assert roughness("noise") == roughness("noise:images")
    assert np.abs(joined(image("noise:uniform", samples=8), "x")).max() <= np.sqrt(3) + 1e-6


def test_images(image: Callable[..., Calibration], tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image", reason="Pillow reads images")
    for k in range(3):
        pil.fromarray(np.full((40, 30, 3), (10 * k, 100, 200), np.uint8)).save(tmp_path / f"{k}.png")
    found = image(tmp_path, preprocessing="scale=1,mean=0:100:0,std=1:1:2,color=rgb")
    x = joined(found, "x")
    assert x.shape == (3, 3, 16, 12)
    np.testing.assert_allclose(x[2, :, 5, 5], [20, 0, 100])
    turned = joined(image(tmp_path, preprocessing="scale=1,color=bgr,resize=20"), "x")
    np.testing.assert_allclose(turned[2, :, 5, 5], [200, 100, 20])


@pytest.mark.parametrize("text", ["mean=a", "resize=", "colour=rgb", "color=pink", "scale=1/0"])
def test_preprocessing_that_cannot_be_read(text: str) -> None:
    with pytest.raises(CalibrationError, match="write for example"):
        Preprocessing.parse(text)


BAD: dict[str, tuple[Any, str]] = {
    "missing file": ("nowhere.npz", "no such file"),
    "missing input": ([{"a": np.zeros((2, 3))}], "no array for input 'ids'"),
    "wrong shape": ([{"a": np.zeros((2, 4)), "ids": np.zeros((2, 5), int)}], r"shape \(2, 4\) does not fit"),
    "wrong rank": ([{"a": np.zeros((2, 3, 1, 1)), "ids": np.zeros((2, 5), int)}], "does not fit"),
    "not numbers": ([{"a": np.array([["x"] * 3]), "ids": np.zeros((1, 5), int)}], "not numbers"),
    "reals for ids": ([{"a": np.zeros((2, 3)), "ids": np.zeros((2, 5))}], "holds float64"),
    "not finite": ([{"a": np.full((2, 3), np.nan), "ids": np.zeros((2, 5), int)}], "not finite"),
    "too large": (
        [{"a": np.full((2, 3), 1e300), "ids": np.zeros((2, 5), int)}],
        "1e.300, which does not fit float32",
    ),
    "too many arrays": ([(np.zeros((2, 3)),) * 3], "3 arrays for 2 inputs"),
    "nothing": ([], "holds no calibration inputs"),
    "unknown noise": ("noise:pink", "unknown kind of noise"),
    "no such function": ("os:nothing_here", "has no function"),
    "no such module": ("nowhere_at_all:f", "cannot import"),
    "no name": ("", "have no name"),
    "a number": (7, "cannot be a int"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit(two: Callable[..., Calibration], name: str) -> None:
    what, message = BAD[name]
    with pytest.raises(CalibrationError, match=message):
        two(what)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\n\ndef f():\n    sys.exit(3)\n", "failed: SystemExit: 3"),
        ("raise SystemExit\n", "cannot import .*: SystemExit"),
    ],
)
def test_functions_that_want_to_leave(
    two: Callable[..., Calibration], tmp_path: Path, code: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(CalibrationError, match=message):
        two(f"{tmp_path / 'mine.py'}:f")


@pytest.mark.parametrize("samples", [0, -3])
@pytest.mark.parametrize("what", ["noise", "arrays"])
def test_no_samples(two: Callable[..., Calibration], what: str, samples: int) -> None:
    with pytest.raises(CalibrationError, match=f"at least 1, got {samples}"):
        two(arrays() if what == "arrays" else what, samples=samples)


def test_preprocessing_is_read_even_where_it_is_not_needed(two: Callable[..., Calibration]) -> None:
    with pytest.raises(CalibrationError, match="cannot read 'foo=1'"):
        two(arrays(), preprocessing="foo=1")


@pytest.mark.parametrize(
    ("kind", "given", "fits"),
    [
        ("float16", np.float32(65504), True),
        ("float16", np.float32(7e4), False),
        ("float16", np.int64(70000), False),
        ("uint8", np.int64(255), True),
        ("uint8", np.int64(256), False),
        ("uint8", np.int64(-1), False),
        ("uint64", np.int64(-1), False),
        ("int32", np.int64(2**40), False),
        ("bool", np.int64(1), True),
        ("bfloat16", np.float64(1e39), False),
    ],
)
def test_numbers_must_fit_the_type_of_the_input(kind: str, given: Any, fits: bool) -> None:
    load = loaded(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g ({kind}[n, 3] x) => ({kind}[n, 3] y) {{ y = Identity (x) }}""",
        {},
    )
    batch = {"x": np.full((2, 3), given)}
    if fits:
        assert (load(batch).batches[0]["x"] == given).all()
        return
    with pytest.raises(CalibrationError, match=f"which does not fit {kind}"):
        load(batch)


def test_damaged_file(two: Callable[..., Calibration], tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CalibrationError, match="cannot read"):
        two(tmp_path / "c.npz")


def test_empty_folder(two: Callable[..., Calibration], tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="neither"):
        two(tmp_path)


def test_bad_inputs_on_the_command_line(cli: Any, small_path: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", x=np.zeros((4, 9), np.float32))
    done = cli(small_path, "--calib", tmp_path / "c.npz", "--quiet")
    assert done.code == 2
    assert "does not fit" in done.complaint
    assert not small_path.with_name("small.pruned.onnx").exists()


def test_made_up_pictures_come_in_kinds(
    image: Callable[..., Calibration], two: Callable[..., Calibration]
) -> None:
    pictures = image("noise", samples=128)
    assert len(pictures.kinds) == len(pictures.batches) == 4
    assert set(pictures.kinds) == {0, 1, 2}
    assert "pictures" in pictures.source
    for plain in (image("noise:normal", samples=128), two("noise", samples=128)):
        assert set(plain.kinds) == {0}
        assert not plain.lifelike


def test_labels_of_a_loader_are_left_out(image: Callable[..., Calibration]) -> None:
    pictures = np.ones((4, 3, 16, 12), np.float32)
    found = image([(pictures, np.arange(4)), [pictures, np.arange(4)]])
    assert found.samples == 8
    np.testing.assert_array_equal(joined(found, "x"), 1)


def test_shapes_are_named_as_they_were_given(image: Callable[..., Calibration]) -> None:
    with pytest.raises(CalibrationError, match=r"shape \(5, 16, 12\) does not fit \(any, 3, 16, 12\)"):
        image([np.zeros((5, 16, 12), np.float32)])


@pytest.mark.parametrize("told", ["inputs", "mask", "sum"])
def test_decoders_get_prompts_of_many_tokens_and_an_empty_cache(told: str) -> None:
    normal = normalise(load(decoder(told)).model)
    found = load_calibration("noise", normal, record(normal), samples=64)
    assert [b["input_ids"].shape for b in found.batches] == [(32, 64)] * 2
    assert {a.shape for n, a in found.batches[0].items() if n.startswith("past")} == {(32, 2, 0, 16)}
    assert found.source == "random token ids"
