"""Exports the networks of `sizes` from Keras, by its own exporter and by tf2onnx.

python models/frameworks/export_keras.py [NETWORK ...]
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers
from sizes import (
    CLASSES,
    COLOURS,
    FEATURES,
    FIRST,
    FORWARD,
    HEAD,
    HEADS,
    HIDDEN,
    IMAGE,
    LSTM_FIRST,
    LSTM_SECOND,
    NETWORKS,
    POOL,
    SECOND,
    SEQUENCE,
    STEM,
    WIDE,
    WIDTH,
)

OUT = Path(__file__).parent
OPSET = 17


def cnn() -> keras.Model:
    """See `sizes`; images are (n, image, image, colours), as is usual in TensorFlow."""
    image = x = layers.Input((IMAGE, IMAGE, COLOURS), name="x")
    x = layers.ReLU()(_normed_conv(x, STEM))
    inner = layers.ReLU()(_normed_conv(x, STEM))
    x = layers.ReLU()(layers.Add()([x, _normed_conv(inner, STEM)]))
    x = layers.MaxPooling2D(POOL)(layers.ReLU()(_normed_conv(x, WIDE)))
    x = layers.Dense(HIDDEN, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(CLASSES)(x))


def mlp() -> keras.Model:
    """See `sizes`."""
    rows = layers.Input((FEATURES,), name="x")
    x = layers.Dense(SECOND, activation="relu")(layers.Dense(FIRST, activation="relu")(rows))
    return keras.Model(rows, layers.Dense(CLASSES)(x))


def transformer() -> keras.Model:
    """See `sizes`."""
    sequence = layers.Input((SEQUENCE, FEATURES), name="x")
    x = layers.Dense(WIDTH)(sequence)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(HEADS, HEAD)(y, y)])
    y = layers.Dense(FORWARD)(layers.LayerNormalization()(x))
    # Exact gelu becomes Erfc, which neither exporter translates.
    y = layers.Activation(lambda z: keras.activations.gelu(z, approximate=True))(y)
    x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(sequence, layers.Dense(CLASSES)(x))


def lstm() -> keras.Model:
    """See `sizes`."""
    sequence = layers.Input((SEQUENCE, FEATURES), name="x")
    x = layers.LSTM(LSTM_SECOND)(layers.LSTM(LSTM_FIRST, return_sequences=True)(sequence))
    return keras.Model(sequence, layers.Dense(CLASSES)(x))


BUILDERS = {"cnn": cnn, "mlp": mlp, "transformer": transformer, "lstm": lstm}


def _normed_conv(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    return layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))


def _liven(model: keras.Model) -> None:
    """Random norms, as after training."""
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization | layers.LayerNormalization):
            width = layer.gamma.shape
            layer.gamma.assign(draw.uniform(0.5, 1.5, width))
            layer.beta.assign(draw.normal(0, 0.2, width))
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(draw.normal(0, 0.2, width))
            layer.moving_variance.assign(draw.uniform(0.5, 1.5, width))


def export(name: str) -> None:
    """Write one network by both exporters."""
    keras.utils.set_random_seed(NETWORKS.index(name))
    model = BUILDERS[name]()
    _liven(model)
    shape = model.inputs[0].shape
    model(np.zeros((1, *shape[1:]), np.float32))
    model.export(OUT / f"{name}.keras.onnx", format="onnx", verbose=False)
    signature = [tf.TensorSpec((None, *shape[1:]), tf.float32, name="x")]
    function = tf.function(lambda x: model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(
        function, signature, opset=OPSET, output_path=str(OUT / f"{name}.tf2onnx.onnx")
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for network in sys.argv[1:] or NETWORKS:
        export(network)
