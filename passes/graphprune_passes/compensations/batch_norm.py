"""Batch normalisation once more: mean and variance of what reaches it now that slots are gone.

The masked network runs stage by stage; each BatchNormalization gets the mean and the variance of its
input before what follows runs. Used after pruning by OBSPA, CrAM and others. Normalisations that an
exporter has folded into a convolution are gone and cannot be estimated again; those in training mode, and
those that share their statistics with others, are left alone. On made-up inputs this does harm, because
the statistics are theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.compensate import with_weights
from graphprune.passes import CompensationProblem, Repair
from graphprune.rewrite.masking import masked_weights
from graphprune.statistics.stages import StageModel, Store, plan_stages, run_stage

Array = NDArray[Any]


def recalibrate(problem: CompensationProblem) -> Repair:
    """Estimate the statistics of every batch normalisation again."""
    return Repair(weights=estimated(problem, {}))


def estimated(problem: CompensationProblem, weights: Mapping[str, Array]) -> dict[str, Array]:
    """New means and variances, when `weights` have these values already."""
    norms = _norms(problem)
    if not norms:
        return {}
    if weights:
        problem = dataclasses.replace(problem, model=with_weights(problem.model, weights))
    facts = problem.analysis.facts
    now = {**masked_weights(problem.analysis, problem.keeps), **weights}
    stages = plan_stages(facts, {n.name for n in norms})
    stage_of = {name: k for k, stage in enumerate(stages) for name in stage.nodes}
    builder, store = StageModel(problem.model, facts), Store(problem.budget)
    count = len(problem.batches)
    for k, feeds in enumerate(problem.batches):
        for name in facts.inputs:
            store.put(name, k, feeds[name])
    found: dict[str, Array] = {}
    for number, stage in enumerate(stages):
        problem.say(number, len(stages))
        outputs = sorted(stage.keeps)
        inputs = builder.inputs_of(stage.nodes)
        given = [{n: store.get(n, k) for n in inputs} for k in range(count)]
        for k, made in enumerate(run_stage(builder, stage.nodes, outputs, now, given)):
            for name, array in made.items():
                store.put(name, k, array)
        for norm in norms:
            if max(0, stage_of[norm.name] - 1) == number:
                mean, variance = _statistics([store.get(norm.inputs[0], k) for k in range(count)])
                for name, values in ((norm.inputs[3], mean), (norm.inputs[4], variance)):
                    found[name] = now[name] = values.astype(facts.weights[name].numpy().dtype)
        store.drop(stage.drops, count)
    store.close()
    problem.say(len(stages), len(stages))
    return found


def _norms(problem: CompensationProblem) -> list[NodeFacts]:
    """Batch normalisations of the main graph with statistics of their own."""
    facts = problem.analysis.facts
    uses: dict[str, int] = {}
    for node in facts.all_nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    return [
        n
        for n in facts.nodes
        if n.op == "BatchNormalization"
        and not n.domain
        and not n.attributes.get("training_mode")
        and all(i in facts.weights and uses[i] == 1 for i in n.inputs[3:5])
    ]


def _statistics(arrays: list[Array]) -> tuple[Array, Array]:
    """Mean and variance of each channel, over samples and positions of all batches."""
    rows = [np.moveaxis(a, 1, 0).reshape(a.shape[1], -1).astype(np.float64) for a in arrays]
    count = sum(r.shape[1] for r in rows)
    mean = np.sum([r.sum(axis=1) for r in rows], axis=0) / count
    squares = np.sum([np.square(r - mean[:, None]).sum(axis=1) for r in rows], axis=0)
    return mean, squares / count
