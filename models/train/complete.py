"""Everything that the trained networks can be tested on; `models/data` holds a part of each.

It tells differences that a thousand samples hide, and needs the files that training read (see `sources`).
"""

from __future__ import annotations

import numpy as np

from models.evaluate import Split, images, scenes  # noqa: TID251  (this is models/ itself)

from . import sources
from .splits import TEST_KEYS

WINDOWS = 512  # of source; the text for testing has no more that overlap little


def complete(task: str) -> Split:
    """All test samples of a task.

    Args:
        task: a name of `models.evaluate.TASKS`.

    Returns:
        Inputs and right answers as `TASKS[task].load("test")` gives them: 10,000 images or scenes, every
        passage that was kept from training, 512 windows of source.
    """
    return {"fashion": _fashion, "segment": _segment, "passages": _passages, "source": _source}[task]()


def _fashion() -> Split:
    raw, labels = sources.fashion("t10k")
    return Split({"image": images(raw)}, labels)


def _segment() -> Split:
    raw, _ = sources.fashion("t10k")
    scene, mask = scenes(raw, seed=1)
    return Split({"scene": scene}, mask)


def _passages() -> Split:
    tokens, labels, keys = sources.passages()
    kept = keys < TEST_KEYS
    return Split({"tokens": tokens[kept]}, labels[kept])


def _source() -> Split:
    _, test = sources.source_text()
    text = sources.windows(test, WINDOWS, seed=2).astype(np.int64)
    return Split({"bytes": text[:, :-1]}, text[:, 1:])
