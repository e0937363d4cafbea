"""Sensitivity: scores become what the outputs of the whole network lose, measured group by group.

A reader's error tells nothing of what the rest of the network makes of it. So each group is cut by itself to
two widths (or further, where that costs nothing), its readers are refitted, and the network is run: the
scores of the group are stretched so that they add up to what the outputs lost. Source: the idea of layer-wise
sensitivity (Li et al., ICLR 2017) and the additivity of small losses (LAPTOP-Diff, 2024); with refitted
readers it is ours. Where groups measured one by one mislead, a trial of the whole cut finds out (`joint.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import CostModel, Group
from graphprune.compensate.trial import Trials, one_shot
from graphprune.dims import Slots
from graphprune.passes import Scores, ScoringProblem
from graphprune.statistics import unit_columns
from graphprune_passes.normalisers.joint import believed

Floats = NDArray[np.float64]

LEVELS = (0.25, 0.6)  # shares of a group that are removed for a trial
DEEPER = (0.8, 0.95)  # tried in turn as long as what was removed before is missed by nothing
NOTHING = 1e-4  # of the variance of the outputs
SAMPLES = (8, 64)  # for a trial, as many as the work allows
FEWEST_SAMPLES, PLACES = 2, 1 << 20  # enough where samples are many places, as pictures for pictures are
WORK = 3e12  # multiply-adds of all trials


def normalise(problem: ScoringProblem, scores: Scores) -> Scores:
    """Scores whose sums are shares of the variance of the outputs."""
    statistics = problem.statistics
    trials = Trials(statistics.model, problem.analysis, _few(problem))
    places = {g.atom: trials.place(_touched(problem, g)) for g in problem.groups}
    found = {}
    for group in problem.counted(sorted(problem.groups, key=lambda g: places[g.atom])):
        found[group.atom] = _measured(problem, group, scores[group.atom], trials)
    measured = {g.atom: found[g.atom] for g in problem.groups}
    best = believed(problem, (measured, _even(measured, scores)), trials)
    trials.close()
    return best


def _even(measured: Scores, scores: Scores) -> Scores:
    """Scores with the same mean in every group, which trusts no measurement; together they lose as much."""
    total = sum(float(s.sum()) for s in measured.values())
    slots = sum(s.size for s in scores.values())
    mean = total / max(1, slots)
    return {a: np.asarray(s * mean / max(float(np.abs(s).mean()), 1e-300)) for a, s in scores.items()}


def _touched(problem: ScoringProblem, group: Group) -> set[str]:
    """The weights that a cut of a group changes first: those that it runs through."""
    return {m.weight for m in group.members}


def _measured(problem: ScoringProblem, group: Group, mine: Floats, trials: Trials) -> Floats:
    """Scores of one group, stretched to what some cuts of it cost."""
    statistics = problem.statistics
    order = np.argsort(mine, axis=-1, kind="stable")
    lowest = np.sort(mine, axis=-1).reshape(-1, group.size).sum(axis=0)
    trace = np.concatenate([[0.0], np.cumsum(lowest)])
    readers = [i for i in statistics.linear if unit_columns(i, problem.analysis, group) is not None]
    statistics.collect(readers)
    if readers and not any(map(statistics.reached, readers)):
        return _unknown(mine)
    points = [(0.0, 0.0)]
    for level in (*LEVELS, *DEEPER):
        if level in DEEPER and points[-1][1] > NOTHING:
            break  # else what lies beyond would seem to be free as well: values, say, that no input has
        gone = min(group.size - 1, max(1, round(group.size * level)))
        kept = Slots(np.sort(order[..., gone:], axis=-1).astype(np.int64), group.outer)
        loss = trials.loss(one_shot(statistics, {group.atom: kept}, readers))
        points.append((float(trace[gone]), max(points[-1][1], loss)))
    return _stretched(mine, trace, points)


def _unknown(mine: Floats) -> Floats:
    """Where no input came no loss can be measured: each slot may be worth all, so it goes last."""
    return np.asarray(1 + mine / max(float(np.abs(mine).max(initial=0)), 1e-300))


def _samples(problem: ScoringProblem) -> int:
    """How many samples the trials are run on: fewer for large models, and always the same for one."""
    macs = CostModel(problem.analysis).cost().macs
    affordable = WORK / max(1, macs * len(LEVELS) * len(problem.groups))
    fewest = min(SAMPLES[0], max(FEWEST_SAMPLES, math.ceil(PLACES / _places(problem))))
    return int(min(max(affordable, fewest), SAMPLES[1]))


def _places(problem: ScoringProblem) -> int:
    """Numbers that one sample has and gives, the fewer of the two: about how many losses it measures."""
    analysis = problem.analysis
    shapes = analysis.recording.shapes
    sizes = [
        sum(math.prod(shapes.get(n, ())) for n in names)
        for names in (analysis.facts.inputs, analysis.facts.outputs)
    ]
    return max(1, min(sizes) // analysis.batch)


def _few(problem: ScoringProblem) -> list[Mapping[str, NDArray[Any]]]:
    """Calibration inputs that nothing was fitted to, as many as trials are run on."""
    most, found, seen = _samples(problem), [], 0
    recording = problem.analysis.recording
    for feeds in problem.statistics.trials:
        sizes = {a.shape[0] if a.ndim else 0 for a in feeds.values()}
        free = all(any(recording.dynamic(n)[:1]) for n in feeds)
        size = sizes.pop() if len(sizes) == 1 else 1
        if free and seen + size > most:
            feeds = {n: a[: most - seen] for n, a in feeds.items()}
            size = most - seen
        found.append(feeds)
        seen += size
        if seen >= most:
            break
    return found


def _stretched(mine: np.ndarray, trace: np.ndarray, points: list[tuple[float, float]]) -> np.ndarray:
    """Scores whose sums follow the measured points, at least as steep beyond the last as before it."""
    xs, ys = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    if xs[-1] <= 0:
        return np.asarray(mine * 0 + ys[-1] / max(1, mine.shape[-1]))
    steps = np.diff(ys) / np.maximum(np.diff(xs), 1e-30)
    steepest = float(steps.max())
    cumulated = np.interp(trace, xs, ys) + np.maximum(trace - xs[-1], 0) * steepest
    increments = np.maximum.accumulate(np.maximum(np.diff(cumulated), 1e-15))
    ranks = np.argsort(np.argsort(mine, axis=-1, kind="stable"), axis=-1)
    rows = max(1, mine.size // mine.shape[-1])
    return np.asarray(increments[ranks] / rows)
