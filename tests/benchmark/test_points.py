"""Which inputs models are timed on."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from graphprune.benchmark.points import make_points, parse_batches, parse_shapes
from graphprune.errors import UsageError
from graphprune.runtime import open_session
from tests.decoder import decoder

HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


def model(inputs: str) -> ir.Model:
    text = f"{HEADER} g ({inputs}) => (float[a] y) {{ s = Shape(x) y = Cast <to = 1> (s) }}"
    return ir.from_proto(onnx.parser.parse_model(text))


PICTURES = "float[n, 3, h, w] x"
USUAL = {"n": 3, "h": 64, "w": 96}


def shapes(*found: object) -> list[dict[str, list[int]]]:
    return [p.shapes for p in make_points(*found, 0)]  # type: ignore[arg-type]


def test_batches_change_the_first_axis() -> None:
    found = shapes(model(PICTURES), USUAL, (1, 8), {})
    assert found == [{"x": [1, 3, 64, 96]}, {"x": [8, 3, 64, 96]}]


def test_shapes_say_the_rest_and_a_batch_is_stronger() -> None:
    assert shapes(model(PICTURES), USUAL, (), {"x": (5, 3, 8, 9)}) == [{"x": [5, 3, 8, 9]}]
    assert shapes(model(PICTURES), USUAL, (2,), {"x": (5, 3, 8, 9)}) == [{"x": [2, 3, 8, 9]}]


def test_inputs_share_their_free_dimensions() -> None:
    two = model("float[n, 4] x, int64[n, t] ids")
    assert shapes(two, {"n": 1, "t": 7}, (6,), {"ids": (1, 5)}) == [{"x": [6, 4], "ids": [6, 5]}]


def test_the_batch_is_known_for_throughput() -> None:
    assert [p.batch for p in make_points(model(PICTURES), USUAL, (1, 8), {}, 0)] == [1, 8]


@pytest.mark.parametrize(
    ("inputs", "batches", "given", "complaint"),
    [
        ("float[2, 4] x", (8,), {}, "a fixed batch of 2, so it cannot be timed at 8"),
        (PICTURES, (), {"z": (1,)}, "no input 'z': it takes x"),
        (PICTURES, (), {"x": (1, 3)}, "has 4 axes, but the shape given has 2"),
        (PICTURES, (), {"x": (1, 4, 8, 8)}, "axis 1 of input 'x' must be 3, not 4"),
        ("float[n, n] x", (), {"x": (2, 3)}, "axis 1 of input 'x' must be 2, not 3"),
    ],
)
def test_what_a_model_does_not_take(
    inputs: str, batches: tuple[int, ...], given: dict[str, tuple[int, ...]], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        make_points(model(inputs), {**USUAL, "t": 3}, batches, given, 0)


@pytest.mark.parametrize("text", ["", "x", "0", "1,-2", "1.5"])
def test_batches_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="write for example 1,8"):
        parse_batches(text)


@pytest.mark.parametrize("text", ["x", "=1x2", "x=", "x=1xa", "x=0x3"])
def test_shapes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="write for example input=1x3x224x224"):
        parse_shapes([text])


def test_names_may_hold_what_separates() -> None:
    assert parse_shapes(["a=b=2X3"]) == {"a=b": (2, 3)}


@pytest.mark.parametrize("told", ["inputs", "sum"])
def test_batches_of_a_decoder_start_with_an_empty_cache(told: str) -> None:
    """Several positions on top of a cache run for one sequence only."""
    made = ir.from_proto(decoder(told))
    one, four = make_points(made, {"batch": 1, "steps": 7, "past": 13}, (1, 4), {}, 0)
    assert one.shapes["past_key_values.0.key"] == [1, 2, 13, 16]
    assert four.shapes["past_key_values.0.key"] == [4, 2, 0, 16]
    with open_session(made) as session:
        assert session.run(four.feeds)["logits"].shape[:2] == (4, 7)
