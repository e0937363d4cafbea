"""The held-out networks as torch modules, for pruners of modules."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from make import build, examples
from subjects import SUBJECTS
from tasks import ROOT
from torch import nn

sys.path.insert(0, str(ROOT / "tools"))
from accuracy_methods import NotPossibleError
from accuracy_networks import Network

_ALLOWED = 1e-3  # of the largest output


def network(name: str, path: Path) -> Network:
    """The network of a file, with what a user of a pruner of modules says of it.

    Raises:
        NotPossibleError: its outputs are not those of the file.
    """
    subject = SUBJECTS[name]
    module = build(subject).eval()
    module.load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
    given = examples(subject)
    inputs = tuple(torch.from_numpy(a) for a in given.values())
    expected = onnxruntime.InferenceSession(str(path)).run(None, given)[0]
    with torch.no_grad():
        found = module(*inputs).numpy()
    if np.abs(found - expected).max() > _ALLOWED * np.abs(expected).max():
        raise NotPossibleError("the torch network gives other outputs than the file")
    linear = [
        m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv1d | nn.ConvTranspose2d)
    ]
    keep = [linear[-1], *(m for n, m in module.named_modules() if n.endswith("router"))]
    heads = {
        layer: block.heads
        for block in module.modules()
        if hasattr(block, "heads")
        for layer in block.children()
        if layer in [getattr(block, n, None) for n in ("joint", "query", "key", "value")]
    }
    scales = {p: p.ndim - 1 for n, p in module.named_parameters() if n.split(".")[-1] == "scale"}
    return Network(module, inputs if len(inputs) > 1 else inputs[0], keep, heads, scales)
