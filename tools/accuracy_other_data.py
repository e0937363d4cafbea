"""Inputs of another data set for the bundled models, as OBSPA's out-of-distribution mode takes them.

Pictures are handwritten digits (scikit-learn), text is the reference manual that Python ships as prose.
None of it was trained or is tested on.
"""

from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np

from models.evaluate import images, scenes  # noqa: TID251  (a tool, not the library)
from models.train import sources  # noqa: TID251

_PICTURES, _PASSAGES, _WINDOWS = 512, 512, 128  # as many as the bundled calibration splits hold
_TIMES = 3  # each pixel of an 8x8 digit becomes 3x3, and a margin of two makes it 28x28


def other_data(task: str) -> dict[str, np.ndarray]:
    """Inputs for the models of a bundled task, by the name of the input; samples first.

    Args:
        task: a name of `models.evaluate.TASKS`.
    """
    makers = {"fashion": _fashion, "segment": _segment, "passages": _passages, "source": _source}
    return makers[task]()


def _digits() -> np.ndarray:
    """Digits as large as the pictures of Fashion-MNIST: uint8 (512, 28, 28)."""
    from sklearn.datasets import load_digits

    small = load_digits().images[:_PICTURES] / 16
    large = small.repeat(_TIMES, axis=1).repeat(_TIMES, axis=2)
    return np.pad((large * 255).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))


def _prose() -> bytes:
    """The manual, in a fixed order; bytes below 128 as in the text that was trained on."""
    return bytes(byte for name in sorted(topics) for byte in topics[name].encode() if byte < 128)


def _fashion() -> dict[str, np.ndarray]:
    return {"image": images(_digits())}


def _segment() -> dict[str, np.ndarray]:
    return {"scene": scenes(_digits(), seed=2)[0]}


def _passages() -> dict[str, np.ndarray]:
    words = sources.token_ids(_prose())
    rows = words[: len(words) // sources.PASSAGE * sources.PASSAGE].reshape(-1, sources.PASSAGE)
    return {"tokens": np.random.RandomState(0).permutation(rows)[:_PASSAGES]}


def _source() -> dict[str, np.ndarray]:
    text = np.frombuffer(_prose(), np.uint8)
    return {"bytes": sources.windows(text, _WINDOWS, seed=1).astype(np.int64)[:, :-1]}
