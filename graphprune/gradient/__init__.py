"""Gradients of pieces of a graph, without a framework for training.

ONNX Runtime computes forwards; every operator that occurs between two linear ones has its vector-Jacobian
product here, in numpy.
"""

from graphprune.gradient.backward import backward, differentiable

__all__ = ["backward", "differentiable"]
