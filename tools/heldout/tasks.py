"""What the held-out networks are trained, calibrated and measured on; numpy only, nothing is downloaded.

Every task has three parts that share no sample: `train`, `calibration` (inputs that training has not seen,
whose labels nobody reads) and `test`. Pictures come from Fashion-MNIST and scikit-learn's digits, text from
the source of Python's standard library, see `models/train/sources.py`.
"""

from __future__ import annotations

import functools
import sys
import tokenize
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from models.evaluate import images  # noqa: E402, TID251
from models.train import sources  # noqa: E402, TID251

CALIBRATION = 512
PACKAGES = len(sources.PACKAGES)
KINDS = 6  # of bytes in a program: space, name, keyword, number, text, sign
LETTERS = 5  # digits in a strip
STRIP = (12, 56)  # height and width of a strip in pixels
_FRAME = 96  # bytes in a passage of source whose kinds are told

Arrays = Mapping[str, np.ndarray]
Score = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, slots=True)
class Part:
    """Inputs by name and the right answers, samples first."""

    inputs: Arrays
    answers: np.ndarray


@dataclass(frozen=True, slots=True)
class Task:
    """What is measured.

    Attributes:
        metric: its name; higher is better, 1 is perfect.
        load: makes a part.
        score: of all outputs and answers of a part.
        given: inputs by name: the shape of a sample, and below what number it is (0 for real numbers).
    """

    metric: str
    load: Callable[[str], Part]
    score: Score
    given: Mapping[str, tuple[tuple[int, ...], int]]


# -- pictures -----------------------------------------------------------------------------------


def _clothes(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 28, 28), scaled, and labels; calibration is what training leaves out at its end.

    All that there are to test on are tested on: of 2,000 alone the difference that pruning makes is not known
    better than to half a hundredth.
    """
    raw, labels = sources.fashion("t10k" if part == "test" else "train")
    rows = {
        "train": slice(0, 59000),
        "calibration": slice(59000, 59000 + CALIBRATION),
        "test": slice(None),
    }
    return images(raw[rows[part]]), labels[rows[part]]


def _fashion(part: str) -> Part:
    pictures, labels = _clothes(part)
    return Part({"image": pictures}, labels)


def _halved(pictures: np.ndarray) -> np.ndarray:
    """Pictures of half the height and width."""
    n, c, h, w = pictures.shape
    return np.ascontiguousarray(pictures.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5)))


def _fashion_small(part: str) -> Part:
    pictures, labels = _clothes(part)
    return Part({"image": _halved(pictures)}, labels)


def _rows(part: str) -> Part:
    """The picture as a sequence of its rows."""
    pictures, labels = _clothes(part)
    return Part({"rows": pictures[:, 0]}, labels)


def _denoise(part: str) -> Part:
    pictures, _ = _clothes(part)
    clean = _halved(pictures if part != "test" else pictures[:500])
    noise = np.random.RandomState(len(clean)).normal(0, 0.7, clean.shape)
    return Part({"noisy": (clean + noise).astype(np.float32)}, clean)


@functools.cache
def _digit_parts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(labels))
    pictures, labels = (pictures[order] / 8 - 1).astype(np.float32), labels[order].astype(np.int64)
    rows = {"train": slice(0, 900), "calibration": slice(900, 1200), "test": slice(1200, None)}
    return {part: (pictures[at], labels[at]) for part, at in rows.items()}


def _digits(part: str) -> Part:
    pictures, labels = _digit_parts()[part]
    return Part({"pixels": pictures}, labels)


def _strips(part: str) -> Part:
    """Digits side by side with uneven gaps, each moved up or down; the answers are the digits in order."""
    pictures, labels = _digit_parts()[part]
    draw = np.random.RandomState({"train": 1, "calibration": 2, "test": 3}[part])
    count = {"train": 8000, "calibration": CALIBRATION, "test": 4000}[part]
    strips = draw.normal(-1, 0.15, (count, 1, *STRIP))
    chosen = draw.randint(0, len(labels), (count, LETTERS))
    for strip, row in zip(strips, chosen, strict=True):
        left = 0
        for k, one in enumerate(row):
            left += draw.randint(0, 3 + (k == 0))
            top = draw.randint(0, STRIP[0] - 8 + 1)
            strip[0, top : top + 8, left : left + 8] += pictures[one].reshape(8, 8) + 1
            left += 8
    return Part({"strip": strips.astype(np.float32)}, labels[chosen])


# -- text ---------------------------------------------------------------------------------------


@functools.cache
def _passage_parts() -> dict[str, Part]:
    """Passages of 10 to 32 words, filled up with zeros that a mask tells apart."""
    tokens, labels, keys = sources.passages()
    draw = np.random.RandomState(0)
    length = draw.randint(10, sources.PASSAGE + 1, len(tokens))
    mask = (np.arange(sources.PASSAGE) < length[:, None]).astype(np.int64)
    tokens = tokens * mask
    order = draw.permutation(len(tokens))
    test, rest = order[keys[order] < 10], order[keys[order] >= 10]
    rows = {"train": rest[CALIBRATION:], "calibration": rest[:CALIBRATION], "test": test}
    return {
        part: Part({"tokens": tokens[at], "mask": mask[at]}, labels[at].astype(np.int64))
        for part, at in rows.items()
    }


def _passages(part: str) -> Part:
    return _passage_parts()[part]


@functools.cache
def _text_parts() -> dict[str, np.ndarray]:
    train, test = sources.source_text()
    return {"train": train[:-200_000], "calibration": train[-200_000:], "test": test}


def _source(part: str) -> Part:
    """Windows of source; the answer is the byte after each."""
    text = _text_parts()[part]
    count = {"train": 6000, "calibration": 256, "test": 128}[part]
    starts = np.random.RandomState(5).randint(0, len(text) - 129, count)
    rows = text[starts[:, None] + np.arange(129)].astype(np.int64)
    return Part({"bytes": rows[:, :-1]}, rows[:, 1:])


def _byte_kinds(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a program, and for each what kind of token it is in."""
    import keyword

    text = bytes(b for b in path.read_bytes() if b < 128)
    lines = text.decode().splitlines(keepends=True)
    starts = np.cumsum([0, *map(len, lines)])
    kinds = np.zeros(len(text), np.int64)
    for token in tokenize.generate_tokens(iter([*lines, ""]).__next__):
        words = keyword.iskeyword(token.string)
        kind = {tokenize.NAME: 2 if words else 1, tokenize.NUMBER: 3, tokenize.STRING: 4}.get(token.type, 0)
        kind = {tokenize.COMMENT: 4, tokenize.OP: 5}.get(token.type, kind)
        (row, column), (last, end) = token.start, token.end
        if kind:
            kinds[starts[row - 1] + column : starts[last - 1] + end] = kind
    return np.frombuffer(text, np.uint8).astype(np.int64), kinds


@functools.cache
def _kind_parts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "calibration": [], "test": []}
    for path in sorted(Path(tokenize.__file__).parent.glob("*.py")):
        key = zlib.crc32(path.name.encode()) % 20
        part = {0: "test", 1: "calibration"}.get(key, "train")
        parts[part].append(_byte_kinds(path))
    return {part: tuple(map(np.concatenate, zip(*found, strict=True))) for part, found in parts.items()}


def _kinds(part: str) -> Part:
    text, kinds = _kind_parts()[part]
    count = {"train": 12000, "calibration": CALIBRATION, "test": 300}[part]
    starts = np.random.RandomState(7).randint(0, len(text) - _FRAME, count)
    rows = starts[:, None] + np.arange(_FRAME)
    return Part({"bytes": text[rows]}, kinds[rows])


# -- scores -------------------------------------------------------------------------------------


def _top1(outputs: np.ndarray, answers: np.ndarray) -> float:
    return float((outputs.argmax(-1) == answers).mean())


def _explained(outputs: np.ndarray, answers: np.ndarray) -> float:
    """The share of the variance of what was asked for that the output explains."""
    return float(1 - np.square(outputs - answers).mean() / answers.var())


def read_strip(scores: np.ndarray) -> list[int]:
    """The digits of one strip's scores (t, 11): the best of each column, repeats and blanks (0) left out."""
    best = scores.argmax(-1)
    return [int(b) - 1 for k, b in enumerate(best) if b and (k == 0 or best[k - 1] != b)]


def _read(outputs: np.ndarray, answers: np.ndarray) -> float:
    """The share of strips whose digits are all read."""
    return float(np.mean([read_strip(o) == list(a) for o, a in zip(outputs, answers, strict=True)]))


TASKS: Mapping[str, Task] = {
    "fashion": Task("accuracy", _fashion, _top1, {"image": ((1, 28, 28), 0)}),
    "fashion-small": Task("accuracy", _fashion_small, _top1, {"image": ((1, 14, 14), 0)}),
    "rows": Task("accuracy", _rows, _top1, {"rows": ((28, 28), 0)}),
    "denoise": Task("explained variance", _denoise, _explained, {"noisy": ((1, 14, 14), 0)}),
    "digits": Task("accuracy", _digits, _top1, {"pixels": ((64,), 0)}),
    "strips": Task("all digits right", _strips, _read, {"strip": ((1, *STRIP), 0)}),
    "passages": Task("accuracy", _passages, _top1, {"tokens": ((32,), 1024), "mask": ((32,), 2)}),
    "source": Task("next byte accuracy", _source, _top1, {"bytes": ((128,), 128)}),
    "kinds": Task("accuracy", _kinds, _top1, {"bytes": ((_FRAME,), 128)}),
}


@functools.cache
def part(task: str, name: str) -> Part:
    """One part of a task, made once."""
    return TASKS[task].load(name)


def evaluate(path: Path, task: str, batch: int = 100) -> float:
    """The metric of the model in a file on the test part."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    test = part(task, "test")
    outputs = [
        session.run(None, {name: array[k : k + batch] for name, array in test.inputs.items()})[0]
        for k in range(0, len(test.answers), batch)
    ]
    return TASKS[task].score(np.concatenate(outputs), test.answers)
