"""The fingerprint of a model's structure: the same for a fine-tuned twin, another for any other graph."""

from __future__ import annotations

import hashlib

import onnx_ir as ir

from graphprune.analysis.facts import GraphFacts


def fingerprint(facts: GraphFacts) -> str:
    """A digest of operators, connections, attributes and weight shapes, not of weight values."""
    digest = hashlib.sha256()

    def feed(*parts: object) -> None:
        digest.update(repr(parts).encode())

    feed(facts.inputs, facts.outputs)
    for name in sorted(facts.weights):
        tensor = facts.weights[name]
        feed(name, tensor.dtype.name, tuple(int(s) for s in tensor.shape.numpy()))
    for node in facts.all_nodes:
        feed(node.op, node.domain, node.inputs, node.outputs)
        for key in sorted(node.attributes):
            value = node.attributes[key]
            if isinstance(value, ir.TensorProtocol):
                value = (value.dtype.name, str(value.shape))
            feed(key, value)
    return digest.hexdigest()
