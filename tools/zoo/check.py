"""Runs an exported file in ONNX Runtime and compares it with the module it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import torch
from case import Built

Feed = dict[str, np.ndarray]


def check(file: str, built: Built, dynamic: bool) -> dict[str, Any]:
    """Return how far the file's outputs are from torch's, as shares of the largest output.

    Returns:
        `difference` at the example inputs; `resized_difference` at another batch and length (or why there is
        none); `sensitivity`, how much the output moves when other inputs are fed: near 0, comparisons of
        outputs prove nothing.

    Raises:
        Exception: ONNX Runtime refuses the file or its run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    kept = {value.name for value in session.get_inputs()}
    feed = {name: tensor.numpy() for name, tensor in built.inputs.items()}
    outputs = _run(session, feed, kept)
    facts: dict[str, Any] = {
        "inputs": sorted(kept),
        "outputs": {value.name: value.shape for value in session.get_outputs()},
        "difference": _distance(outputs, _torch(built, feed)),
        "sensitivity": _distance(_run(session, _other_values(feed), kept), outputs),
    }
    if dynamic:
        try:
            facts["resized_difference"] = _resized(session, built, feed, kept)
        except Exception as error:
            facts["resized_difference"] = f"{type(error).__name__}: {str(error)[:200]}"
    return facts


def _run(session: onnxruntime.InferenceSession, feed: Feed, kept: set[str]) -> list[np.ndarray]:
    return [np.asarray(o) for o in session.run(None, {k: v for k, v in feed.items() if k in kept})]


@torch.no_grad()
def _torch(built: Built, feed: Feed) -> list[np.ndarray]:
    result = built.module(*(torch.from_numpy(feed[name]) for name in built.inputs))
    flat = result if isinstance(result, (tuple, list)) else [result]
    return [tensor.numpy() for tensor in flat if isinstance(tensor, torch.Tensor)]


def _resized(session: onnxruntime.InferenceSession, built: Built, feed: Feed, kept: set[str]) -> float | str:
    """Compare at other sizes of the open axes; a module that itself refuses them settles nothing."""
    other = {name: _resize(array, built.dynamic.get(name, {})) for name, array in feed.items()}
    try:
        expected = _torch(built, other)
    except Exception as error:
        return f"torch itself refuses the other size: {str(error)[:100]}"
    return _distance(_run(session, other, kept), expected)


def _resize(array: np.ndarray, axes: Mapping[int, str]) -> np.ndarray:
    """Take three of the batch, three places fewer of a sequence and twice the height and width."""
    for axis, name in axes.items():
        size = array.shape[axis]
        wanted = {"batch": 3, "images": 3, "height": 2 * size, "width": 2 * size}.get(name, max(size - 3, 2))
        array = np.take(array, np.arange(wanted) % size, axis)
    return np.ascontiguousarray(array)


def _other_values(feed: Feed) -> Feed:
    """Draw new normal values for floats and reverse integers, which stay valid ids."""
    rng = np.random.default_rng(7)
    return {
        name: rng.standard_normal(a.shape).astype(a.dtype)
        if a.dtype.kind == "f"
        else np.ascontiguousarray(a[..., ::-1])
        for name, a in feed.items()
    }


def _distance(left: list[np.ndarray], right: list[np.ndarray]) -> float:
    """Return the largest difference over the largest value of `right`, over all outputs of equal place."""
    worst = 0.0
    for a, b in zip(left, right, strict=False):
        if a.shape != b.shape:
            raise ValueError(f"output shapes differ: {a.shape} and {b.shape}")
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) / scale)
    return worst
