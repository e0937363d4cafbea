"""Rules of domain com.microsoft: what ONNX Runtime's optimiser, quantiser and model builder write."""

from graphprune.rules.microsoft import (
    activations,
    attention,
    blocks,
    convolutions,
    experts,
    moves,
    norms,
    products,
    quantised,
)

FAMILIES = (
    activations,
    attention,
    blocks,
    convolutions,
    experts,
    moves,
    norms,
    products,
    quantised,
)
