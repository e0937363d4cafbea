"""Exports the `mlp` of `sizes` from scikit-learn by skl2onnx; it has no other of these networks.

python models/frameworks/export_sklearn.py
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from sizes import CLASSES, FEATURES, FIRST, SECOND
from skl2onnx import to_onnx
from sklearn.neural_network import MLPRegressor

OUT = Path(__file__).parent


def export() -> None:
    """Write the network."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, FEATURES)).astype(np.float32)
    y = np.tanh(x @ draw.normal(size=(FEATURES, CLASSES)))
    network = MLPRegressor(hidden_layer_sizes=(FIRST, SECOND), max_iter=20, random_state=0).fit(x, y)
    onnx_model = to_onnx(network, x[:1], target_opset=18)
    (OUT / "mlp.sklearn.onnx").write_bytes(onnx_model.SerializeToString())


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    export()
