"""Fits the weights of some nodes by descent on what they should give."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.optimisers import Adam, Soap
from graphprune.gradient import backward
from graphprune.runtime.session import Session, open_session
from graphprune.statistics.stages import StageModel

Array = NDArray[Any]
Weights = Mapping[str, Array]

RATE = 0.02  # of the root mean square of each weight
ELEMENT = 8  # multiply-adds that computing an element costs beside its own, backwards above all
FAR_OFF = 1.5  # times the loss at the start, from which no way leads back early enough
_WAYS = 3  # multiply-adds of a step for each that it takes forwards
_CHECKS = 6  # times that the weights are judged on the way


@dataclass(frozen=True, slots=True)
class Rows:
    """One batch: what the nodes read and what they should give, by name."""

    feeds: Mapping[str, Array]
    targets: Mapping[str, Array]

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return sum(a.nbytes for a in (*self.feeds.values(), *self.targets.values()))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights, and the share of the target that is lost on rows kept aside.

    Attributes:
        weights: new values by name.
        before, after: without and with them.
    """

    weights: dict[str, Array]
    before: float
    after: float


class Descent:
    """Some nodes with weights as inputs, ready to run forwards and backwards.

    Attributes:
        kernels: names of the weights that convolutions slide over their inputs.

    Args:
        builder: of the model they are from.
        nodes: in topological order, all of them differentiable.
        example: one batch.
        weights: that may change.
        likeness: by target, how it is compared.
    """

    def __init__(
        self,
        builder: StageModel,
        nodes: Sequence[NodeFacts],
        example: Rows,
        weights: Weights,
        likeness: Mapping[str, Likeness],
    ) -> None:
        self._nodes, self._likeness = nodes, likeness
        self.kernels = frozenset(n.inputs[1] for n in nodes if n.op in ("Conv", "ConvTranspose"))
        self._made = [o for n in nodes for o in n.outputs if o]
        self._fixed = {
            n: builder.weight(n)
            for node in nodes
            for n in node.inputs
            if n and n in builder.model.graph.initializers and n not in weights
        }
        names = [n.name for n in nodes]
        given = {**example.feeds, **weights}
        self._session: Session = open_session(
            builder.build(names, self._made, {}, given, free=tuple(weights))
        )
        self._ports = {p.name for p in self._session.inputs}

    def close(self) -> None:
        """Let go of the session."""
        self._session.close()

    def run(self, rows: Rows, weights: Weights) -> dict[str, Array]:
        """Values of every tensor."""
        return {**self._fixed, **rows.feeds, **weights, **self._run(rows, weights, self._made)}

    def _run(self, rows: Rows, weights: Weights, outputs: Sequence[str]) -> dict[str, Array]:
        feeds = {k: v for k, v in {**rows.feeds, **weights}.items() if k in self._ports}
        return self._session.run(feeds, list(outputs))

    def fits(self, rows: Iterable[Rows], weights: Weights) -> bool:
        """Whether what is given has the shape of what should be; of rows of equal shapes one is tried."""
        kinds = {tuple((n, a.shape) for n, a in (*r.feeds.items(), *r.targets.items())): r for r in rows}
        for row in kinds.values():
            found = self._run(row, weights, tuple(row.targets))
            if any(found[n].shape != t.shape for n, t in row.targets.items()):
                return False
        return True

    def loss(self, rows: Sequence[Rows], weights: Weights) -> tuple[float, float]:
        """What is lost of the targets on average, and of the values of those not known to be scores."""
        size = dict.fromkeys(self._likeness, 0)
        lost, squares = (dict.fromkeys(self._likeness, 0.0) for _ in range(2))
        for row in rows:
            found = self._run(row, weights, tuple(row.targets))
            for name, target in row.targets.items():
                likeness = self._likeness[name]
                lost[name] += target.size * likeness.lost(found[name], target)
                if not likeness.sure:
                    squares[name] += target.size * likeness.squares(found[name], target)
                size[name] += target.size
        every = max(len(size), 1)
        first, second = (sum(d[n] / max(size[n], 1) for n in size) / every for d in (lost, squares))
        return first, second

    def gradient(self, row: Rows, weights: Weights) -> dict[str, Array]:
        """Of the sum of what is lost of each target."""
        values = self.run(row, weights)
        seeds = {n: self._likeness[n].slope(values[n], t) for n, t in row.targets.items()}
        with np.errstate(over="ignore", invalid="ignore"):  # whoever descends stops there
            return backward(self._nodes, values, seeds, tuple(weights))

    def work(self, row: Rows, weights: Weights) -> int:
        """Of one batch, forwards, in multiply-adds; each element that is computed counts for some."""
        values = self.run(row, weights)
        return self._products(values) + ELEMENT * sum(values[n].size for n in self._made)

    def step_work(self, weights: Weights) -> int:
        """Of what is done once in a step whatever its batches, counted like theirs."""
        return sum(o.work for o in _optimisers(weights, self.kernels).values()) // _WAYS

    def memory(self, row: Rows, weights: Weights) -> int:
        """Bytes of all tensors of one batch, forwards."""
        values = self.run(row, weights)
        return sum(values[n].nbytes for n in self._made)

    def _products(self, values: Mapping[str, Array]) -> int:
        total = 0
        for node in self._nodes:
            if node.op in ("MatMul", "Gemm"):
                long = values[node.inputs[0]].shape[0 if node.attributes.get("transA") else -1]
                total += values[node.outputs[0]].size * long
            elif node.op in ("LSTM", "GRU", "RNN"):
                wide, deep = (values[node.inputs[k]] for k in (1, 2))
                total += (
                    (wide.size + deep.size)
                    * values[node.inputs[0]].shape[0]
                    * values[node.inputs[0]].shape[1]
                )
            elif node.op == "Conv":
                total += values[node.outputs[0]].size * int(np.prod(values[node.inputs[1]].shape[1:]))
            elif node.op == "ConvTranspose":
                total += values[node.inputs[0]].size * int(np.prod(values[node.inputs[1]].shape[1:]))
        return total


def descend(
    descent: Descent,
    weights: Weights,
    learn: Sequence[Rows],
    judge: Sequence[Rows],
    steps: int,
    together: int,
    random: np.random.Generator,
    rate: float = RATE,
    given_up: bool = False,
    near: float = 0.0,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Steps down what is lost with a rate that falls to zero; the best weights on rows kept aside win.

    Where targets are compared as distributions their values may not get worse either: nobody has said that
    they are scores.

    Args:
        descent: the nodes.
        weights: to start from.
        learn: batches to fit.
        judge: batches kept aside.
        steps: how many.
        together: batches of one step.
        random: chooses the batches.
        rate: of the first steps, a share of the root mean square of each weight.
        given_up: stop where the weights are worse than at the start after a third of the steps, or much worse
            after a sixth.
        near: loss at which what follows is not worth its time: the rate falls to zero by the next judgement.
        say: told how many steps have been taken, of how many at most.
    """
    now = {n: np.array(a, np.float32) for n, a in weights.items()}
    rates = _rates(now, rate)
    optimisers = _optimisers(now, descent.kernels)
    start, allowed = descent.loss(judge, now)
    best = start
    found = dict(now)
    order: list[int] = []
    every = max(1, steps // _CHECKS)
    resting = 0
    for step in range(1, steps + 1):
        say(step - 1, steps)
        if len(order) < together:
            order = [*order, *random.permutation(len(learn)).tolist()]
        chosen, order = order[:together], order[together:]
        slopes = _summed([descent.gradient(learn[k], now) for k in chosen])
        if not _finite(slopes):
            break  # steeper than numbers can say: what was found before stays
        with np.errstate(over="ignore", invalid="ignore"):
            moves = {n: optimisers[n].step(s) for n, s in slopes.items()}
        if not _finite(moves):
            break
        falling = 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        if resting:
            falling *= 1 - (step - 1 - resting) / every
        for name, move in moves.items():
            now[name] = now[name] - np.float32(falling * rates[name]) * move
        if step % every == 0 or step == steps:
            loss, squares = descent.loss(judge, now)
            if loss < best and squares <= allowed:
                best, found = loss, {n: a.copy() for n, a in now.items()}
            if given_up and loss > (start if 2 * every <= step else FAR_OFF * start):
                break
            if resting:
                break
            resting = step if loss <= near else 0
    return Fitted(found, start, best)


def _finite(arrays: Weights) -> bool:
    return all(np.isfinite(a).all() for a in arrays.values())


def _optimisers(weights: Weights, kernels: Collection[str]) -> dict[str, Adam]:
    return {n: _optimiser(a, n in kernels) for n, a in weights.items()}


def _optimiser(weight: Array, kernel: bool) -> Adam:
    """How an array moves: a kernel as one matrix, a stack of matrices each by itself."""
    if weight.ndim < 2:
        return Adam()
    if kernel:
        return Soap((1, weight.shape[0], math.prod(weight.shape[1:])))
    return Soap((math.prod(weight.shape[:-2]), *weight.shape[-2:]))


def _summed(slopes: Sequence[Weights]) -> dict[str, Array]:
    """The slopes of several batches, added up."""
    with np.errstate(over="ignore", invalid="ignore"):
        return {n: sum((s[n] for s in slopes[1:]), a) for n, a in slopes[0].items()}


def _rates(weights: Weights, rate: float) -> dict[str, float]:
    """Steps in proportion to the size of each weight; biases move like the weights beside them."""
    sizes = {n: float(np.sqrt(np.mean(np.square(a)))) for n, a in weights.items()}
    matrices = [sizes[n] for n, a in weights.items() if a.ndim > 1] or list(sizes.values())
    common = float(np.mean(matrices))
    return {n: rate * (sizes[n] if a.ndim > 1 else max(sizes[n], common)) for n, a in weights.items()}
