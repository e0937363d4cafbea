"""Imports what every export needs, once, in the process that those of the exports are forked from."""

import onnxruntime  # noqa: F401
import onnxscript  # noqa: F401
import torch
import torch._dynamo
import torch.export
import transformers  # noqa: F401
import tweaks

tweaks.declare_torchvision_operators()

import timm  # noqa: E402, F401
import torchvision  # noqa: E402, F401

torch.set_num_threads(1)
