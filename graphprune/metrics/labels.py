"""The share of labelled inputs whose label comes out on top."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import CalibrationError, UsageError
from graphprune.metrics.metric import Metric
from graphprune.metrics.predict import Predict
from graphprune.validate.compare import is_real
from graphprune.validate.scores import as_rows, class_axis

Array = NDArray[Any]
NAMES = {"top1": 1, "top5": 5}


def label_metric(
    name: str,
    labels: str | os.PathLike[str] | Array,
    batches: Sequence[Mapping[str, Array]],
    output: str = "",
) -> Metric:
    """Top-1 or top-5 accuracy.

    Args:
        name: "top1" or "top5".
        labels: class numbers, one for each row of scores: of shape `(samples,)`, or `(samples, positions)`
            for scores of every position; an array, or the path of a .npy file.
        batches: the inputs they belong to, in the same order.
        output: the output with the scores; the first of real numbers by default.

    Raises:
        UsageError: an unknown name.
        CalibrationError: the labels cannot be read.
    """
    if name not in NAMES:
        raise UsageError(f"with --labels the metric is {' or '.join(NAMES)}, not {name!r}")
    wanted = _read(labels).reshape(-1)

    def measure(predict: Predict) -> float:
        best = np.concatenate([_best(_scores(predict(feeds), output), NAMES[name]) for feeds in batches])
        if len(best) != len(wanted):
            raise CalibrationError(
                f"there are {len(wanted)} labels for {len(best)} rows of scores: give one for each"
            )
        return float((best == wanted[:, None]).any(axis=1).mean())

    return Metric(name, measure)


def _read(labels: str | os.PathLike[str] | Array) -> Array:
    if isinstance(labels, str | os.PathLike):
        try:
            found = np.load(Path(labels), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise CalibrationError(f"cannot read the labels {os.fspath(labels)}: {error}") from None
    else:
        found = np.asarray(labels)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu" or not found.size:
        raise CalibrationError("labels must be whole numbers in one array: numpy.save('labels.npy', classes)")
    return found


def _best(rows: Array, count: int) -> Array:
    """The classes with the largest scores of each row; shape `(rows, count)`."""
    if count == 1:
        return np.asarray(rows.argmax(1))[:, None]
    return np.asarray(np.argpartition(-rows, min(count, rows.shape[1]) - 1, axis=1)[:, :count])


def _scores(outputs: Mapping[str, Array], output: str) -> Array:
    """Rows of class scores."""
    if output and output not in outputs:
        raise UsageError(f"the model has no output {output!r}: it has {', '.join(outputs)}")
    name = output or next((n for n, a in outputs.items() if is_real(a)), "")
    if not name:
        raise UsageError("the model has no output of real numbers that labels could be compared with")
    array = outputs[name].astype(np.float64)
    axis = class_axis("scores", array)
    if axis is None:
        raise UsageError(f"output {name!r} of shape {array.shape} has no axis of class scores; name another")
    return as_rows(array, axis)
