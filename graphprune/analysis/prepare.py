"""From a loaded model to an analysed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from graphprune.analysis.analyser import Analysis, analyse_model
from graphprune.analysis.cost import CostModel
from graphprune.normalise import normalise
from graphprune.normalise.rows import narrowed
from graphprune.runtime.agreement import agree
from graphprune.runtime.dimensions import Sizes
from graphprune.runtime.record import Examples, record


def prepare(model: ir.Model, seed: int = 0) -> tuple[ir.Model, Analysis]:
    """The normalised model and its analysis.

    Rows that nobody reads are not computed any more; what that spares is counted as a part of what the
    original costs.
    """
    normal = normalise(model)
    return prepare_normal(normal, seed)


def prepare_normal(
    normal: ir.Model, seed: int = 0, given: Sequence[Sizes] = (), examples: Examples = tuple
) -> tuple[ir.Model, Analysis]:
    """The same for a model that is normalised already.

    Args:
        normal: the model.
        seed: of the random inputs.
        given: sizes that the user's inputs have.
        examples: gives some of those inputs, for a model that random ones do not suit.
    """
    recording = record(normal, seed, given, examples)
    analysis = analyse_model(normal, recording)
    if recording.method != "run":
        return normal, analysis
    narrow = narrowed(normal, recording.shapes)
    if narrow is None or not agree(normal, narrow, recording.feeds):
        return normal, analysis
    again = analyse_model(narrow, record(narrow, seed, given, examples))
    spared = CostModel(analysis).cost().macs - CostModel(again).cost().macs
    return narrow, dataclasses.replace(again, spared=max(0, spared))
