"""The same network has the same groups whatever framework exported it, and can be cut the same way."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from graphprune.testing import canonical_groups, prune_at_random
from tests.frameworks.networks import FILES, FOLDER, GROUPS

LIGHT = Path(str(files("onnx"))) / "backend" / "test" / "data" / "light"


@pytest.mark.parametrize("file", FILES)
def test_same_groups_and_equal_to_the_masked_original(file: str) -> None:
    outcome = prune_at_random(str(FOLDER / file))
    assert canonical_groups(outcome.analysis) == GROUPS[file.split(".")[0]]
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 0.1, "masking has to move the outputs, or equality proves nothing"


@pytest.mark.parametrize("network", GROUPS)
def test_every_network_comes_from_several_frameworks(network: str) -> None:
    exporters = {file.split(".")[1] for file in FILES if file.startswith(f"{network}.")}
    assert exporters >= {"torch-dynamo", "torch-torchscript", "keras", "tf2onnx", "jax", "paddle", "mxnet"}


def test_a_caffe2_graph_of_the_onnx_package() -> None:
    """ResNet-50: weights are made by nodes and listed as inputs, IR version 3, opset 9."""
    outcome = prune_at_random(str(LIGHT / "light_resnet50.onnx"))
    sizes = Counter(size for kind, size, _, exact in canonical_groups(outcome.analysis).elements() if exact)
    # The stem, two widths in each block, and the residual width of every stage.
    inner = Counter({64: 2 * 3, 128: 2 * 4, 256: 2 * 6, 512: 2 * 3})
    assert sizes == inner + Counter([64, 256, 512, 1024, 2048])
    assert outcome.equivalence.status == "equal", outcome.equivalence
