"""A network that was really trained: 64-256-128-10 on scikit-learn's digits, as ONNX."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from graphprune.runtime.ort import onnxruntime

HIDDEN = (256, 128)
TEST = 500


@dataclass(frozen=True, slots=True)
class Digits:
    """The trained network and the images.

    Attributes:
        model: gives ten numbers for every image, the largest for the digit.
        weights, biases: of its layers.
        train, test: images, scaled to [0, 1].
        labels: of the test images.
    """

    model: onnx.ModelProto
    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    labels: NDArray[np.int64]

    def outputs(self, model: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """What a model says of images."""
        session = onnxruntime().InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return np.asarray(session.run(None, {"x": images})[0], np.float64)

    def accuracy(self, model: onnx.ModelProto) -> float:
        """Share of the test images that a model gets right, in points."""
        return 100 * float((self.outputs(model, self.test).argmax(axis=1) == self.labels).mean())


def train() -> Digits:
    """Train for 30 epochs, always in the same way."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    network = MLPClassifier(HIDDEN, max_iter=30, random_state=0, batch_size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(images[TEST:], labels[TEST:])
    weights = tuple(np.ascontiguousarray(w.T, np.float32) for w in network.coefs_)
    biases = tuple(np.asarray(b, np.float32) for b in network.intercepts_)
    return Digits(build(weights, biases), weights, biases, images[TEST:], images[:TEST], labels[:TEST])


def build(
    weights: tuple[NDArray[np.float32], ...], biases: tuple[NDArray[np.float32], ...]
) -> onnx.ModelProto:
    """Three layers of Gemm with Relu in between."""
    nodes, stored, name = [], [], "x"
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        stored += [onnx.numpy_helper.from_array(weight, f"w{k}"), onnx.numpy_helper.from_array(bias, f"b{k}")]
        last = k + 1 == len(weights)
        result = "y" if last else f"h{k}"
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [result], f"gemm{k}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"a{k}"], f"relu{k}"))
        name = f"a{k}"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits", [given], [made], stored)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
